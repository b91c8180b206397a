"""How deployments of each environment went over time: how long they took, how many were rolled back, how many kept the SLA."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pytest_deploy.reports.index_row import RunLine

WIDTH: Final = 1000
HEIGHT: Final = 100
_DEPLOY: Final = "deploy"
_BACK: Final = frozenset({"rolled-back", "rollback-failed"})
_NEWEST: Final = 100
"""Runs that are drawn; the figures count all."""


@dataclass(frozen=True)
class Column:
    """One run, drawn: as high as it took, in units of HEIGHT."""

    x: float
    width: float
    height: float
    outcome: str
    run: str


@dataclass(frozen=True)
class Trend:
    """The decided deployments of one environment, oldest first."""

    environment: str
    rehearsal: bool
    lines: tuple[RunLine, ...]

    @property
    def deployed(self) -> int:
        """How many ended with the new release serving."""
        return sum(line.outcome == "deployed" for line in self.lines)

    @property
    def rolled_back(self) -> int:
        """How many were undone, or should have been."""
        return sum(line.outcome in _BACK for line in self.lines)

    @property
    def with_sla(self) -> tuple[RunLine, ...]:
        """Those that policy gives an SLA."""
        return tuple(line for line in self.lines if line.sla_s)

    @property
    def within_sla(self) -> int:
        """How many of these kept it."""
        return sum(line.within_sla for line in self.with_sla)

    @property
    def median_s(self) -> float | None:
        """The median duration of those that deployed; None where none did."""
        took = [line.duration_s for line in self.lines if line.outcome == "deployed" and line.duration_s is not None]
        return statistics.median(took) if took else None

    @property
    def scale_s(self) -> float:
        """Seconds at the full height of the drawing."""
        return max((line.duration_s or 0.0 for line in self._drawn), default=0.0) or 1.0

    @property
    def columns(self) -> tuple[Column, ...]:
        """The newest runs, drawn from the left."""
        width = WIDTH / max(len(self._drawn), 20)
        return tuple(
            Column(
                round(at * width, 2),
                round(width * 0.7, 2),
                round(max((line.duration_s or 0.0) / self.scale_s * HEIGHT, 2.0), 2),
                line.outcome,
                line.run,
            )
            for at, line in enumerate(self._drawn)
        )

    @property
    def limit_at(self) -> float | None:
        """How far down the newest run's SLA lies in the drawing; None where there is none, or it lies above."""
        limit = self.lines[-1].sla_s
        return round(HEIGHT - limit / self.scale_s * HEIGHT, 2) if limit and limit <= self.scale_s else None

    @property
    def _drawn(self) -> tuple[RunLine, ...]:
        return self.lines[-_NEWEST:]


def percent(part: int, whole: int) -> str:
    """`3 of 12, 25 %`; a dash where there is nothing to count."""
    return f"{part} of {whole}, {part / whole * 100:.0f} %" if whole else "—"


def trends(lines: Sequence[RunLine]) -> tuple[Trend, ...]:
    """One trend an environment that has decided deployments, its rehearsals apart; by name, the real ones first."""
    found: dict[tuple[bool, str], list[RunLine]] = {}
    for line in sorted(lines, key=lambda line: (line.opened, line.run)):
        if line.pipeline == _DEPLOY and line.duration_s is not None:
            found.setdefault((line.rehearsal, line.environment), []).append(line)
    return tuple(Trend(name, rehearsal, tuple(found[rehearsal, name])) for rehearsal, name in sorted(found))
