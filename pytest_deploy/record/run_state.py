"""What a log amounts to: every run and how far it has come, the lease, freezes, counted runs, requests, what serves.

One projection, which everybody reads. `apply` takes in an event that is in the log, in order; it judges nothing:
what may come next is the business of `transitions`. A writer's log need not apply all events: it starts before the first event of
the run it writes for. A verifier starts at event 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Self

from pytest_deploy.record.clock import parse_stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import Json
from pytest_deploy.record.run_id import NO_RUN


class Stage(StrEnum):
    """How far a run has come."""

    NEW = "new"
    """Nothing, or a request that people may approve."""
    LEASED = "leased"
    OPENED = "opened"
    PLANNED = "planned"
    DECIDED = "decided"
    CLOSED = "closed"
    ABANDONED = "abandoned"

    __hash__ = str.__hash__  # an Enum's own is a call in Python, three times for each event


OPEN: Final = frozenset({Stage.OPENED, Stage.PLANNED, Stage.DECIDED})
FINISHED: Final = frozenset({Stage.CLOSED, Stage.ABANDONED})
LEASE_LIFE_S: Final = 60.0
"""Seconds that a lease lasts unless it is renewed."""
LEASELESS: Final = "plan"
"""The pipeline that changes nothing and takes no lease."""

STAGE_AFTER: Final[Mapping[str, Mapping[Stage, Stage]]] = {
    "lease.taken": {Stage.NEW: Stage.LEASED},
    "lease.released": {Stage.LEASED: Stage.NEW},
    "run.opened": {Stage.NEW: Stage.OPENED, Stage.LEASED: Stage.OPENED},
    "run.planned": {Stage.OPENED: Stage.PLANNED},
    "run.decided": {Stage.OPENED: Stage.DECIDED, Stage.PLANNED: Stage.DECIDED},
    "run.closed": {Stage.DECIDED: Stage.CLOSED},
    "run.abandoned": {Stage.OPENED: Stage.ABANDONED, Stage.PLANNED: Stage.ABANDONED},
}
"""The types that bring a run to another stage: from which stage to which. In any other stage, and of any other type, it stays."""


def note_rejection(rejected: dict[str, datetime], signer: str, signed_at: datetime) -> None:
    """Take in a rejection that was counted: of two by one person the one that was signed later stands."""
    rejected[signer] = max(signed_at, rejected.get(signer, signed_at))


def lift_rejection(rejected: dict[str, datetime], signer: str, signed_at: datetime | None) -> None:
    """Take in an approval that was counted: it takes back what the same person rejected before they signed it.

    One whose event does not say when it was signed takes back nothing.
    """
    if signer in rejected and signed_at is not None and signed_at > rejected[signer]:
        del rejected[signer]


@dataclass(slots=True)
class RunState:
    """One run. Grows as events are applied; read it, never write it."""

    stage: Stage = Stage.NEW
    known: bool = False
    request_sha256: str | None = None
    voided: bool = False
    """Its request starts no run any more."""
    rejected_by: dict[str, datetime] = field(default_factory=dict)
    """Who rejected its request, when they signed that last (UTC), and signed no approval later."""
    pipeline: str = ""
    commit: str = ""
    opened_at: datetime | None = None
    """UTC, as the log has it."""
    lease_until: datetime | None = None
    """UTC, of the newest lease that it took or renewed."""
    phase: str | None = None
    phases: set[str] = field(default_factory=set)
    """Begun, or declared not run."""
    steps: dict[str, Mapping[str, Json]] = field(default_factory=dict)
    """Open ones: node id -> data of its step.started."""
    begun: set[str] = field(default_factory=set)
    """Node ids that started or were declared not run."""
    ends: set[str] = field(default_factory=set)
    """How the steps of the newest phase ended."""
    failed: bool = False
    """A step ended failed or in error."""
    still_needed: bool = False
    """A step ended still needed."""
    counts_from: datetime | None = None
    """UTC, by the clock that gates go by: when it announced its first changing step, else when it opened."""
    announced: bool = False
    """A step that changes something was announced."""
    changed: bool = False
    rollback_open: bool = False
    rollback_outcome: str | None = None
    """Of the newest rollback that finished."""
    outcome: str | None = None

    @property
    def is_open(self) -> bool:
        return self.stage in OPEN

    def brings(self, outcome: str) -> bool:
        """Whether its commit serves where it ends so."""
        return outcome == "deployed" or (outcome == "rolled-back" and self.pipeline == "rollback")

    def apply(self, event: Event) -> None:  # noqa: C901, PLR0912 - one arm a type
        data = event.data
        self.known = True
        match event.type:
            case "request.made":
                self.request_sha256 = data["request_sha256"]
            case "request.voided":
                self.voided = True
            case "request.rejected":
                note_rejection(self.rejected_by, data["signer"], parse_stamp(data["signed_at"]))
            case "approval.signed":
                lift_rejection(
                    self.rejected_by, data["signer"], parse_stamp(data["signed_at"]) if "signed_at" in data else None
                )
            case "lease.taken" | "lease.renewed":
                self.lease_until = parse_stamp(data["until"])
            case "run.opened":
                self.pipeline, self.commit = data["pipeline"], data["commit"]
                self.opened_at, self.counts_from = event.time, event.instant
            case "phase.started":
                self.phase, self.ends = data["phase"], set()
                self.phases.add(data["phase"])
            case "phase.finished":
                self.phase = None if self.phase == data["phase"] else self.phase
                self.phases.add(data["phase"])
            case "step.started":
                self.steps[data["nodeid"]] = data
                self.begun.add(data["nodeid"])
                if data["changes"] and not self.announced:
                    self.announced, self.counts_from = True, event.instant
            case "step.finished":
                self.steps.pop(data["nodeid"], None)
                self.ends.add(data["outcome"])
                self.failed |= data["outcome"] in {"failed", "error"}
                self.still_needed |= data["outcome"] == "still-needed"
            case "step.not-run":
                self.begun.add(data["nodeid"])
            case "migration.applied" | "migration.rolled-back" | "revision.deployed" | "traffic.moved":
                self.changed = True
            case "rollback.started":
                self.rollback_open = True
            case "rollback.finished":
                self.rollback_open = False
                self.rollback_outcome = data["outcome"]
            case "run.decided":
                self.outcome = data["outcome"]
            case "run.closed" | "run.abandoned":
                # A log holds a hundred thousand runs: a finished one keeps only what later events are held against.
                self.phases, self.steps, self.begun, self.ends, self.commit = set(), {}, set(), set(), ""
            case _:
                pass
        leads = STAGE_AFTER.get(event.type)
        if leads is not None:
            self.stage = leads.get(self.stage, self.stage)


@dataclass(frozen=True)
class LeaseState:
    """The environment's lease as the log has it."""

    run: str
    fence: int
    """seq of its lease.taken: the fencing token."""
    until: datetime
    """UTC; past it the lease is dead, though nobody may have taken it over."""
    taken: Event
    """Its lease.taken: holder, host, process."""


@dataclass(frozen=True)
class CountedRun:
    """A deployment that counts towards the rate limit: it is open, or it announced a changing step."""

    run: str
    at: datetime
    """UTC: its first changing step, else when it was opened."""
    is_open: bool


@dataclass(frozen=True)
class Freeze:
    event: Event
    """Its environment.frozen."""
    thaws: tuple[Event, ...] = ()
    """What was signed to lift it since (environment.released). Whether one does is judged by who reads it."""


class LogState:
    """What the events applied so far amount to."""

    def __init__(self) -> None:
        self.runs: dict[str, RunState] = {}
        """By name, in the order in which they were first named."""
        self.empty = True
        self.lease: LeaseState | None = None
        """The newest lease, while it is not released; it may be past its time."""
        self.freeze: Freeze | None = None
        """The newest freeze, whether or not something lifted it since."""
        self.deployed_commit: str | None = None
        """What the newest run that closed as deployed made serve, or a rollback by hand brought back."""
        self.traffic: Event | None = None
        """The newest traffic.moved: which revisions serve."""
        self._open: dict[str, None] = {}  # in the order in which they opened
        self._requests: dict[str, Event] = {}  # made, and neither voided nor opened

    @classmethod
    def of(cls, events: Iterable[Event]) -> Self:
        """Of a log's events, from the first on."""
        state = cls()
        for event in events:
            state.apply(event)
        return state

    def run(self, run: str) -> RunState:
        """What a run amounts to; a run nobody named is new."""
        return self.runs.get(run) or RunState()

    def open_runs(self, *, leased: bool = False) -> tuple[str, ...]:
        """The runs that are open, in the order in which they opened; with `leased`, those that took the lease."""
        return tuple([run for run in self._open if not leased or self.runs[run].pipeline != LEASELESS])

    def counted_runs(self) -> tuple[CountedRun, ...]:
        return tuple(
            CountedRun(run, state.counts_from, state.is_open)
            for run, state in self.runs.items()
            if state.pipeline == "deploy" and state.counts_from is not None and (state.announced or state.is_open)
        )

    def pending_requests(self) -> tuple[Event, ...]:
        """The request.made of each run that was asked for, not voided, and not opened; they may have expired."""
        return tuple(self._requests.values())

    def apply(self, event: Event) -> None:
        self.empty = False
        if event.run != NO_RUN:
            state = self.runs.get(event.run)
            if state is None:
                state = self.runs[event.run] = RunState()
            if event.type == "run.closed" and state.brings(event.data["outcome"]):
                self.deployed_commit = state.commit
            state.apply(event)
            if event.type in STAGE_AFTER and state.is_open:
                self._open[event.run] = None
            elif event.type in STAGE_AFTER:
                self._open.pop(event.run, None)
        self._apply_to_environment(event)

    def _apply_to_environment(self, event: Event) -> None:  # noqa: C901 - one arm a type
        match event.type:
            case "request.made":
                if not self.run(event.run).is_open:
                    self._requests[event.run] = event
            case "request.voided" | "run.opened":
                self._requests.pop(event.run, None)
            case "environment.frozen":
                self.freeze = Freeze(event)
            case "environment.released":
                if self.freeze is not None:
                    self.freeze = replace(self.freeze, thaws=(*self.freeze.thaws, event))
            case "traffic.moved":
                self.traffic = event
            case "lease.taken":
                until = parse_stamp(event.data["until"])
                self.lease = LeaseState(run=event.run, fence=event.seq, until=until, taken=event)
            case "lease.renewed" if self.lease is not None and event.data["fence"] == self.lease.fence:
                self.lease = replace(self.lease, until=parse_stamp(event.data["until"]))
            case "lease.released" if self.lease is not None and event.data["fence"] == self.lease.fence:
                self.lease = None
            case "clock.skewed" if self.lease is not None and "restart" in event.data:
                # By the clock that was wrong it would live for years: whoever still holds it renews it by the right one.
                ends = event.earliest_next + timedelta(seconds=LEASE_LIFE_S)
                self.lease = replace(self.lease, until=min(self.lease.until, ends))
            case _:
                pass
