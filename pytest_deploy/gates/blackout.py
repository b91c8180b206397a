"""`blackout`: no part of the run touches a public holiday, a planned maintenance or an own blackout period.

Holidays are those of the `holidays` library, whole days of the place's clocks, observed days with them. The rest stands in the
calendar file, and a year that file does not cover blocks: nobody has said that it is free. The file:

    version: 3
    zone: America/New_York
    covers: [2026, 2027]
    periods:
      - {name: Year-end freeze, from: 2026-12-18 17:00, to: 2027-01-04 09:00}
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import cache, cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from pytest_deploy.errors import ConfigurationError
from pytest_deploy.gates.facts import GateFacts
from pytest_deploy.gates.verdict import Grounds, Judge, Verdict, moment, not_applicable, span
from pytest_deploy.gates.zone import covering, judged_in, place, spells, utc
from pytest_deploy.policy.load import read_document
from pytest_deploy.policy.policy import Blackout
from pytest_deploy.policy.types import Section, Text, Zone, complaint
from pytest_deploy.policy.validation import validate_model
from pytest_deploy.record.clock import stamp

if TYPE_CHECKING:
    from holidays import HolidayBase

NAME = "blackout"
_AHEAD = timedelta(days=400)
_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)


def gather(facts: GateFacts) -> Judge:
    """The rule, the calendar it names, and whose days a holiday is. Raises ConfigurationError for a faulty calendar."""
    policy, rule = facts.policy, facts.policy.blackout
    named = rule.calendar if rule is not None else None
    calendar = read_calendar(facts.workspace.root / named) if named is not None else None
    zone = policy.window.zone if policy.window is not None else ""
    return partial(judge, rule, calendar, lasts_s=policy.sla_s, zone=zone)


def judge(rule: Blackout | None, calendar: Calendar | None, at: datetime, *, lasts_s: float, zone: str = "") -> Verdict:
    """Whether the `lasts_s` seconds from `at` are free of holidays and blackout periods.

    `zone` says whose days a holiday is: the window's, else ("") the calendar's. A refusal names the next instant at which
    such a run is free, where one lies in the years that are known.
    """
    if rule is None:
        return not_applicable(NAME)
    at, lasts = utc(at), max(timedelta(seconds=lasts_s), _TICK)
    inputs: dict[str, Any] = {
        "at": stamp(at),
        "lasts_s": lasts_s,
        "holidays": rule.holidays,
        "library": _library(),
        "calendar": rule.calendar,
    }
    grounds = Grounds(NAME, inputs)
    days = _known_days(rule, calendar, zone)
    if isinstance(days, _Fault):
        return grounds.needs_action(days.problem, days.remedy)
    inputs |= judged_in(days.zone, at)
    if calendar is not None:
        inputs |= {"version": calendar.version, "covers": list(calendar.covers)}
    touched = days.touched(at, at + lasts)
    inputs["touches"] = [
        {"name": block.name, "from": stamp(block.starts), "to": stamp(block.ends)} for block in touched
    ]
    if unknown := days.unknown(at, at + lasts):
        return grounds.needs_action(unknown.problem, unknown.remedy)
    if not touched:
        return grounds.passes(f"no holiday and no blackout period within {span(lasts)} of {moment(at, days.zone)}")
    named = " and ".join(f"{block.name} until {moment(block.ends, days.zone)}" for block in touched)
    start = _free(days, at, lasts)
    if isinstance(start, _Fault):
        return grounds.needs_action(f"the run would touch {named}, and {start.problem}", start.remedy)
    return grounds.waits(f"the run would touch {named}; it is free from {moment(start, days.zone)}", start)


@dataclass(frozen=True)
class _Fault:
    problem: str
    remedy: str


@dataclass(frozen=True)
class _Block:
    name: str
    starts: datetime
    ends: datetime


@dataclass(frozen=True)
class _KnownDays:
    """What is known of the days: holidays in their zone, and the calendar's periods in theirs."""

    rule: Blackout
    zone: ZoneInfo
    public: HolidayBase
    calendar: Calendar | None

    @cached_property
    def periods(self) -> tuple[_Block, ...]:
        if self.calendar is None:
            return ()
        zone = place(self.calendar.zone)
        return tuple(_Block(p.name, *covering(zone, p.starts, p.ends)) for p in self.calendar.periods)

    def touched(self, start: datetime, end: datetime) -> list[_Block]:
        """What the run [start, end) would touch, the earliest first."""
        first, last = start.astimezone(self.zone).date(), (end - _TICK).astimezone(self.zone).date()
        days = [datetime.combine(first, time()) + count * _DAY for count in range((last - first).days + 1)]
        holidays = (
            _Block(f"the holiday {self.public[day]}", *spell)
            for day in days
            if day in self.public
            for spell in spells(self.zone, day, day + _DAY)
        )
        blocks = (block for block in (*holidays, *self.periods) if block.starts < end and start < block.ends)
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


def _known_days(rule: Blackout, calendar: Calendar | None, zone: str) -> _KnownDays | _Fault:
    """All that is known, or the first thing that keeps it from being known."""
    if rule.calendar is not None and calendar is None:
        return _Fault(f"the calendar {rule.calendar} is not there", f"restore {rule.calendar}")
    named = zone or (calendar.zone if calendar is not None else "")
    if not named:
        return _Fault(
            "no zone says when a holiday begins and ends", "give the environment a window or a calendar, in deploy.yaml"
        )
    try:
        return _KnownDays(rule, place(named), _public(rule.holidays), calendar)
    except ZoneInfoNotFoundError as error:
        return _Fault(str(error.args[0]), "name an IANA zone")
    except NotImplementedError as error:
        return _Fault(
            f"the holidays library does not know {rule.holidays!r}: {error}",
            "name a country it knows under blackout.holidays in deploy.yaml, e.g. US",
        )


def _free(days: _KnownDays, at: datetime, lasts: timedelta) -> datetime | _Fault:
    """The first instant from `at` on from which a run touches nothing, or why none can be named.

    A run that begins before a block it touches is over begins no sooner than that block's end: each step is exact.
    """
    start = at
    while touched := days.touched(start, start + lasts):
        start = max(block.ends for block in touched)
        if unknown := days.unknown(start, start + lasts):
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


# --- the calendar file


def _wall_time(value: Any) -> datetime:
    written = value if isinstance(value, str) else ""
    if re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", written, re.ASCII):
        try:
            return datetime.fromisoformat(written)
        except ValueError:
            pass
    raise complaint(f"{value!r} is no date and time of day", "write YYYY-MM-DD HH:MM, e.g. 2026-12-18 17:00")


def _ordered_years(value: tuple[int, ...]) -> tuple[int, ...]:
    if list(value) != sorted(set(value)):
        raise complaint("the years are not in order, each once", "write e.g. [2026, 2027]")
    return value


class Period(Section):
    """One spell in which nothing is deployed: half-open, by the calendar's wall clocks."""

    name: Text
    """what it is, e.g. Year-end freeze"""
    starts: Annotated[datetime, BeforeValidator(_wall_time), Field(alias="from")]
    """YYYY-MM-DD HH:MM, the first minute within"""
    ends: Annotated[datetime, BeforeValidator(_wall_time), Field(alias="to")]
    """YYYY-MM-DD HH:MM, the first minute after"""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.ends <= self.starts:
            raise complaint(
                f"ends {self.ends:%Y-%m-%d %H:%M}, not after it starts {self.starts:%Y-%m-%d %H:%M}",
                "give a later end",
                at="to",
            )
        return self


class Calendar(Section):
    """A calendar of blackout periods; a year it does not cover is one it knows nothing of."""

    version: Annotated[int, Field(ge=1)]
    """a whole number, one more at each change of the calendar"""
    zone: Zone
    """the IANA zone of its times, e.g. America/New_York"""
    covers: Annotated[
        tuple[Annotated[int, Field(ge=2000, le=2999)], ...], Field(min_length=1), AfterValidator(_ordered_years)
    ]
    """the years that were planned, e.g. [2026, 2027]"""
    periods: tuple[Period, ...]
    """a list of {name: ..., from: YYYY-MM-DD HH:MM, to: YYYY-MM-DD HH:MM}; [] where nothing is planned"""

    @model_validator(mode="after")
    def _within_covered_years(self) -> Self:
        for period in self.periods:
            last = (period.ends - timedelta(minutes=1)).year
            if unplanned := [year for year in range(period.starts.year, last + 1) if year not in self.covers]:
                raise complaint(
                    f"{period.name!r} lies in {unplanned[0]}, which the calendar does not cover",
                    "plan that year and add it to covers, or mend the period",
                    at="covers",
                )
        return self


def read_calendar(path: Path) -> Calendar:
    """The calendar of a file. Raises ConfigurationError with every fault, with its line."""
    root, faults = read_document(path, "give the path of a calendar")
    calendar, invalid = validate_model(root, Calendar)
    if calendar is None or faults:
        raise ConfigurationError(root.file, [*faults, *invalid])
    return calendar
