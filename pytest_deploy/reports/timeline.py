"""Where a phase and its steps lie in the run, to scale."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pytest_deploy.reports.run_summary import PhaseStory, RunStory

WIDTH = 1000
"""Units of the whole run."""


@dataclass(frozen=True)
class Bar:
    """A stretch of the run, in units of WIDTH."""

    x: float
    width: float
    outcome: str
    title: str


@dataclass(frozen=True)
class Row:
    """One phase: its own bar and one for each step that began in it."""

    phase: PhaseStory
    offset_s: float | None
    """Seconds from the beginning of the run; None where it never began."""
    bar: Bar | None
    steps: tuple[Bar, ...]


def rows(story: RunStory) -> tuple[Row, ...]:
    """One row a phase, in order."""
    return tuple(_row(story, phase) for phase in story.phases)


def against_the_sla(story: RunStory) -> tuple[Bar, ...]:
    """The run's duration as two bars, what was no watch and the watch, where WIDTH is what policy allows; none without an SLA."""
    allowed = story.decided.get("sla_s")
    if not allowed:
        return ()
    taken = story.decided["duration_s"]
    outcome = "failed" if taken > allowed else "passed"
    whole = min(taken / allowed, 1.0) * WIDTH
    working = min(max(0.0, taken - story.watched_s) / allowed, 1.0) * WIDTH
    bars = (Bar(0, round(working, 2), outcome, "without the watch"),)
    watch = Bar(round(working, 2), round(whole - working, 2), f"phase {outcome}", "the watch")
    return (*bars, watch) if whole > working else bars


def _row(story: RunStory, phase: PhaseStory) -> Row:
    if phase.started is None:
        return Row(phase, None, None, ())
    bars = tuple(
        _bar(story, step.started, step.duration_s, step.outcome, step.title)
        for step in phase.steps
        if step.started is not None
    )
    offset = (phase.started - story.began).total_seconds()
    return Row(phase, offset, _bar(story, phase.started, phase.duration_s, phase.outcome, phase.name), bars)


def _bar(story: RunStory, started: datetime, duration_s: float | None, outcome: str, title: str) -> Bar:
    whole = story.seconds or 1.0
    x = min(max((started - story.began).total_seconds() / whole * WIDTH, 0.0), WIDTH)
    lasting = duration_s if duration_s is not None else (story.ended - started).total_seconds()
    return Bar(round(x, 2), round(min(max(lasting / whole * WIDTH, 1.0), max(WIDTH - x, 1.0)), 2), outcome, title)
