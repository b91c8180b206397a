"""The calendar file: planned maintenance and own blackout periods, for the years it says it covers.

version: 3
zone: America/New_York
covers: [2026, 2027]
periods:
  - {name: Year-end freeze, from: 2026-12-18 17:00, to: 2027-01-04 09:00}
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from pytest_deploy.errors import ConfigurationError
from pytest_deploy.policy.load import read_document
from pytest_deploy.policy.types import Section, Text, Zone, complaint
from pytest_deploy.policy.validation import validate_model


def _local(value: Any) -> datetime:
    written = value if isinstance(value, str) else ""
    if re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", written, re.ASCII):
        try:
            return datetime.fromisoformat(written)
        except ValueError:
            pass
    raise complaint(f"{value!r} is no date and time of day", "write YYYY-MM-DD HH:MM, e.g. 2026-12-18 17:00")


def _years(value: tuple[int, ...]) -> tuple[int, ...]:
    if list(value) != sorted(set(value)):
        raise complaint("the years are not in order, each once", "write e.g. [2026, 2027]")
    return value


class Period(Section):
    """One spell in which nothing is deployed: half-open, by the calendar's wall clocks."""

    name: Text
    """what it is, e.g. Year-end freeze"""
    starts: Annotated[datetime, BeforeValidator(_local), Field(alias="from")]
    """YYYY-MM-DD HH:MM, the first minute within"""
    ends: Annotated[datetime, BeforeValidator(_local), Field(alias="to")]
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
    covers: Annotated[tuple[Annotated[int, Field(ge=2000, le=2999)], ...], Field(min_length=1), AfterValidator(_years)]
    """the years that were planned, e.g. [2026, 2027]"""
    periods: tuple[Period, ...]
    """a list of {name: ..., from: YYYY-MM-DD HH:MM, to: YYYY-MM-DD HH:MM}; [] where nothing is planned"""

    @model_validator(mode="after")
    def _within_its_years(self) -> Self:
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
    calendar, found = validate_model(root, Calendar)
    if calendar is None or faults:
        raise ConfigurationError(root.file, [*faults, *found])
    return calendar
