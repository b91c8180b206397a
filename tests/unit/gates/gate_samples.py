"""Instants and rules for the gates' tests."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from pytest_deploy.gates.verdict import Verdict
from pytest_deploy.gates.zone import place
from pytest_deploy.policy.policy import Window

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

ODD = ("America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns", "Africa/Cairo", "UTC")
"""Whole hours and summer time; +05:45; half an hour of summer time; -03:30; clocks that change at midnight; none of it."""

TURNS = ("2024-03-10", "2026-03-08", "2026-11-01", "2026-04-05", "2026-10-04", "2026-04-24", "2026-10-29", "2028-02-29")
"""Days on which clocks change in one of those zones, and a leap day."""

PRODUCTION: dict[str, Any] = {
    "zone": "America/New_York",
    "days": ["Monday", "Tuesday", "Wednesday", "Thursday"],
    "opens": "09:00",
    "closes": "15:00",
}


def local(text: str, zone: str = "America/New_York", *, fold: int = 0) -> datetime:
    """The instant of a wall time, UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=place(zone), fold=fold).astimezone(UTC)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def a_window(**changes: Any) -> Window:
    return Window.model_validate_json(json.dumps({**PRODUCTION, **changes}))


def outcome_of(verdict: Verdict) -> tuple[bool, str]:
    """Whether it passed, and what it passed_or_needs."""
    return verdict.passed, verdict.still_needed


@st.composite
def minutes_of_years(draw: st.DrawFn, first: str = "2024-01-01", last: str = "2028-12-31") -> datetime:
    """Any minute of some years, and the days on which something is odd more often than their share."""
    span_minutes = (utc(last) - utc(first)) // MINUTE
    anywhere = st.integers(0, span_minutes).map(lambda minute: utc(first) + minute * MINUTE)
    turning = st.tuples(st.sampled_from(TURNS), st.integers(-1440, 2880)).map(lambda it: utc(it[0]) + it[1] * MINUTE)
    return draw(st.one_of(anywhere, turning))


def first_run(free: list[bool], length: int) -> int | None:
    """The first index from which `length` entries in a row are true."""
    row = 0
    for index, one in enumerate(free):
        row = row + 1 if one else 0
        if row >= length:
            return index - length + 1
    return None
