"""The gates of a run at each point they were asked: in its plan, where the lease is taken, in preflight, before the first change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pytest_deploy.record.event import Event

ASKED: Final[Mapping[str, str]] = {
    "plan": "Plan",
    "lease": "Lease",
    "preflight": "Preflight",
    "change": "First change",
}
"""The points, in order, and how a page heads them. Preflight asks again what was asked at the lease, inside the run."""


@dataclass(frozen=True)
class Asking:
    """One verdict of one gate."""

    point: str
    """A key of ASKED."""
    event: Event

    @property
    def verdict(self) -> str:
        """passed, overridden or refused."""
        if self.event.type == "gate.refused":
            return "refused"
        return "overridden" if "override" in self.event.data["inputs"] else "passed"


@dataclass(frozen=True)
class GateRow:
    """One gate, with every verdict it gave."""

    gate: str
    askings: tuple[Asking, ...]

    def at(self, point: str) -> Asking | None:
        """Its last verdict at a point; None where it was not asked there."""
        return next((asking for asking in reversed(self.askings) if asking.point == point), None)

    @property
    def last(self) -> Asking:
        """What it said in the end."""
        return self.askings[-1]


def gate_rows(events: Sequence[Event], plan: Sequence[Event] = ()) -> tuple[GateRow, ...]:
    """One row a gate, in the order first asked. `plan`: the events of the plan that made this run's request."""
    rows: dict[str, list[Asking]] = {}
    for asking in (*_askings(plan), *_askings(events)):
        rows.setdefault(asking.event.data["gate"], []).append(asking)
    return tuple(GateRow(gate, tuple(askings)) for gate, askings in rows.items())


def _askings(events: Sequence[Event]) -> Iterator[Asking]:
    opened = False
    for event in events:
        opened |= event.type == "run.opened"
        if event.type in {"gate.passed", "gate.refused"}:
            point = event.data["point"]
            yield Asking("preflight" if opened and point == "lease" else point, event)
