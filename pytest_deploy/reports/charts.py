"""What a page draws to scale: where phases and steps lie in the run, and every response time that a step measured."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pytest_deploy.reports.run_summary import PhaseSummary, RunSummary, StepSummary

WIDTH: Final = 1000
"""Units of the full width of a drawing."""
HEIGHT: Final = 100
"""Units of the full height of one."""
OVER_TIME: Final = 3
"""From so many samples on a series is drawn over time; fewer are drawn side by side, to one scale for all."""
_SERVER_FAULT: Final = 500


@dataclass(frozen=True)
class Mark:
    """A rectangle of a drawing, in units of WIDTH and HEIGHT."""

    x: float
    width: float
    kind: str
    """An outcome; of an answer: sample, late (over the limit), or failed (as high as the drawing: it has no time)."""
    title: str = ""
    y: float = 0
    height: float = HEIGHT


# The timeline: one row a phase.


@dataclass(frozen=True)
class PhaseRow:
    phase: PhaseSummary
    offset_s: float | None
    """Seconds from the beginning of the run; None where it never began."""
    bar: Mark | None
    steps: tuple[Mark, ...]
    """One for each step that began in it."""


def timeline(summary: RunSummary) -> tuple[PhaseRow, ...]:
    rows = []
    for phase in summary.phases:
        offset = (phase.started - summary.began).total_seconds() if phase.started is not None else None
        bars = (_bar(summary, step, step.title) for step in phase.steps)
        rows.append(PhaseRow(phase, offset, _bar(summary, phase), tuple(bar for bar in bars if bar is not None)))
    return tuple(rows)


def sla_bars(summary: RunSummary) -> tuple[Mark, ...]:
    """The run's duration as two bars, what was no watch and the watch, where WIDTH is what policy allows; none without an SLA."""
    if summary.decided is None or not summary.decided.sla_s:
        return ()
    taken, allowed = summary.decided.duration_s, summary.decided.sla_s
    outcome = "failed" if taken > allowed else "passed"
    whole = min(taken / allowed, 1.0) * WIDTH
    working = min(max(0.0, taken - summary.watched_s) / allowed, 1.0) * WIDTH
    bars = (Mark(0, round(working, 2), outcome),)
    watch = Mark(round(working, 2), round(whole - working, 2), f"phase {outcome}")
    return (*bars, watch) if whole > working else bars


def _bar(summary: RunSummary, what: PhaseSummary | StepSummary, title: str = "") -> Mark | None:
    """Where it lies in the run; None where it never began."""
    if what.started is None:
        return None
    whole = summary.seconds or 1.0
    x = min(max((what.started - summary.began).total_seconds() / whole * WIDTH, 0.0), WIDTH)
    lasting = what.duration_s if what.duration_s is not None else (summary.ended - what.started).total_seconds()
    width = min(max(lasting / whole * WIDTH, 1.0), max(WIDTH - x, 1.0))
    return Mark(round(x, 2), round(width, 2), what.outcome, title)


# Response times: one series for each call that a step measured.


@dataclass(frozen=True)
class Sample:
    at_s: float
    """Since the step began."""
    took_s: float
    status: int | None

    @property
    def failed(self) -> bool:
        """No answer, or the server's own fault. A refusal (401) may be what a step asks for."""
        return self.status is not None and (self.status == 0 or self.status >= _SERVER_FAULT)


@dataclass(frozen=True)
class Series:
    """The samples of one call of one step."""

    step: StepSummary
    label: str
    samples: tuple[Sample, ...]
    limit_s: float | None
    scale_s: float
    """Seconds at the full extent of the drawing."""

    @property
    def median_s(self) -> float:
        return statistics.median(sample.took_s for sample in self.samples)

    @property
    def slowest_s(self) -> float:
        return max(sample.took_s for sample in self.samples)

    @property
    def failures(self) -> int:
        return sum(sample.failed for sample in self.samples)

    @property
    def over_time(self) -> bool:
        return len(self.samples) >= OVER_TIME

    @property
    def lasted_s(self) -> float:
        """From the step's beginning to the last answer."""
        return max(sample.at_s + (0.0 if sample.failed else sample.took_s) for sample in self.samples)

    @property
    def marks(self) -> tuple[Mark, ...]:
        """Each sample, drawn: over time as a column where it began, else as a bar from the left."""
        draw = self._column if self.over_time else self._bar
        return tuple(draw(sample, at) for at, sample in enumerate(self.samples))

    @property
    def limit_at(self) -> float | None:
        """How far up the limit lies in a drawing over time; None where it lies outside."""
        if self.limit_s is None or self.limit_s > self.scale_s:
            return None
        return round(HEIGHT - self.limit_s / self.scale_s * HEIGHT, 2)

    def _kind(self, sample: Sample) -> str:
        if sample.failed:
            return "failed"
        return "late" if self.limit_s is not None and sample.took_s > self.limit_s else "sample"

    def _column(self, sample: Sample, _at: int) -> Mark:
        width = min(12.0, WIDTH / len(self.samples) * 0.7)
        x = sample.at_s / (self.lasted_s or 1.0) * (WIDTH - width)
        height = HEIGHT if sample.failed else max(sample.took_s / self.scale_s * HEIGHT, 2.0)
        y = HEIGHT - height
        return Mark(round(x, 2), round(width, 2), self._kind(sample), y=round(y, 2), height=round(height, 2))

    def _bar(self, sample: Sample, at: int) -> Mark:
        height = HEIGHT / len(self.samples)
        width = WIDTH if sample.failed else max(sample.took_s / self.scale_s * WIDTH, 2.0)
        y = at * height
        return Mark(0, round(width, 2), self._kind(sample), y=round(y, 2), height=round(height * 0.8, 2))


def response_times(summary: RunSummary, files: Mapping[str, str]) -> tuple[Series, ...]:
    """Every series of a run, in the order of its steps.

    `files`: the text of the run's files by name: many samples lie in one. Raises KeyError where one is not there.
    """
    measured = [
        (step, label, tuple(Sample(*sample) for sample in samples), measurements.get("limit_s"))
        for step in summary.steps
        if step.measured
        for measurements in (json.loads(files[step.measured["file"]]) if "file" in step.measured else step.measured,)
        for label, samples in measurements.get("samples", {}).items()
    ]
    few_s = max((_slowest(samples) for _, _, samples, _ in measured if len(samples) < OVER_TIME), default=0.0)
    return tuple(
        Series(step, label, samples, limit_s, (_slowest(samples) if len(samples) >= OVER_TIME else few_s) or 1.0)
        for step, label, samples, limit_s in measured
    )


def _slowest(samples: tuple[Sample, ...]) -> float:
    """Seconds of the slowest answer that came; 0 where none did."""
    return max((sample.took_s for sample in samples if not sample.failed), default=0.0)
