"""`blackout`: no part of the run touches a public holiday, a planned maintenance or an own blackout period.

Holidays are those of the `holidays` library, whole days of the place's clocks, observed days with them. The rest stands in the
calendar file, and a year that file does not cover blocks: nobody has said that it is free.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pytest_deploy.gates.calendar import Calendar
from pytest_deploy.gates.formatting import moment, span
from pytest_deploy.gates.verdict import Verdict, not_asked_for, passes, to_mend, waits
from pytest_deploy.gates.zone import Spell, covering, judged_in, place, spells, utc
from pytest_deploy.policy.gate_rules import Blackout
from pytest_deploy.record.clock import stamp

if TYPE_CHECKING:
    from holidays import HolidayBase

GATE = "blackout"
_AHEAD = timedelta(days=400)
_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)


def blackout(
    rule: Blackout | None, calendar: Calendar | None, at: datetime, *, lasts_s: float, zone: str = ""
) -> Verdict:
    """Whether the `lasts_s` seconds from `at` are free of holidays and blackout periods.

    `zone` says whose days a holiday is: the window's, else ("") the calendar's. A refusal names the next instant at which
    such a run is free, where one lies in the years that are known.
    """
    if rule is None:
        return not_asked_for(GATE)
    at, lasts = utc(at), max(timedelta(seconds=lasts_s), _TICK)
    inputs: dict[str, Any] = {
        "at": stamp(at),
        "lasts_s": lasts_s,
        "holidays": rule.holidays,
        "library": _library(),
        "calendar": rule.calendar,
    }
    found = _facts(rule, calendar, zone)
    if isinstance(found, _Fault):
        return to_mend(GATE, inputs, found.problem, found.remedy)
    inputs |= judged_in(found.zone, at)
    if found.calendar is not None:
        inputs |= {"version": found.calendar.version, "covers": list(found.calendar.covers)}
    touched = found.touched(at, at + lasts)
    inputs["touches"] = [{"name": it.name, "from": stamp(it.starts), "to": stamp(it.ends)} for it in touched]
    if unknown := found.unknown(at, at + lasts):
        return to_mend(GATE, inputs, unknown.problem, unknown.remedy)
    if not touched:
        return passes(
            GATE, inputs, f"no holiday and no blackout period within {span(lasts)} of {moment(at, found.zone)}"
        )
    named = " and ".join(f"{it.name} until {moment(it.ends, found.zone)}" for it in touched)
    reason = f"the run would touch {named}"
    start = _free(found, at, lasts)
    if isinstance(start, _Fault):
        return to_mend(GATE, inputs, f"{reason}, and {start.problem}", start.remedy)
    return waits(GATE, inputs, f"{reason}; it is free from {moment(start, found.zone)}", start)


@dataclass(frozen=True)
class _Fault:
    """Why it cannot be judged."""

    problem: str
    remedy: str


@dataclass(frozen=True)
class _Block:
    """A spell in which nothing is deployed."""

    name: str
    starts: datetime
    ends: datetime


@dataclass(frozen=True)
class _Facts:
    """What is known of the days: holidays in their zone, and the calendar's periods in theirs."""

    rule: Blackout
    zone: ZoneInfo
    public: HolidayBase
    calendar: Calendar | None
    periods: tuple[_Block, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "periods", _periods(self.calendar))

    def touched(self, start: datetime, end: datetime) -> list[_Block]:
        """What the run [start, end) would touch, the earliest first."""
        days = (
            _Block(f"the holiday {name}", *spell)
            for day, name in self._holidays(start, end)
            for spell in _day(self.zone, day)
        )
        blocks = (block for block in (*days, *self.periods) if block.starts < end and start < block.ends)
        return sorted(blocks, key=lambda block: (block.starts, block.name))

    def unknown(self, start: datetime, end: datetime) -> _Fault | None:
        """The first year of the run that somebody has yet to plan or to publish."""
        years = {instant.astimezone(self.zone).year for instant in (start, end - _TICK)}
        if self.calendar is not None:
            own = place(self.calendar.zone)
            years |= {instant.astimezone(own).year for instant in (start, end - _TICK)}
        for year in range(min(years), max(years) + 1):
            if self.calendar is not None and year not in self.calendar.covers:
                return _Fault(
                    f"{self.rule.calendar} does not cover {year}",
                    f"plan {year} in {self.rule.calendar} and add it to covers",
                )
            if not self.public.start_year <= year <= self.public.end_year:
                return _Fault(
                    f"the holidays library knows no holidays of {self.rule.holidays} in {year}",
                    "install a release of it that does",
                )
        return None

    def _holidays(self, start: datetime, end: datetime) -> Iterator[tuple[date, str]]:
        day, last = start.astimezone(self.zone).date(), (end - _TICK).astimezone(self.zone).date()
        while day <= last:
            if name := self.public.get(day):
                yield day, name
            day += _DAY


def _facts(rule: Blackout, calendar: Calendar | None, zone: str) -> _Facts | _Fault:
    """All that is known, or the first thing that keeps it from being known."""
    if rule.calendar is not None and calendar is None:
        return _Fault(f"the calendar {rule.calendar} is not there", f"restore {rule.calendar}")
    named = zone or (calendar.zone if calendar is not None else "")
    if not named:
        return _Fault(
            "no zone says when a holiday begins and ends", "give the environment a window or a calendar, in deploy.yaml"
        )
    try:
        return _Facts(rule, place(named), _public(rule.holidays), calendar)
    except ZoneInfoNotFoundError as error:
        return _Fault(str(error.args[0]), "name an IANA zone")
    except NotImplementedError as error:
        return _Fault(
            f"the holidays library does not know {rule.holidays!r}: {error}",
            "name a country it knows under blackout.holidays in deploy.yaml, e.g. US",
        )


def _free(facts: _Facts, at: datetime, lasts: timedelta) -> datetime | _Fault:
    """The first instant from `at` on from which a run touches nothing, or why none can be named.

    A run that begins before a block it touches is over begins no sooner than that block's end: each step is exact.
    """
    start = at
    while touched := facts.touched(start, start + lasts):
        start = max(block.ends for block in touched)
        if unknown := facts.unknown(start, start + lasts):
            return unknown
        if start - at > _AHEAD:
            return _Fault(
                f"nothing is free for {span(lasts)} within {_AHEAD.days} days",
                "shorten the periods of the calendar, or sla_s in deploy.yaml",
            )
    return start


@cache
def _public(code: str) -> HolidayBase:
    """The public holidays of a country or a part of it (`US`, `US-CA`), any year. Raises NotImplementedError."""
    import holidays

    country, _, part = code.partition("-")
    return holidays.country_holidays(country, subdiv=part or None, observed=True)


@cache
def _library() -> str:
    return f"holidays {version('holidays')}"


def _day(zone: ZoneInfo, day: date) -> tuple[Spell, ...]:
    midnight = datetime.combine(day, time())
    return spells(zone, midnight, midnight + _DAY)


def _periods(calendar: Calendar | None) -> tuple[_Block, ...]:
    if calendar is None:
        return ()
    zone = place(calendar.zone)
    return tuple(_Block(it.name, *covering(zone, it.starts, it.ends)) for it in calendar.periods)
