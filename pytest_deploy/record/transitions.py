"""Which event may come next: one table, and the named conditions it refers to.

    request.made -> approvals -> lease.taken -> run.opened -> run.planned -> gates, phases, steps and what they did
    -> run.decided -> run.closed (the same outcome) -> lease.released; afterwards notes, sign-offs, amendments

The writer and the verifier use this table and no other. It judges one proposed event against what its run amounts to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pytest_deploy.errors import IllegalEvent
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import Json
from pytest_deploy.record.run_id import NO_RUN
from pytest_deploy.record.run_state import FINISHED, LEASELESS, OPEN, STAGE_AFTER, LogState, RunState, Stage

PIPELINE_OUTCOMES: Final[Mapping[str, frozenset[str]]] = {
    "deploy": frozenset({"deployed", "refused", "failed", "rolled-back", "rollback-failed"}),
    "rollback": frozenset({"refused", "failed", "rolled-back", "rollback-failed"}),
    **dict.fromkeys(("smoke", "iq", "oq", "pq"), frozenset({"passed", "not-passed", "refused", "failed"})),
    "plan": frozenset({"passed", "still-needed", "not-passed", "refused", "failed"}),
}


@dataclass(frozen=True)
class Proposal:
    """An event that somebody wants to append, and what it would meet."""

    event: Event
    data: Mapping[str, Json]
    state: RunState
    log: LogState

    @property
    def holds_lease(self) -> bool:
        return self.log.lease is not None and self.log.lease.run == self.event.run


@dataclass(frozen=True)
class Rule:
    stages: frozenset[Stage]
    """The stages that its run may be in; where it leads from there, `STAGE_AFTER` says."""
    conditions: tuple[str, ...] = ()
    """Names in CONDITIONS; all must hold."""
    outside: bool = False
    """Whether it may stand outside a run."""


def _leads(event_type: str, *others: Stage) -> frozenset[Stage]:
    """The stages that an event of this type ends, and others."""
    return frozenset({*STAGE_AFTER[event_type], *others})


_ALWAYS: Final = frozenset(Stage)
_PLANNED: Final = frozenset({Stage.PLANNED})
_BEFORE_DECISION: Final = frozenset({Stage.NEW, Stage.LEASED, Stage.OPENED, Stage.PLANNED})
_NOTE = Rule(_ALWAYS, ("run known",))
_ANYWHERE = Rule(_ALWAYS, ("run known",), outside=True)
_CHANGE = Rule(_PLANNED, ("change announced",))
_GATE = Rule(frozenset({Stage.NEW, Stage.LEASED, Stage.PLANNED}), ("gate at its point", "verdict of its type"))
_OUTSIDE = Rule(frozenset(), outside=True)

LEGAL: Final[Mapping[str, Rule]] = {
    "request.made": Rule(frozenset({Stage.NEW, Stage.PLANNED}), ("no request yet", "built where inside a run")),
    "request.voided": Rule(frozenset({Stage.NEW}), ("request live",)),
    "approval.signed": Rule(_BEFORE_DECISION, ("request live", "of this request")),
    "approval.refused": Rule(_ALWAYS, ("requested",)),
    "request.rejected": Rule(_BEFORE_DECISION, ("request live", "of this request")),
    "override.signed": Rule(_BEFORE_DECISION, ("request live",)),
    "gate.passed": _GATE,
    "gate.refused": _GATE,
    "gate.not-applicable": _GATE,
    "lease.taken": Rule(
        _leads("lease.taken", Stage.LEASED, *OPEN),
        ("not voided", "nobody else's turn", "recovers where open"),
    ),
    "lease.renewed": Rule(frozenset({Stage.LEASED}) | OPEN | FINISHED, ("own lease",)),
    "lease.released": Rule(_leads("lease.released", *FINISHED), ("own lease",)),
    "run.opened": Rule(_leads("run.opened"), ("leased unless a plan", "not voided", "of this request", "not rejected")),
    "run.planned": Rule(_leads("run.planned")),
    "phase.started": Rule(_PLANNED, ("no phase open", "first time of the phase", "rollback phase in a rollback")),
    "phase.finished": Rule(_PLANNED, ("phase open or never begun", "no step open", "outcome of its steps")),
    "step.started": Rule(
        _PLANNED,
        ("its phase open", "first time of the step", "leased if changing", "no first change of what is rejected"),
    ),
    "step.finished": Rule(_PLANNED, ("its phase open", "step open", "credit where it passed", "credit it claims")),
    "step.not-run": Rule(_PLANNED, ("first time of the step",)),
    "migration.applied": _CHANGE,
    "migration.rolled-back": _CHANGE,
    "revision.deployed": _CHANGE,
    "traffic.moved": _CHANGE,
    "backup.created": Rule(_PLANNED | FINISHED, ("in a step",)),
    "rollback.started": Rule(_PLANNED, ("no rollback open", "holds the lease")),
    "rollback.finished": Rule(_PLANNED, ("rollback open", "no phase open", "no step open")),
    "run.decided": Rule(
        _leads("run.decided"),
        ("no step open", "no phase open", "no rollback open", "outcome of the pipeline", "outcome of what happened"),
    ),
    "run.closed": Rule(_leads("run.closed"), ("outcome as decided",)),
    "run.abandoned": Rule(_leads("run.abandoned"), ("nothing announced", "no rollback open")),
    "environment.frozen": Rule(frozenset({Stage.PLANNED, Stage.DECIDED}) | FINISHED, outside=True),
    "environment.released": Rule(FINISHED, outside=True),
    "record.amended": Rule(FINISHED),
    "record.annotated": Rule(FINISHED),
    "signoff.signed": Rule(FINISHED),
    "notification.sent": _NOTE,
    "notification.failed": _NOTE,
    "record.read": _NOTE,
    "deviation.accepted": _NOTE,
    "alert.raised": _ANYWHERE,
    "clock.skewed": _ANYWHERE,
    "anchor.made": _ANYWHERE,
    "trail.reviewed": _OUTSIDE,
    "key.enrolled": _OUTSIDE,
    "key.revoked": _OUTSIDE,
    "key.rotated": _OUTSIDE,
}


_VERDICTS: Final[Mapping[str, frozenset[str]]] = {
    "gate.passed": frozenset({"passed"}),
    "gate.refused": frozenset({"refused", "still-needed"}),
    "gate.not-applicable": frozenset({"not-applicable"}),
}
"""What a gate's event may say that was judged."""


def _gate_at_its_point(it: Proposal) -> bool:
    if it.state.stage is Stage.PLANNED:
        return True
    requested = it.state.request_sha256 is not None and not it.state.voided
    return it.data["point"] == "lease" and (requested or it.state.stage is Stage.LEASED)


def _nobody_elses_turn(it: Proposal) -> bool:
    lease = it.log.lease
    recovering = it.holds_lease and it.state.stage in OPEN
    others = any(run != it.event.run for run in it.log.open_runs(leased=True))
    return not others and (lease is None or recovering or lease.until <= it.event.time)


def _outcome_of_its_steps(it: Proposal) -> bool:
    """A phase is no better than its steps; worse it may be, by its budget or by what stopped it."""
    ends = it.state.ends if it.data["phase"] == it.state.phase else set[str]()
    match it.data["outcome"]:
        case "passed":
            return "passed" in ends and ends <= {"passed", "not-applicable"}
        case "still-needed":
            return "still-needed" in ends and ends <= {"passed", "still-needed", "not-applicable"}
        case "not-applicable":
            return ends == {"not-applicable"}
        case "not-run":
            return not ends
        case _:
            return True


def _outcome_of_what_happened(it: Proposal) -> bool:
    state = it.state
    match it.data["outcome"]:
        case "deployed":
            return not state.failed and not state.still_needed and state.rollback_outcome is None
        case "passed":
            return not state.failed and not state.still_needed
        case "still-needed":
            return not state.failed and state.still_needed
        case "failed" | "refused":
            return not state.changed
        case "rolled-back":
            return state.rollback_outcome == "rolled-back"
        case _:
            return True


CONDITIONS: Final[Mapping[str, tuple[Callable[[Proposal], bool], str]]] = {
    "run known": (lambda it: it.state.known, "nothing was recorded of this run"),
    "no request yet": (lambda it: it.state.request_sha256 is None, "the run has its request"),
    "built where inside a run": (
        lambda it: it.state.stage is Stage.NEW or "build" in it.state.phases,
        "a run makes its own request after its build",
    ),
    "requested": (lambda it: it.state.request_sha256 is not None, "the run has no request"),
    "request live": (
        lambda it: it.state.request_sha256 is not None and not it.state.voided,
        "the run has no live request",
    ),
    "not voided": (lambda it: not it.state.voided, "the request was voided"),
    "not rejected": (
        lambda it: not it.state.rejected_by,
        "its request is rejected, and who rejected it did not approve it since",
    ),
    "no first change of what is rejected": (
        lambda it: (
            not (it.data["changes"] and it.state.rejected_by) or it.state.announced or it.data["phase"] == "rollback"
        ),
        "its request is rejected, and nothing was changed yet",
    ),
    "of this request": (
        lambda it: it.data["request_sha256"] == it.state.request_sha256,
        "request_sha256 is not that of the run's request",
    ),
    "gate at its point": (
        _gate_at_its_point,
        "before a run opens, gates are evaluated for a live request, at point lease",
    ),
    "verdict of its type": (
        lambda it: it.data["verdict"] in _VERDICTS[it.event.type],
        "its verdict is another than its type says",
    ),
    "nobody else's turn": (_nobody_elses_turn, "another lease lives, or another run is in progress"),
    "recovers where open": (
        lambda it: it.data.get("recovers", False) is (it.state.stage in OPEN),
        "inside an open run only recover takes the lease, and it says so",
    ),
    "own lease": (
        lambda it: it.holds_lease and it.log.lease is not None and it.data["fence"] == it.log.lease.fence,
        "the lease is not, or no longer, the one with this fence",
    ),
    "holds the lease": (lambda it: it.holds_lease, "the run does not hold the lease"),
    "leased unless a plan": (
        lambda it: (it.data["pipeline"] != LEASELESS) == (it.state.stage is Stage.LEASED),
        "every pipeline but a plan opens its run under the lease",
    ),
    "leased if changing": (
        lambda it: it.holds_lease or not it.data["changes"],
        "a step that changes something needs the lease",
    ),
    "no phase open": (lambda it: it.state.phase is None, "a phase is open"),
    "first time of the phase": (lambda it: it.data["phase"] not in it.state.phases, "the phase was had before"),
    "rollback phase in a rollback": (
        lambda it: (it.data["phase"] == "rollback") == it.state.rollback_open,
        "the phase rollback, and no other, runs between rollback.started and rollback.finished",
    ),
    "phase open or never begun": (
        lambda it: (
            it.data["phase"] == it.state.phase
            or (it.data["outcome"] == "not-run" and it.data["phase"] not in it.state.phases)
        ),
        "the phase is not open",
    ),
    "outcome of its steps": (_outcome_of_its_steps, "its steps ended otherwise"),
    "its phase open": (lambda it: it.data["phase"] == it.state.phase, "the step's phase is not open"),
    "first time of the step": (lambda it: it.data["nodeid"] not in it.state.begun, "the step was had before"),
    "step open": (lambda it: it.data["nodeid"] in it.state.steps, "the step is not open"),
    "credit where it passed": (
        lambda it: it.data["outcome"] == "passed" or not it.data["verifies"],
        "it credits assertions, and the step did not pass",
    ),
    "credit it claims": (
        lambda it: set(it.data["verifies"]) <= set(it.data.get("claims", ())),
        "it credits an assertion that the step does not claim",
    ),
    "no step open": (lambda it: not it.state.steps, "a step is open"),
    "change announced": (
        lambda it: it.state.rollback_open or any(data["changes"] for data in it.state.steps.values()),
        "no step that changes anything is open, and no rollback",
    ),
    "in a step": (
        lambda it: it.state.stage in FINISHED or it.state.rollback_open or bool(it.state.steps),
        "no step is open",
    ),
    "no rollback open": (lambda it: not it.state.rollback_open, "a rollback is open"),
    "rollback open": (lambda it: it.state.rollback_open, "no rollback is open"),
    "nothing announced": (
        lambda it: not it.state.announced,
        "a step that changes something was announced: roll back and close the run instead",
    ),
    "outcome of the pipeline": (
        lambda it: it.data["outcome"] in PIPELINE_OUTCOMES[it.state.pipeline],
        "its pipeline has no such outcome",
    ),
    "outcome of what happened": (_outcome_of_what_happened, "the outcome contradicts what was recorded"),
    "outcome as decided": (lambda it: it.data["outcome"] == it.state.outcome, "another outcome was decided"),
}


def check_transition(state: LogState, event: Event) -> None:
    """Refuse what is not legal next in a log, or was not when it was written; `state` is that of the events before it.

    The event's data fits its type. Raises IllegalEvent naming what is legal.
    """
    if state.empty and event.type != "key.enrolled":
        raise IllegalEvent(f"{event.type} is not legal now: a log begins with key.enrolled")
    rule = LEGAL[event.type]
    if event.run == NO_RUN:
        if not rule.outside:
            raise IllegalEvent(f"{event.type} belongs to a run; `-` stands for events outside any")
        return
    proposal = Proposal(event, event.data, state.run(event.run), state)
    stage = proposal.state.stage
    reason: str | None = f"the run is {stage}"
    if stage in rule.stages:
        conditions = (CONDITIONS[name] for name in rule.conditions)
        reason = next((otherwise for holds, otherwise in conditions if not holds(proposal)), None)
    if reason is not None:
        legal = [name for name, other in LEGAL.items() if stage in other.stages and other.stages is not _ALWAYS]
        raise IllegalEvent(
            f"{event.type} is not legal now in {event.run} ({stamp(event.time)}): {reason}; legal now: {', '.join(legal)}"
        )
