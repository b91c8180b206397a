"""One run as a listing tells it, a fold over its events; and which runs are asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple, Self

from pytest_deploy.errors import UsageError
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import (
    ApprovalSigned,
    DeviationAccepted,
    GateNotApplicable,
    GatePassed,
    GateRefused,
    GateVerdict,
    MigrationApplied,
    MigrationRolledBack,
    OverrideSigned,
    RecordAmended,
    RecordAnnotated,
    RequestMade,
    RequestRejected,
    RequestVoided,
    RevisionDeployed,
    RunAbandoned,
    RunClosed,
    RunDecided,
    RunOpened,
    SignoffSigned,
    StepFinished,
    StepNotRun,
    given,
)
from pytest_deploy.record.transitions import PIPELINE_OUTCOMES
from pytest_deploy.traceability.matrix import FAILED as _FAILED_STEP

REQUESTED: Final = "requested"
REFUSED: Final = "refused"
VOIDED: Final = "voided"
IN_PROGRESS: Final = "in-progress"
ABANDONED: Final = "abandoned"
OUTCOMES: Final = (
    *("deployed", REFUSED, "failed", "rolled-back", "rollback-failed", "passed", "still-needed", "not-passed"),
    *(ABANDONED, IN_PROGRESS, REQUESTED, VOIDED),
)
"""What a row's outcome may be: a run's, or how far it has come."""

_TELLING: Final = frozenset(
    kind.type
    for kind in (
        *(RequestMade, RequestVoided, RunOpened, RevisionDeployed, ApprovalSigned, DeviationAccepted),
        *(
            GatePassed,
            GateRefused,
            GateNotApplicable,
            RecordAmended,
            SignoffSigned,
            RunDecided,
            RunClosed,
            RunAbandoned,
        ),
    )
)
"""Types that say something of a run as a whole; most do not."""


@dataclass
class Row:
    run: str
    environment: str = ""
    pipeline: str = ""
    commit: str = ""
    version: str = ""
    digest: str = ""
    """`sha256:<64 hex>` of the artefact; empty until it is known."""
    deployer: str = ""
    """Empty until the run opens."""
    requested_by: str = ""
    approvers: tuple[str, ...] = ()
    """Who signed, once each, in order."""
    bypassed: tuple[str, ...] = ()
    """Gates that passed by an override, which takes two people; deviations that were accepted."""
    amended: tuple[str, ...] = ()
    """What was corrected since, by the keys of its events; what a row says is what the events say."""
    reviews: tuple[str, ...] = ()
    """What people signed of its sealed record, in order: `QA Lead: reviewed`."""
    outcome: str = REQUESTED
    """One of OUTCOMES."""
    cause: str = ""
    refused_by: tuple[str, ...] = ()
    """Of a request that never ran: each gate that refused its newest start, with what it said."""
    began: str = ""
    """UTC stamp of its first event here."""
    newest: str = ""
    """UTC stamp of the newest event here."""
    opened: str = ""
    """UTC stamp of its run.opened; empty for a request that waits, was refused or was voided."""
    ended: str = ""
    """UTC stamp of its closing; empty while it is open."""
    duration_s: float | None = None
    events: tuple[int, ...] = ()
    """Positions of the events this rests on."""

    @classmethod
    def of(cls, events: Iterable[Event]) -> Self:
        """The row of one run's events, in order. Raises ValueError where there is none."""
        row: Self | None = None
        for event in events:
            row = row or cls(event.run)
            row.apply(event)
        if row is None:
            raise ValueError("no event, no run")
        return row

    def apply(self, event: Event) -> None:  # noqa: C901, PLR0912 - one arm a type
        if not self._tells(event):
            return
        time = stamp(event.time)
        self.began, self.newest = self.began or time, time
        self.events = (*self.events, event.seq)
        match event.content:
            case RequestMade() as made:
                self.requested_by = made.requested_by
                self.environment = self.environment or made.environment or ""
                self.pipeline = self.pipeline or made.pipeline or ""
                self.commit = self.commit or made.commit or ""
                self.version = self.version or made.version or ""
                self._note_image(made.image or "")
            case RequestVoided(cause=cause):
                self.outcome, self.cause, self.refused_by = VOIDED, cause, ()
            case RunOpened() as opened:
                self.environment, self.pipeline = opened.environment, opened.pipeline
                self.commit, self.version, self.deployer = opened.commit, opened.version, opened.deployer
                self.outcome, self.cause, self.refused_by, self.opened = IN_PROGRESS, "", (), time
                self._note_image(opened.image or "")
            case RevisionDeployed(image=image):
                self._note_image(image or "")
            case ApprovalSigned(signer=signer):
                self.approvers = _with(self.approvers, signer)
            case GateVerdict() as verdict:
                self._note_verdict(verdict)
            case DeviationAccepted(deviation=deviation):
                self.bypassed = _with(self.bypassed, deviation or event.type)
            case RecordAmended(key=key):
                self.amended = _with(self.amended, given(key, ""))
            case SignoffSigned(role=role, meaning=meaning):
                self.reviews = _with(self.reviews, f"{role}: {meaning}")
            case RunDecided(cause=why, duration_s=duration_s):
                self.cause, self.duration_s = why or "", duration_s
            case RunClosed(outcome=outcome):
                self.outcome, self.ended = outcome, time
            case RunAbandoned(cause=cause):
                self.outcome, self.cause, self.ended = ABANDONED, cause, time

    def _tells(self, event: Event) -> bool:
        """Whether it says something of the run as a whole.

        A gate does where it passed by an override and, before the run opens, where it refuses or refuses no more; an
        amendment where it counts.
        """
        if event.type not in _TELLING:
            return False
        match event.content:
            case GatePassed(inputs=inputs) if inputs.get("override"):
                return True
            case GateVerdict(gate=gate):
                return not self.opened and (event.type == GateRefused.type or bool(_by(gate, self.refused_by)))
            case RecordAmended(countersigns=countersigns):
                return given(countersigns) is not None
        return True

    def _note_verdict(self, verdict: GateVerdict) -> None:
        """Before a run opens the newest verdict of each gate counts: a start asks them all anew."""
        if isinstance(verdict, GatePassed) and verdict.inputs.get("override"):
            self.bypassed = _with(self.bypassed, verdict.gate)
        if self.opened:
            return
        said_before = _by(verdict.gate, self.refused_by)
        self.refused_by = tuple(one for one in self.refused_by if one not in said_before)
        if isinstance(verdict, GateRefused):
            self.refused_by = (*self.refused_by, f"{verdict.gate}: {verdict.sentence}")
        self.outcome = REFUSED if self.refused_by else REQUESTED
        self.cause = f"{'; '.join(self.refused_by)}; the request stays live" if self.refused_by else ""

    def _note_image(self, image: str) -> None:
        self.digest = image.partition("@")[2] or self.digest


def _by(gate: str, refusals: Sequence[str]) -> tuple[str, ...]:
    """What a gate said, among refusals."""
    return tuple(one for one in refusals if one.startswith(f"{gate}: "))


VERIFIED: Final = "verified"
"""A step exercised the assertion, and it held."""
FAILED: Final = "failed"
"""A step that can exercise it failed."""
CLAIMED: Final = "claimed"
"""A step can exercise it, and did not."""
EXERCISED: Final = (FAILED, VERIFIED)
"""Kinds of facts that are an exercise; in one run the first counts."""


class Fact(NamedTuple):
    """Something an event says that runs are looked up by."""

    kind: str
    """signer, migration or revision; of an assertion: VERIFIED, FAILED or CLAIMED."""
    value: str


def facts(event: Event) -> tuple[Fact, ...]:  # noqa: PLR0911 -- one arm a type
    """What runs are looked up by, of one event; signers in lower case."""
    if event.type not in _FACTUAL:
        return ()
    match event.content:
        case (
            ApprovalSigned(signer=signer, printed_name=name)
            | OverrideSigned(signer=signer, printed_name=name)
            | RequestRejected(signer=signer, printed_name=name)
            | SignoffSigned(signer=signer, printed_name=name)
            | DeviationAccepted(signer=signer, printed_name=name)
            | RecordAmended(signer=signer, printed_name=name)
            | RecordAnnotated(signer=signer, printed_name=name)
        ):
            return tuple(Fact("signer", known.casefold()) for known in (signer, name) if known)
        case MigrationApplied(version=version) | MigrationRolledBack(version=version):
            return (Fact("migration", version),)
        case StepFinished(outcome=outcome, verifies=verifies, claims=claims):
            names = dict.fromkeys(map(str, (*given(claims, []), *verifies)))
            failed = outcome in _FAILED_STEP
            return tuple(Fact(FAILED if failed else VERIFIED if name in verifies else CLAIMED, name) for name in names)
        case StepNotRun(claims=claims):
            return tuple(Fact(CLAIMED, str(name)) for name in dict.fromkeys(given(claims, [])))
        case RevisionDeployed(revision=revision):
            return (Fact("revision", revision),)
    return ()


_FACTUAL: Final = frozenset(
    kind.type
    for kind in (
        *(
            ApprovalSigned,
            RequestRejected,
            OverrideSigned,
            SignoffSigned,
            DeviationAccepted,
            RecordAmended,
            RecordAnnotated,
        ),
        *(MigrationApplied, MigrationRolledBack, StepFinished, StepNotRun, RevisionDeployed),
    )
)


def _with(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return names if name in names else (*names, name)


# --- Which runs are asked for, and the options of the command line that say so. An option that means nothing is refused.

_PREFIX: Final = "sha256:"
_COMMIT: Final = re.compile(r"[0-9a-f]{4,40}", re.ASCII)
_DIGEST: Final = re.compile(r"[0-9a-f]{4,64}", re.ASCII)
_INSTANT: Final = "2026-03-01T12:00Z, or with another offset"


@dataclass(frozen=True)
class RunQuery:
    """Which runs; an empty field asks for nothing."""

    since: str = ""
    """A stamp: runs that were not over before it."""
    until: str = ""
    """A stamp: runs whose first event is before it. What ran across either end is within: no range misses it."""
    commit: str = ""
    """The beginning of a commit, lower case."""
    digest: str = ""
    """The beginning of an artefact's digest, with `sha256:`."""
    version: str = ""
    deployer: str = ""
    """Part of who deployed."""
    approver: str = ""
    """Part of who signed, by address or printed name: an approval, an override, a sign-off, an acceptance, an amendment."""
    outcomes: tuple[str, ...] = ()
    pipelines: tuple[str, ...] = ()
    migration: str = ""
    requirement: str = ""
    """Runs that exercised a requirement, or a part of it: PARCEL covers PARCEL-12, and that PARCEL-12.1."""
    unreviewed: bool = False
    """Closed runs alone whose sealed record nobody has signed off, as reviewed or rejected."""

    @classmethod
    def from_options(cls, options: Mapping[str, str], *, unreviewed: bool = False) -> Self:
        """From the options of `pytest-deploy history`, by name, empty where not given.

        Raises:
            UsageError: for the first that is no such thing, with what would be right.
        """
        words = {name: value.strip() for name, value in options.items()}
        since = _day_or_instant("since", words["since"])
        until = _day_or_instant("until", words["until"], end=True)
        if since and until and since >= until:
            raise UsageError(f"--since={words['since']} is not before --until={words['until']}: no run can lie between")
        digest = words["digest"].lower().removeprefix(_PREFIX)
        _require("digest", digest, _DIGEST, "sha256: and the first 4 to 64 hex digits")
        return cls(
            since=since,
            until=until,
            commit=_require("commit", words["commit"].lower(), _COMMIT, "the first 4 to 40 hex digits"),
            digest=_PREFIX + digest if digest else "",
            version=words["version"],
            deployer=words["deployer"],
            approver=words["approver"],
            outcomes=_choices("outcome", words["outcome"], OUTCOMES),
            pipelines=_choices("pipeline", words["pipeline"], tuple(PIPELINE_OUTCOMES)),
            migration=words["migration"],
            requirement=words["requirement"],
            unreviewed=unreviewed,
        )


def parse_instant(name: str, text: str) -> str:
    """The stamp of an instant with a zone, given as option `name`. Raises UsageError."""
    try:
        instant = datetime.fromisoformat(text.strip())
        if len(text.strip()) <= len("2026-03-01") or instant.tzinfo is None:
            raise UsageError(f"--{name}={text}: an instant has a time and a zone; right is {_INSTANT}")
        return stamp(instant)
    except (ValueError, OverflowError):
        raise UsageError(f"--{name}={text} is no instant; right is {_INSTANT}") from None


def find_stores(reports: Path, environments: Sequence[str], *, rehearsal: bool) -> dict[str, Path]:
    """The stores under `reports` by name, or those of some environments. Raises UsageError naming those there are."""
    top = reports / "rehearsal" if rehearsal else reports
    kind = "rehearsal/" if rehearsal else ""
    known = {f"{kind}{folder.parent.name}": folder.parent for folder in sorted(top.glob("*/log"))}
    if apart := next((name for name in environments if name.startswith("rehearsal/")), None):
        raise UsageError(f"--env {apart}: right is --env {apart.removeprefix('rehearsal/')} --rehearse")
    wanted = [f"{kind}{name}" for name in dict.fromkeys(environments)] or list(known)
    if missing := [name for name in wanted if name not in known]:
        there = ", ".join(name.removeprefix(kind) for name in known) or "none"
        raise UsageError(f"no record {', '.join(missing)} under {reports}; there is {there}")
    if not wanted:
        raise UsageError(f"no record under {top}; right is a folder that holds <environment>/log, e.g. reports")
    return {name: known[name] for name in wanted}


def _day_or_instant(name: str, text: str, *, end: bool = False) -> str:
    """A stamp; of a day alone its beginning, or its end, in UTC."""
    if not text:
        return ""
    try:
        day = date.fromisoformat(text)
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return stamp(start + timedelta(days=1) if end else start)
    except (ValueError, OverflowError):
        return parse_instant(name, text)


def _require(name: str, text: str, pattern: re.Pattern[str], right: str) -> str:
    if text and pattern.fullmatch(text) is None:
        raise UsageError(f"--{name}={text}: right is {right}")
    return text


def _choices(name: str, text: str, known: Sequence[str]) -> tuple[str, ...]:
    chosen = tuple(word.strip() for word in text.split(",") if word.strip())
    if wrong := [word for word in chosen if word not in known]:
        raise UsageError(f"--{name}={text}: {', '.join(wrong)} is none; right is some of {', '.join(known)}")
    return chosen
