"""What a gate answers, by what it was judged, and what a refusal takes; in words that people read.

Four results, never folded into each other: `passed` (its rule holds), `refused` (somebody must mend something), `still-needed`
(time or signatures will lift it), `not-applicable` (the environment's policy has no rule for it). A gate that cannot be
evaluated refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from msgspec import UNSET

from pytest_deploy.record.events import GateNotApplicable, GatePassed, GatePoint, GateRefused, Result

Need = Literal["", "time", "approval", "mend"]
_NEEDS: Final[Mapping[Result, tuple[Need, ...]]] = {
    "passed": ("",),
    "not-applicable": ("",),
    "still-needed": ("time", "approval"),
    "refused": ("mend",),
}
_CONTENT: Final[Mapping[Result, type[GatePassed | GateRefused | GateNotApplicable]]] = {
    "passed": GatePassed,
    "not-applicable": GateNotApplicable,
    "still-needed": GateRefused,
    "refused": GateRefused,
}


@dataclass(frozen=True)
class Verdict:
    """One gate's answer at one instant.

    Raises ValueError where it contradicts itself: a pass that still needs something, a refusal that needs nothing, a
    refusal that time lifts without saying when, one that people lift without saying how.
    """

    gate: str
    """One of `asked_gates.GATE_NAMES`."""
    result: Result
    inputs: Mapping[str, Any]
    """All it was judged by, JSON-ready; instants as the record writes them."""
    reason: str
    """What is so, and since or until when, in a zone that is named."""
    still_needed: Need = ""
    """Of a refusal. time: it passes by itself at `earliest_start`; approval: signatures; mend: `remedy` must be done."""
    earliest_start: datetime | None = None
    """UTC: the next instant at which it passes where time alone does it."""
    remedy: str = ""
    """What must be done, with the command where there is one."""

    def __post_init__(self) -> None:
        if self.still_needed not in _NEEDS[self.result]:
            raise ValueError(
                f"{self.gate}: a refusal needs something, a pass nothing; {self.result} needs {self.still_needed!r}"
            )
        if (self.still_needed == "time") != (self.earliest_start is not None):
            raise ValueError(f"{self.gate}: what time lifts has an instant, and nothing else has")
        if self.still_needed in ("approval", "mend") and not self.remedy:
            raise ValueError(f"{self.gate}: a refusal that people lift says how")

    @property
    def passed(self) -> bool:
        """Whether its rule holds, or people overrode it."""
        return self.result == "passed"

    @property
    def blocks(self) -> bool:
        """Whether nothing may go on now: refused, or still needed."""
        return bool(self.still_needed)

    @property
    def by_its_rule(self) -> bool:
        """Whether it passed because its rule holds, and not because people overrode it."""
        return self.passed and "override" not in self.inputs

    @property
    def sentence(self) -> str:
        """The reason, and the remedy where there is one, in one line."""
        return f"{self.reason}; {self.remedy}" if self.remedy else self.reason

    def event(self, point: GatePoint) -> GatePassed | GateRefused | GateNotApplicable:
        """What the record says of it."""
        return _CONTENT[self.result](
            gate=self.gate,
            point=point,
            inputs=dict(self.inputs),
            verdict=self.result,
            reason=self.reason,
            earliest_start=self.earliest_start,
            remedy=self.remedy or UNSET,
        )


Judge = Callable[[datetime], Verdict]
"""A gate with its facts bound, asked at an instant (UTC)."""


@dataclass(frozen=True)
class Unavailable:
    """In the place of facts that could not be had: why. It blocks."""

    problem: str


def not_applicable(gate: str) -> Verdict:
    """The answer of a gate that policy has no rule for: absence is a value, and no pass."""
    return Grounds(gate, {"rule": None}).not_applicable("not in this environment's policy")


@dataclass(frozen=True)
class Grounds:
    """What a gate judges by, and the verdicts that it may come to."""

    gate: str
    inputs: dict[str, Any]
    """As a verdict's; a judge may add to it until it has come to one."""

    def passes(self, reason: str) -> Verdict:
        return Verdict(self.gate, "passed", self.inputs, reason)

    def not_applicable(self, reason: str) -> Verdict:
        """Neither a pass nor a refusal: nothing is asked here."""
        return Verdict(self.gate, "not-applicable", self.inputs, reason)

    def waits(self, reason: str, until: datetime) -> Verdict:
        """A refusal that passes by itself at `until` (UTC)."""
        return Verdict(self.gate, "still-needed", self.inputs, reason, "time", until)

    def needs_approval(self, reason: str, remedy: str) -> Verdict:
        """A refusal that signatures lift."""
        return Verdict(self.gate, "still-needed", self.inputs, reason, "approval", remedy=remedy)

    def needs_action(self, reason: str, remedy: str) -> Verdict:
        """A refusal that lasts until somebody does `remedy`."""
        return Verdict(self.gate, "refused", self.inputs, reason, "mend", remedy=remedy)


# --- instants, spans and digests as a person reads them


def moment(instant: datetime, zone: ZoneInfo | None = None) -> str:
    """`Monday 2026-11-23 09:00 EST (America/New_York)`, or `Monday 2026-11-23 14:00 UTC`; seconds only where there are."""
    local = instant.astimezone(zone or UTC)
    time = f"{local:%H:%M:%S}" if local.second or local.microsecond else f"{local:%H:%M}"
    place = f" ({zone.key})" if zone is not None else ""
    return f"{local:%A %Y-%m-%d} {time} {local:%Z}{place}"


def span(length: timedelta) -> str:
    """`45 s`, `12 min`, `31 h`, `24 h 1 min`: whole units, cut, not rounded."""
    seconds = int(length.total_seconds())
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    if seconds < 120:  # noqa: PLR2004  two minutes: below, seconds matter
        return f"{seconds} s"
    if not hours:
        return f"{minutes} min"
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def short(digest: str) -> str:
    """The first twelve characters of a digest or commit, without the algorithm's name: enough to tell two apart."""
    return digest.removeprefix("sha256:")[:12]
