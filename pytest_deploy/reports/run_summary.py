"""The run as its events tell it: phases, steps and facts in order. Pure: events in, values out.

Nothing here is computed that an event does not state, but counts, differences of times and the words of `words`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pytest_deploy.pipeline.step import title_of
from pytest_deploy.policy.phases import PHASES
from pytest_deploy.record.event import Event

NOT_RUN = "not-run"
"""The outcome of a step that has a `step.not-run`, and of a phase none of whose steps began."""
UNFINISHED = "unfinished"
"""The outcome of what began and whose end is not in these events."""


@dataclass(frozen=True)
class StepStory:
    """One step."""

    nodeid: str
    phase: str
    title: str
    outcome: str
    """passed, failed, error, skipped; not-run; unfinished."""
    changes: bool
    started: datetime | None = None
    """UTC; None where it never began."""
    duration_s: float | None = None
    verifies: tuple[str, ...] = ()
    attempts: int = 0
    message: str = ""
    expected: Any = None
    actual: Any = None
    warnings: tuple[str, ...] = ()
    attachments: Mapping[str, str] | None = None
    """Name -> SHA-256."""
    cause: str = ""
    """Why it was not run."""
    measured: Mapping[str, Any] | None = None
    """How fast the environment answered it, as `phase/measured` tells it."""
    ended_by: int | None = None
    """The position of the event that says how it ended; None where none does."""

    @property
    def watched_s(self) -> float:
        """Seconds it watched over what serves."""
        return float((self.measured or {}).get("watch_s", 0.0))


@dataclass(frozen=True)
class PhaseStory:
    """One phase with its steps, in order of their beginning; those not run last."""

    name: str
    outcome: str
    steps: tuple[StepStory, ...]
    started: datetime | None = None
    duration_s: float | None = None
    cause: str = ""

    @property
    def watched_s(self) -> float:
        """Seconds of it that were a watch."""
        return sum(step.watched_s for step in self.steps)

    @property
    def unwatched_s(self) -> float | None:
        """How long it lasted without the watch."""
        return None if self.duration_s is None else max(0.0, self.duration_s - self.watched_s)


@dataclass(frozen=True)
class RunStory:
    """One run."""

    run: str
    opened: Mapping[str, Any]
    """`run.opened`'s data."""
    decided: Mapping[str, Any]
    """`run.decided`'s data; empty where the events end before it."""
    began: datetime
    """UTC; what the duration counts from."""
    ended: datetime
    """UTC; of `run.decided`, or of the last event."""
    phases: tuple[PhaseStory, ...]
    events: tuple[Event, ...]

    @property
    def seconds(self) -> float:
        """From `began` to `ended`."""
        return (self.ended - self.began).total_seconds()

    @property
    def steps(self) -> tuple[StepStory, ...]:
        """Every step of every phase."""
        return tuple(step for phase in self.phases for step in phase.steps)

    @property
    def image(self) -> str | None:
        """The artefact the run is about: approved, built, or found serving; None where no event names one."""
        stated = [
            self.opened["image"],
            *(event.data.get("image") for event in self.of("request.made", "step.finished")),
            (self.opened.get("target") or {}).get("image"),
        ]
        return next((image for image in stated if image), None)

    @property
    def watched_s(self) -> float:
        """Seconds of the run that were a watch over what serves."""
        return sum(phase.watched_s for phase in self.phases)

    @property
    def unwatched_s(self) -> float:
        """How long the run lasted without the watch."""
        return max(0.0, self.seconds - self.watched_s)

    def of(self, *types: str) -> tuple[Event, ...]:
        """Its events of these types, in order."""
        return tuple(event for event in self.events if event.type in types)


def tell(events: Sequence[Event]) -> RunStory:
    """The story of one run from its own events. Raises ValueError where none of them opens the run."""
    opened = next((event for event in events if event.type == "run.opened"), None)
    if opened is None:
        raise ValueError("no run.opened among the events: there is no run to tell of")
    decided = next((event for event in events if event.type == "run.decided"), None)
    ended = decided.time if decided is not None else events[-1].time
    took = timedelta(seconds=decided.data["duration_s"]) if decided is not None else ended - events[0].time
    return RunStory(
        run=opened.run,
        opened=opened.data,
        decided=decided.data if decided is not None else {},
        began=ended - took,
        ended=ended,
        phases=_phases(events),
        events=tuple(events),
    )


def _phases(events: Sequence[Event]) -> tuple[PhaseStory, ...]:
    steps = _steps(events)
    phases: dict[str, PhaseStory] = {}
    for event in events:
        if event.type == "phase.started":
            name = event.data["phase"]
            phases[name] = PhaseStory(name, UNFINISHED, (), started=event.time)
        elif event.type == "phase.finished":
            name, data = event.data["phase"], event.data
            begun = phases.get(name, PhaseStory(name, UNFINISHED, ()))
            cause = data.get("cause") or ""
            phases[name] = replace(begun, outcome=data["outcome"], duration_s=data["duration_s"], cause=cause)
    for step in steps:
        phases.setdefault(step.phase, PhaseStory(step.phase, NOT_RUN, ()))
    order = list(PHASES)
    known = sorted((name for name in phases if name in PHASES), key=order.index)
    names = [*known, *(name for name in phases if name not in PHASES)]
    return tuple(replace(phases[name], steps=tuple(step for step in steps if step.phase == name)) for name in names)


def _steps(events: Sequence[Event]) -> tuple[StepStory, ...]:
    steps: dict[str, StepStory] = {}
    for event in events:
        data = event.data
        if event.type == "step.started":
            title = data.get("title") or title_of(data["nodeid"])
            begun = StepStory(data["nodeid"], data["phase"], title, UNFINISHED, data["changes"], started=event.time)
            steps[data["nodeid"]] = begun
        elif event.type == "step.finished":
            steps[data["nodeid"]] = _finished(steps.get(data["nodeid"]), event)
        elif event.type == "step.not-run":
            title = data.get("title") or title_of(data["nodeid"])
            steps[data["nodeid"]] = StepStory(
                nodeid=data["nodeid"],
                phase=data["phase"],
                title=title,
                outcome=NOT_RUN,
                changes=bool(data.get("changes")),
                verifies=tuple(data.get("verifies", ())),
                cause=data["cause"],
                ended_by=event.seq,
            )
    return tuple(steps.values())


def _finished(begun: StepStory | None, event: Event) -> StepStory:
    data = event.data
    title = data.get("title") or (begun.title if begun is not None else title_of(data["nodeid"]))
    return StepStory(
        nodeid=data["nodeid"],
        phase=data["phase"],
        title=title,
        outcome=data["outcome"],
        changes=begun.changes if begun is not None else False,
        started=begun.started if begun is not None else None,
        duration_s=data["duration_s"],
        verifies=tuple(data["verifies"]),
        attempts=data["attempts"],
        message=data["message"] or "",
        expected=data["expected"],
        actual=data["actual"],
        warnings=tuple(map(str, data["warnings"])),
        attachments=data["attachments"],
        measured=data.get("measured"),
        ended_by=event.seq,
    )
