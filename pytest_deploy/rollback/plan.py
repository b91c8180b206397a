"""How an environment is undone: one pure function of (log, live state).

The log says what the environment was before the first change; the live state says what it is; the plan is what lies
between. A plan made twice, or after half of it was executed, is the plan of what is left: nothing here remembers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_deploy.migrate.migration import Migration, compatibility
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import RequestMade, StepStarted, given
from pytest_deploy.release.live import Baseline

Order = Literal["traffic-first", "database-first"]
"""Which goes back first."""


@dataclass(frozen=True)
class Live:
    """The environment as it is now."""

    shares: Mapping[str, int]
    """Percent by revision, of those above 0."""
    tags: Mapping[str, str]
    """Tag -> revision."""
    migrations: tuple[str, ...]
    """Versions applied, in order of application."""
    settled: bool
    """Whether what was asked of the platform is what serves; a revision that never became ready leaves a wish behind."""


@dataclass(frozen=True)
class MoveTraffic:
    """Give all traffic back to the revision that served before, and take the tags away."""

    revision: str


@dataclass(frozen=True)
class RollBackSchema:
    """Run the downs of what was applied since, newest first, in one transaction."""

    undo: tuple[str, ...]
    remain: tuple[str, ...]


Act = MoveTraffic | RollBackSchema


def announced(events: Sequence[Event]) -> bool:
    """Whether a run announced a step that changes the environment; without one there is nothing to undo."""
    return any(step.changes for _, step in of_type(events, StepStarted))


def baseline_of(events: Sequence[Event]) -> Baseline | None:
    """What the run's request says the environment was before the first change; None where no request was made."""
    for _, request in of_type(events, RequestMade):
        if (stated := given(request.earlier)) is not None:
            return Baseline.of(stated)
    return None


def order_of(policy: Order, since: Sequence[Migration]) -> Order:
    """`database-first` where the earlier revision cannot serve on the new schema (a breaking migration), else policy's."""
    return "database-first" if not compatibility(since).running_revision_survives else policy


def plan(baseline: Baseline, live: Live, order: Order) -> tuple[Act, ...]:
    """The acts that lead from the live state back to the baseline, in policy's order. Empty: nothing is left to do."""
    acts: list[Act] = []
    if dict(live.shares) != {baseline.revision: 100} or live.tags or not live.settled:
        acts.append(MoveTraffic(baseline.revision))
    undo = tuple(version for version in live.migrations if version not in baseline.migrations)
    if undo:
        acts.append(RollBackSchema(undo=tuple(reversed(undo)), remain=baseline.migrations))
    return tuple(acts if order == "traffic-first" else reversed(acts))
