"""What people signed of a run: the signature manifest (21 CFR 11.50), and what was signed about its events since it was decided.

Each signature is told as its event states it. The signed file and its signature are bound to the event by digest; the
verifiers hold both against stock ssh-keygen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Generic, TypeVar

from pytest_deploy.pipeline.run import NOT_IN_POLICY
from pytest_deploy.pipeline.steps_lock import title_of
from pytest_deploy.policy.user_verification import UserVerification
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.countersigned import countersigned_amendments
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import (
    UNSET,
    AlertRaised,
    ApprovalRefused,
    ClockSkewed,
    DeviationAccepted,
    EnvironmentReleased,
    GateRefused,
    LeaseTaken,
    OverrideSigned,
    PhaseFinished,
    RecordAmended,
    RecordAnnotated,
    RequestRejected,
    RollbackStarted,
    RunDecided,
    RunOpened,
    Signed,
    StepFinished,
    StepNotRun,
    given,
)
from pytest_deploy.reports.format import seconds
from pytest_deploy.reports.run_summary import RunSummary

_NOT_MET: Final = "11.200(a)(1) is not met by this signature"
_MADE_WITH: Final[Mapping[UserVerification | None, str]] = {
    "pin": "PIN and token",
    "touch": f"touch of a token, one component: {_NOT_MET}",
    "none": f"one component: {_NOT_MET}",
    None: "not recorded what it was made with: 11.200(a)(1) is not shown to be met by this signature",
}
"""What a signature's own row says; None where its event is an older one."""

SignedT = TypeVar("SignedT", bound=Signed)


@dataclass(frozen=True)
class Signature(Generic[SignedT]):
    """One signature, as it is shown wherever the record is."""

    seq: int
    content: SignedT
    """Of the event that counts it; its file lies in the store, the signature beside it, `.sig`."""
    printed_name: str
    """As signed; a dash where the event leaves it to the signed file."""
    role: str
    meaning: str
    comment: str
    """What the signer added, as signed; empty where they added nothing."""
    signed_at: str
    """UTC, as the signer states it; else the record's own time."""
    made_with: str
    """In words, and where 21 CFR 11.200(a)(1) asks for more; as the FIDO flags in it say."""
    verify_time: str
    """When its key must have been valid, as `ssh-keygen -O verify-time` takes it: the record's time, never the signer's."""
    counts: bool = True
    """False where it takes another person to sign the same, and nobody has."""


def manifest(events: Sequence[Event]) -> tuple[Signature[Signed], ...]:
    return tuple(_signature(event, signed) for event, signed in of_type(events, Signed))


def _signature(event: Event, signed: SignedT) -> Signature[SignedT]:
    def stated(key: str) -> Any:
        return given(getattr(signed, key, UNSET))

    return Signature(
        event.seq,
        signed,
        printed_name=stated("printed_name") or "—",
        role=stated("role") or "—",
        meaning=stated("meaning") or _meaning(signed),
        comment=stated("comment") or (signed.reason if isinstance(signed, RequestRejected) else ""),
        signed_at=stamp(stated("signed_at") or event.time),
        made_with=_MADE_WITH[given(signed.user_verification)],
        verify_time=f"{event.time:%Y%m%d%H%M%SZ}",
    )


def _meaning(signed: Signed) -> str:
    """What a signature means where the event does not carry the signed words."""
    match signed:
        case OverrideSigned():
            return f"answers for passing over the gate {given(signed.gate, 'a gate')}: {signed.reason}"
        case RecordAnnotated():
            return f"adds a note to event {signed.annotates}: {signed.note}"
        case RecordAmended():
            return f"amends event {given(signed.amends, '—')}: {signed.reason}"
        case DeviationAccepted():
            return f"accepts this deviation: {given(signed.deviation, '—')}: {signed.reason}"
        case EnvironmentReleased():
            return f"releases the environment: {signed.reason}"
    return ""


@dataclass(frozen=True)
class PostRun:
    """What was signed about a run after it was decided. A current report shows it; for a sealed one there is none."""

    events: Sequence[Event] = ()
    """The run's events since its decision, in order."""

    @cached_property
    def remarks(self) -> Mapping[int, Sequence[Signature[RecordAmended | RecordAnnotated]]]:
        """The amendments and notes by the position of the event they are about, in order."""
        counting = countersigned_amendments(self.events)
        remarks: dict[int, list[Signature[RecordAmended | RecordAnnotated]]] = {}
        for event in self.events:
            content = event.content
            if isinstance(content, RecordAmended) and (seq := given(content.amends)) is not None:
                remark: Signature[RecordAmended | RecordAnnotated] = _signature(event, content)
                remarks.setdefault(seq, []).append(replace(remark, counts=event.seq in counting))
            elif isinstance(content, RecordAnnotated):
                remarks.setdefault(content.annotates, []).append(_signature(event, content))
        return remarks

    @property
    def amended(self) -> tuple[int, ...]:
        """The positions of the events of which an amendment counts."""
        return tuple(
            seq
            for seq, remarks in self.remarks.items()
            if any(one.counts and one.content.type == RecordAmended.type for one in remarks)
        )

    def amendments(self, seq: int | None, key: str = "") -> tuple[Signature[RecordAmended | RecordAnnotated], ...]:
        """The amendments of an event and the notes on it, or of one key of it."""
        remarks = self.remarks.get(seq, ()) if seq is not None else ()
        return tuple(one for one in remarks if key in {"", given(one.content.key)})

    def acceptances(self, nodeids: Sequence[str]) -> tuple[Signature[DeviationAccepted], ...]:
        """Who accepted how these steps ended."""
        accepted = tuple(of_type(self.events, DeviationAccepted))
        return tuple(_signature(event, one) for nodeid in nodeids for event, one in accepted if one.nodeid == nodeid)


# --- What departed from the plan, each with the event that says so: what QA reads first, and accepts or does not.


@dataclass(frozen=True)
class Deviation:
    seq: int
    """The event that says so."""
    kind: str
    text: str
    steps: tuple[str, ...] = ()
    """The node ids whose ending it tells: what a person names who accepts it. A warning or a repetition is no ending."""
    key: str = ""
    """The key of the event that says it, where the event says much else."""


def deviations(summary: RunSummary) -> tuple[Deviation, ...]:
    """The deviations of a run, in the order of its events; steps that were not run count once a phase and cause."""
    departed: list[Deviation] = []
    not_run: dict[tuple[str, str], list[tuple[int, str]]] = {}
    opened = False
    for event in summary.events:
        opened |= event.type == "run.opened"
        if isinstance(event.content, StepNotRun):
            not_run.setdefault((event.content.phase, event.content.cause), []).append((event.seq, event.content.nodeid))
        elif opened:
            departed += _of_event(event, summary)
    for (phase, cause), steps in not_run.items():
        if phase != "rollback" and cause != NOT_IN_POLICY:
            number = "1 step" if len(steps) == 1 else f"{len(steps)} steps"
            text = f"{phase}: {number} not run: {cause}"
            departed.append(Deviation(steps[0][0], "not run", text, tuple(nodeid for _, nodeid in steps)))
    return tuple(sorted(departed, key=lambda one: one.seq))


def _of_event(event: Event, summary: RunSummary) -> Iterator[Deviation]:  # noqa: C901, PLR0912 -- one case a type
    match event.content:
        case RunOpened() as opened:
            if opened.dirty:
                what = "the tree differed from the commit: it cannot be made again from it alone"
                yield Deviation(event.seq, "uncommitted changes", what, key="dirty")
            for key, values in given(opened.substituted, {}).items():
                text = f"{key}: policy has {_json(values['policy'])}, this run used {_json(values['used'])}"
                yield Deviation(event.seq, "replaced", text, key="substituted")
        case StepFinished() as finished:
            yield from _of_step(event, finished)
        case GateRefused(gate=gate, verdict=verdict, reason=reason):
            if summary.opened.pipeline != "plan":  # a plan asks what is still needed: a refusal is its answer
                yield Deviation(event.seq, f"gate {verdict.replace('-', ' ')}", f"{gate}: {reason}")
        case PhaseFinished(phase=phase, duration_s=duration_s) as ended:
            budget_s = given(ended.budget_s)
            if budget_s and duration_s > budget_s:
                yield Deviation(event.seq, "over budget", f"{phase}: {given(ended.cause) or seconds(duration_s)}")
        case AlertRaised(alert=alert, detail=detail):
            yield Deviation(event.seq, "alert", f"{alert}: {detail}")
        case ClockSkewed(skew_s=skew_s, source=source):
            yield Deviation(event.seq, "clock", f"{skew_s} s off, by {source}")
        case RequestRejected(signer=signer, reason=reason):
            yield Deviation(event.seq, "rejected", f"{signer}: {reason}")
        case ApprovalRefused(reason=reason):
            yield Deviation(event.seq, "signature refused", reason)
        case LeaseTaken(recovers=True, holder=holder):
            yield Deviation(event.seq, "recovered", f"its process was gone; {holder} finished what it had begun")
        case RollbackStarted(cause=cause):
            yield Deviation(event.seq, "rolled back", cause)
        case RunDecided(duration_s=duration_s, sla_s=sla_s) if sla_s is not None and duration_s > sla_s:
            text = f"took {seconds(duration_s)}, policy allows {seconds(sla_s)}"
            yield Deviation(event.seq, "over the SLA", text)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _of_step(event: Event, finished: StepFinished) -> Iterator[Deviation]:
    title = f"{finished.phase}, {title_of(finished.nodeid)}"
    if finished.outcome not in {"passed", "still-needed", "not-applicable"}:
        first_line = (finished.message or "").strip().splitlines()[:1]
        yield Deviation(event.seq, f"step {finished.outcome}", ": ".join([title, *first_line]), (finished.nodeid,))
    if finished.attempts > 1:
        yield Deviation(event.seq, "repeated", f"{title}: needed {finished.attempts} attempts")
    for warning in finished.warnings:
        yield Deviation(event.seq, "warning", f"{title}: {warning}")
