"""What a gate answers: passed or refused, by what it was judged, and what a refusal takes.

A gate that cannot be evaluated refuses; a gate whose rule is not in the environment's policy passes and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pytest_deploy.gates.formatting import moment
from pytest_deploy.gates.registry import OVERRIDABLE
from pytest_deploy.record.clock import stamp

Owed = Literal["", "time", "approval", "mend"]


Point = Literal["plan", "lease", "change"]
"""When a gate is asked: by the plan, where the lease is claimed, right before the first change."""


@dataclass(frozen=True)
class Verdict:
    """One gate's answer at one instant.

    Raises ValueError where it contradicts itself: a pass that owes something, a refusal that owes nothing, a refusal that
    time mends without saying when, one that people mend without saying how.
    """

    gate: str
    """One of `course.NAMES`."""
    passed: bool
    inputs: Mapping[str, Any]
    """All it was judged by, JSON-ready; instants as the record writes them."""
    reason: str
    """What is so, and since or until when, in a zone that is named."""
    owed: Owed = ""
    """Of a refusal. time: it passes by itself at `earliest_start`; approval: signatures; mend: `remedy` must be done."""
    earliest_start: datetime | None = None
    """UTC: the next instant at which it passes where time alone does it."""
    remedy: str = ""
    """What must be done, with the command where there is one."""

    def __post_init__(self) -> None:
        if self.passed != (self.owed == ""):
            raise ValueError(f"{self.gate}: a refusal owes something, a pass nothing; this one owes {self.owed!r}")
        if (self.owed == "time") != (self.earliest_start is not None):
            raise ValueError(f"{self.gate}: what time mends has an instant, and nothing else has")
        if self.owed in ("approval", "mend") and not self.remedy:
            raise ValueError(f"{self.gate}: a refusal that people mend says how")

    @property
    def sentence(self) -> str:
        """The reason, and the remedy where there is one, in one line."""
        return f"{self.reason}; {self.remedy}" if self.remedy else self.reason

    def data(self, point: Point) -> dict[str, Any]:
        """What `gate.passed` and `gate.refused` carry."""
        return {
            "gate": self.gate,
            "point": point,
            "inputs": dict(self.inputs),
            "verdict": "passed" if self.passed else "refused",
            "reason": self.reason,
            "earliest_start": None if self.earliest_start is None else stamp(self.earliest_start),
            **({"remedy": self.remedy} if self.remedy else {}),
        }


Gate = Callable[[datetime], Verdict]
"""A gate with its facts bound, asked at an instant (UTC)."""


@dataclass(frozen=True)
class Unavailable:
    """In the place of facts that could not be had: why. It blocks."""

    problem: str


def passes(gate: str, inputs: Mapping[str, Any], reason: str) -> Verdict:
    """A pass."""
    return Verdict(gate, True, inputs, reason)


def not_asked_for(gate: str) -> Verdict:
    """The pass of a gate that policy does not ask for: absence is a value."""
    return Verdict(gate, True, {"rule": None}, "not in this environment's policy")


def waits(gate: str, inputs: Mapping[str, Any], reason: str, until: datetime) -> Verdict:
    """A refusal that passes by itself at `until` (UTC)."""
    return Verdict(gate, False, inputs, reason, "time", until)


def to_mend(gate: str, inputs: Mapping[str, Any], reason: str, remedy: str) -> Verdict:
    """A refusal that lasts until somebody does `remedy`."""
    return Verdict(gate, False, inputs, reason, "mend", remedy=remedy)


def overridden(verdict: Verdict, by: Sequence[str], until: datetime, *, at: datetime) -> Verdict:
    """The verdict under a signed override: passed, carrying who overrode what.

    It stays refused where the gate is none of `OVERRIDABLE`, fewer than two different people signed, or the override has
    run out at `at`. Signatures are verified before, by `approval/`. A passed verdict stays as it is.
    """
    if verdict.passed:
        return verdict
    enough = len({person.strip().casefold() for person in by if person.strip()}) >= _PEOPLE
    if verdict.gate not in OVERRIDABLE or not enough or at >= until:
        return verdict
    override = {"by": list(by), "until": stamp(until), "refused": verdict.reason}
    reason = f"overridden by {' and '.join(by)} until {moment(until)}; without that: {verdict.reason}"
    return Verdict(verdict.gate, True, {**verdict.inputs, "override": override}, reason)


_PEOPLE = 2
"""Who asks for an override, and a second person."""
