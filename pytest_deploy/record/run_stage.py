"""What the events of one run so far amount to: its stage, and what is open in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from pytest_deploy.record.event import Event
from pytest_deploy.record.events import Json


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


IN_PROGRESS: Final = frozenset({Stage.OPENED, Stage.PLANNED, Stage.DECIDED})
FINISHED: Final = frozenset({Stage.CLOSED, Stage.ABANDONED})
LIFE_S: Final = 60.0
"""Seconds that a lease lasts unless it is renewed."""
LEASELESS: Final = "plan"
"""The pipeline that changes nothing and takes no lease."""


@dataclass
class Run:
    """One run. Grows as events are taken in; nothing outside `take_in` changes it."""

    stage: Stage = Stage.NEW
    known: bool = False
    """Whether any event named it."""
    request_sha256: str | None = None
    voided: bool = False
    pipeline: str = ""
    phase: str | None = None
    """The open phase."""
    phases: set[str] = field(default_factory=set)
    """Begun, or declared not run."""
    steps: dict[str, Mapping[str, Json]] = field(default_factory=dict)
    """Open ones: node id -> data of its step.started."""
    begun: set[str] = field(default_factory=set)
    """Node ids that started or were declared not run."""
    failed: bool = False
    """A step ended failed or in error."""
    announced: bool = False
    """A step that changes something was announced."""
    changed: bool = False
    """Something in the environment was changed."""
    rollback_open: bool = False
    rollback_outcome: str | None = None
    """Of the newest rollback that finished."""
    outcome: str | None = None
    """As decided."""

    def take_in(self, event_type: str, data: Mapping[str, Json]) -> None:  # noqa: C901, PLR0912 - one arm a type
        """Note what an event of this run did. The stage is the table's business."""
        self.known = True
        match event_type:
            case "request.made":
                self.request_sha256 = data["request_sha256"]
            case "request.voided":
                self.voided = True
            case "run.opened":
                self.pipeline = data["pipeline"]
            case "phase.started":
                self.phase = data["phase"]
                self.phases.add(data["phase"])
            case "phase.finished":
                self.phase = None if self.phase == data["phase"] else self.phase
                self.phases.add(data["phase"])
            case "step.started":
                self.steps[data["nodeid"]] = data
                self.begun.add(data["nodeid"])
                self.announced |= data["changes"]
            case "step.finished":
                self.steps.pop(data["nodeid"], None)
                self.failed |= data["outcome"] in {"failed", "error"}
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
                self.phases, self.steps, self.begun = set(), {}, set()
            case _:
                pass


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
