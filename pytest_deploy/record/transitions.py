"""Which event may come next: one table, and the named conditions it refers to.

    request.made -> approvals -> lease.taken -> run.opened -> run.planned -> gates, phases, steps and what they did
    -> run.decided -> run.closed (the same outcome) -> lease.released; afterwards notes, sign-offs, amendments

The writer and the verifier use this table and no other. It judges one proposed event against what its run amounts to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pytest_deploy.errors import IllegalEvent
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import Json
from pytest_deploy.record.run_id import NO_RUN
from pytest_deploy.record.run_state import FINISHED, LEASELESS, OPEN, STAGE_AFTER, LeaseState, LogState, RunState, Stage

PIPELINE_OUTCOMES: Final[Mapping[str, frozenset[str]]] = {
    "deploy": frozenset({"deployed", "refused", "failed", "rolled-back", "rollback-failed"}),
    "rollback": frozenset({"refused", "failed", "rolled-back", "rollback-failed"}),
    **dict.fromkeys(("plan", "smoke", "iq", "oq", "pq"), frozenset({"passed", "not-passed", "refused", "failed"})),
}


@dataclass(frozen=True)
class Proposal:
    """An event that somebody wants to append, and what it would meet."""

    type: str
    run: str
    data: Mapping[str, Json]
    time: datetime
    """UTC; the time it would carry."""
    state: RunState
    """Of its run."""
    lease: LeaseState | None
    """The environment's, if it is not released."""
    others: tuple[str, ...]
    """Other open runs that took the lease."""

    @property
    def holds_lease(self) -> bool:
        """Whether the lease is this run's."""
        return self.lease is not None and self.lease.run == self.run


@dataclass(frozen=True)
class Rule:
    """Where one type is legal."""

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
_GATE = Rule(frozenset({Stage.NEW, Stage.LEASED, Stage.PLANNED}), ("gate at its point",))
_KEY = Rule(frozenset(), outside=True)

LEGAL: Final[Mapping[str, Rule]] = {
    "request.made": Rule(frozenset({Stage.NEW, Stage.PLANNED}), ("no request yet", "built where inside a run")),
    "request.voided": Rule(frozenset({Stage.NEW}), ("request live",)),
    "approval.signed": Rule(_BEFORE_DECISION, ("request live", "of this request")),
    "approval.refused": Rule(_ALWAYS, ("requested",)),
    "override.signed": Rule(_BEFORE_DECISION, ("request live",)),
    "gate.passed": _GATE,
    "gate.refused": _GATE,
    "lease.taken": Rule(
        _leads("lease.taken", Stage.LEASED, *OPEN),
        ("not voided", "nobody else's turn", "recovers where open"),
    ),
    "lease.renewed": Rule(frozenset({Stage.LEASED}) | OPEN | FINISHED, ("own lease",)),
    "lease.released": Rule(_leads("lease.released", *FINISHED), ("own lease",)),
    "run.opened": Rule(_leads("run.opened"), ("leased unless a plan", "of this request")),
    "run.planned": Rule(_leads("run.planned")),
    "phase.started": Rule(_PLANNED, ("no phase open", "first time of the phase", "rollback phase in a rollback")),
    "phase.finished": Rule(_PLANNED, ("phase open or never begun", "no step open")),
    "step.started": Rule(_PLANNED, ("its phase open", "first time of the step", "leased if changing")),
    "step.finished": Rule(_PLANNED, ("its phase open", "step open")),
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
    "incident.opened": Rule(OPEN | FINISHED),
    "record.amended": Rule(FINISHED),
    "signoff.signed": Rule(FINISHED),
    "notification.sent": _NOTE,
    "notification.failed": _NOTE,
    "record.read": _NOTE,
    "deviation.accepted": _NOTE,
    "alert.raised": _ANYWHERE,
    "clock.skewed": _ANYWHERE,
    "anchor.made": _ANYWHERE,
    "key.enrolled": _KEY,
    "key.revoked": _KEY,
    "key.rotated": _KEY,
}


def _gate_at_its_point(event: Proposal) -> bool:
    if event.state.stage is Stage.PLANNED:
        return True
    requested = event.state.request_sha256 is not None and not event.state.voided
    return event.data["point"] == "lease" and (requested or event.state.stage is Stage.LEASED)


def _nobody_elses_turn(event: Proposal) -> bool:
    lease = event.lease
    recovering = lease is not None and lease.run == event.run and event.state.stage in OPEN
    return not event.others and (lease is None or recovering or lease.until <= event.time)


def _outcome_of_what_happened(event: Proposal) -> bool:
    state = event.state
    match event.data["outcome"]:
        case "deployed":
            return not state.failed and state.rollback_outcome is None
        case "passed":
            # A plan passes where only approvals or time are still needed: gates of it may have refused.
            return not state.failed or state.pipeline == LEASELESS
        case "failed" | "refused":
            return not state.changed
        case "rolled-back":
            return state.rollback_outcome == "rolled-back"
        case _:
            return True


CONDITIONS: Final[Mapping[str, tuple[Callable[[Proposal], bool], str]]] = {
    "run known": (lambda event: event.state.known, "nothing was recorded of this run"),
    "no request yet": (lambda event: event.state.request_sha256 is None, "the run has its request"),
    "built where inside a run": (
        lambda event: event.state.stage is Stage.NEW or "build" in event.state.phases,
        "a run makes its own request after its build",
    ),
    "requested": (lambda event: event.state.request_sha256 is not None, "the run has no request"),
    "request live": (
        lambda event: event.state.request_sha256 is not None and not event.state.voided,
        "the run has no live request",
    ),
    "not voided": (lambda event: not event.state.voided, "the request was voided"),
    "of this request": (
        lambda event: event.data["request_sha256"] == event.state.request_sha256,
        "request_sha256 is not that of the run's request",
    ),
    "gate at its point": (
        _gate_at_its_point,
        "before a run opens, gates are evaluated for a live request, at point lease",
    ),
    "nobody else's turn": (_nobody_elses_turn, "another lease lives, or another run is in progress"),
    "recovers where open": (
        lambda event: event.data.get("recovers", False) is (event.state.stage in OPEN),
        "inside an open run only recover takes the lease, and it says so",
    ),
    "own lease": (
        lambda event: event.lease is not None and event.holds_lease and event.data["fence"] == event.lease.fence,
        "the lease is not, or no longer, the one with this fence",
    ),
    "holds the lease": (lambda event: event.holds_lease, "the run does not hold the lease"),
    "leased unless a plan": (
        lambda event: (event.data["pipeline"] != LEASELESS) == (event.state.stage is Stage.LEASED),
        "every pipeline but a plan opens its run under the lease",
    ),
    "leased if changing": (
        lambda event: event.holds_lease or not event.data["changes"],
        "a step that changes something needs the lease",
    ),
    "no phase open": (lambda event: event.state.phase is None, "a phase is open"),
    "first time of the phase": (
        lambda event: event.data["phase"] not in event.state.phases,
        "the phase was had before",
    ),
    "rollback phase in a rollback": (
        lambda event: (event.data["phase"] == "rollback") == event.state.rollback_open,
        "the phase rollback, and no other, runs between rollback.started and rollback.finished",
    ),
    "phase open or never begun": (
        lambda event: (
            event.data["phase"] == event.state.phase
            or (event.data["outcome"] == "not-run" and event.data["phase"] not in event.state.phases)
        ),
        "the phase is not open",
    ),
    "its phase open": (lambda event: event.data["phase"] == event.state.phase, "the step's phase is not open"),
    "first time of the step": (lambda event: event.data["nodeid"] not in event.state.begun, "the step was had before"),
    "step open": (lambda event: event.data["nodeid"] in event.state.steps, "the step is not open"),
    "no step open": (lambda event: not event.state.steps, "a step is open"),
    "change announced": (
        lambda event: event.state.rollback_open or any(data["changes"] for data in event.state.steps.values()),
        "no step that changes anything is open, and no rollback",
    ),
    "in a step": (
        lambda event: event.state.stage in FINISHED or event.state.rollback_open or bool(event.state.steps),
        "no step is open",
    ),
    "no rollback open": (lambda event: not event.state.rollback_open, "a rollback is open"),
    "rollback open": (lambda event: event.state.rollback_open, "no rollback is open"),
    "nothing announced": (
        lambda event: not event.state.announced,
        "a step that changes something was announced: roll back and close the run instead",
    ),
    "outcome of the pipeline": (
        lambda event: event.data["outcome"] in PIPELINE_OUTCOMES[event.state.pipeline],
        "its pipeline has no such outcome",
    ),
    "outcome of what happened": (_outcome_of_what_happened, "the outcome contradicts what was recorded"),
    "outcome as decided": (lambda event: event.data["outcome"] == event.state.outcome, "another outcome was decided"),
}


def check_transition(state: LogState, event_type: str, data: Mapping[str, Json], *, run: str, time: datetime) -> None:
    """Refuse what is not legal next in a log; `data` fits its type. Raises IllegalEvent naming what is legal."""
    if state.empty and event_type != "key.enrolled":
        raise IllegalEvent(f"{event_type} is not legal now: a log begins with key.enrolled")
    if run == NO_RUN:
        if not LEGAL[event_type].outside:
            raise IllegalEvent(f"{event_type} belongs to a run; `-` stands for events outside any")
        return
    others = tuple([other for other in state.open_runs(leased=True) if other != run])
    reason = _refusal(Proposal(event_type, run, data, time, state.run(run), state.lease, others))
    if reason is not None:
        raise IllegalEvent(reason)


def check_order(state: LogState, event: Event) -> None:
    """Refuse an event that was not legal when it was written; `state` is that of the events before it. Raises IllegalEvent."""
    check_transition(state, event.type, event.data, run=event.run, time=event.time)


def _refusal(event: Proposal) -> str | None:
    """Why the event may not come next in its run, and what may; None where it may."""
    rule = LEGAL[event.type]
    stage = event.state.stage
    if stage not in rule.stages:
        reason = f"the run is {stage}"
    else:
        for name in rule.conditions:
            holds, reason = CONDITIONS[name]
            if not holds(event):
                break
        else:
            return None
    legal = [name for name, other in LEGAL.items() if stage in other.stages and other.stages is not _ALWAYS]
    return (
        f"{event.type} is not legal now in {event.run} ({stamp(event.time)}): {reason}; legal now: {', '.join(legal)}"
    )
