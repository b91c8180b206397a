"""The window is what the place's clocks show, minute by minute, and nothing else."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_deploy.gates import window
from pytest_deploy.gates.zone import place, tzdata_version
from pytest_deploy.policy.policy import Window
from tests.unit.gates.gate_samples import (
    DAY,
    HOUR,
    MINUTE,
    ODD,
    a_window,
    first_run,
    local,
    minutes_of_years,
    outcome_of,
    utc,
)

WEEK = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SLA = 1200.0


def within(rule: Window, zone: ZoneInfo, instant: datetime) -> bool:
    """The claim, read off a clock on the wall."""
    wall = instant.astimezone(zone)
    return WEEK[wall.weekday()] in rule.days and rule.opens <= wall.time() < rule.closes


def minutes(rule: Window, start: datetime, count: int) -> list[bool]:
    zone = place(rule.zone)
    return [within(rule, zone, start + step * MINUTE) for step in range(count)]


def test_it_is_not_applicable_where_policy_has_no_window() -> None:
    verdict = window.judge(None, utc("2026-11-22T03:00"), lasts_s=SLA)

    assert (verdict.result, verdict.reason) == ("not-applicable", "not in this environment's policy")


@pytest.mark.parametrize(
    "at,passed",
    [
        ("2026-11-23 08:59", False),
        ("2026-11-23 09:00", True),
        ("2026-11-23 14:40", True),
        ("2026-11-23 14:41", False),
        ("2026-11-23 15:00", False),
        ("2026-11-27 12:00", False),
        ("2026-07-06 09:00", True),
    ],
)
def test_a_run_starts_from_the_opening_on_and_ends_by_the_closing(at: str, passed: bool) -> None:  # noqa: FBT001
    assert passed == window.judge(a_window(), local(at), lasts_s=SLA).passed


def test_the_closing_minute_is_outside_even_for_a_run_that_takes_no_time() -> None:
    assert (
        window.judge(a_window(), local("2026-11-23 15:00"), lasts_s=0).passed,
        window.judge(a_window(), local("2026-11-23 14:59"), lasts_s=0).passed,
    ) == (False, True)


def test_a_run_too_late_is_told_when_it_closes_and_when_it_opens_again() -> None:
    verdict = window.judge(a_window(), local("2026-11-26 14:50"), lasts_s=SLA)

    assert outcome_of(verdict) == (False, "time")
    assert local("2026-11-30 09:00") == verdict.earliest_start
    assert verdict.reason == (
        "the window closes in 10 min, Thursday 2026-11-26 15:00 EST (America/New_York), and the run may take 20 min;"
        " it opens Monday 2026-11-30 09:00 EST (America/New_York)"
    )


def test_nine_in_new_york_is_an_hour_earlier_by_utc_in_summer() -> None:
    summer = window.judge(a_window(), utc("2026-07-05T12:00"), lasts_s=SLA).earliest_start
    winter = window.judge(a_window(), utc("2026-11-22T12:00"), lasts_s=SLA).earliest_start

    assert (utc("2026-07-06T13:00"), utc("2026-11-23T14:00")) == (summer, winter)


def test_zone_offset_and_tzdata_stand_in_the_inputs() -> None:
    inputs = window.judge(a_window(), local("2026-07-06 09:30"), lasts_s=SLA).inputs

    assert ("America/New_York", "-04:00", "2026-07-06T09:30:00-04:00", tzdata_version()) == (
        inputs["zone"], inputs["utc_offset"], inputs["local"], inputs["tzdata"]
    )  # fmt: skip


def test_a_window_that_a_run_never_fits_must_be_mended() -> None:
    verdict = window.judge(a_window(), local("2026-11-23 09:00"), lasts_s=6 * 3600 + 1)

    assert outcome_of(verdict) == (False, "mend")
    assert "sla_s" in verdict.remedy


def test_a_zone_that_tzdata_does_not_have_blocks() -> None:
    rule = a_window().model_copy(update={"zone": "Mars/Olympus"})

    assert outcome_of(window.judge(rule, utc("2026-11-23T15:00"), lasts_s=SLA)) == (False, "mend")


def test_an_instant_without_a_zone_is_no_instant() -> None:
    with pytest.raises(ValueError, match="no zone"):
        window.judge(a_window(), datetime(2026, 11, 23, 9), lasts_s=SLA)  # noqa: DTZ001  that is the point


def test_an_hour_that_is_skipped_is_in_no_window() -> None:
    rule = a_window(days=["Sunday"], opens="02:00", closes="03:00")

    assert local("2026-03-15 02:00") == window.judge(rule, local("2026-03-08 00:00"), lasts_s=SLA).earliest_start


def test_a_window_around_the_skipped_hour_is_an_hour_shorter() -> None:
    rule = a_window(days=["Sunday"], opens="01:00", closes="04:00")
    at = local("2026-03-08 01:00")

    assert (window.judge(rule, at, lasts_s=2 * 3600).passed, window.judge(rule, at, lasts_s=2 * 3600 + 60).passed) == (
        True,
        False,
    )


def test_an_hour_that_comes_twice_is_in_the_window_twice() -> None:
    rule = a_window(days=["Sunday"], opens="01:00", closes="01:30")
    first, second = local("2026-11-01 01:00"), local("2026-11-01 01:00", fold=1)

    assert first + HOUR == second
    assert (window.judge(rule, first, lasts_s=1800).passed, window.judge(rule, second, lasts_s=1800).passed) == (
        True,
        True,
    )
    assert second == window.judge(rule, first + MINUTE, lasts_s=1800).earliest_start


def test_lord_howes_summer_time_is_half_an_hour() -> None:
    rule = a_window(zone="Australia/Lord_Howe", days=["Sunday"], opens="01:00", closes="03:00")
    autumn, spring = (local(f"{day} 01:00", rule.zone) for day in ("2026-04-05", "2026-10-04"))

    assert tuple(window.judge(rule, autumn, lasts_s=seconds).passed for seconds in (9000, 9060)) == (True, False)
    assert tuple(window.judge(rule, spring, lasts_s=seconds).passed for seconds in (5400, 5460)) == (True, False)


@pytest.mark.parametrize("year", [2024, 2026])
@pytest.mark.parametrize("zone", ODD)
def test_every_day_of_a_year_opens_and_closes_on_its_minute(zone: str, year: int) -> None:
    rule = a_window(zone=zone)
    day, seen = datetime(year, 1, 1), 0  # noqa: DTZ001  a wall date

    while day.year == year:
        opens, closes = (local(f"{day:%Y-%m-%d} {time}", zone) for time in ("09:00", "15:00"))
        open_today = WEEK[day.weekday()] in rule.days
        asked = (opens - MINUTE, opens, closes - 20 * MINUTE, closes - 19 * MINUTE)
        assert (False, open_today, open_today, False) == tuple(
            window.judge(rule, at, lasts_s=SLA).passed for at in asked
        )
        day, seen = day + DAY, seen + open_today

    assert 208 <= seen <= 210


@pytest.mark.parametrize(
    "zone,day",
    [
        ("America/New_York", "2026-03-08"),
        ("America/New_York", "2026-11-01"),
        ("America/St_Johns", "2026-03-08"),
        ("America/St_Johns", "2026-11-01"),
        ("Australia/Lord_Howe", "2026-04-05"),
        ("Australia/Lord_Howe", "2026-10-04"),
        ("Africa/Cairo", "2026-04-24"),
        ("Africa/Cairo", "2026-10-29"),
    ],
)
def test_every_minute_of_a_day_on_which_clocks_change(zone: str, day: str) -> None:
    rule = a_window(zone=zone, days=list(WEEK), opens="00:15", closes="02:45")
    start = utc(day) - 14 * HOUR
    free = minutes(rule, start, 48 * 60 + 20)

    expected = [all(free[step : step + 20]) for step in range(48 * 60)]

    assert expected == [window.judge(rule, start + step * MINUTE, lasts_s=SLA).passed for step in range(48 * 60)]


rules = st.builds(
    lambda zone, days, ends: a_window(
        zone=zone, days=sorted(days), opens=f"{min(ends):%H:%M}", closes=f"{max(ends):%H:%M}"
    ),
    st.sampled_from(ODD),
    st.sets(st.sampled_from(WEEK), min_size=2),
    st.sets(st.times().map(lambda it: time(it.hour, it.minute)), min_size=2, max_size=2),
)


@settings(max_examples=50, deadline=None)
@given(rule=rules, at=minutes_of_years(), lasts=st.integers(1, 90))
def test_it_passes_at_its_earliest_start_and_never_before(rule: Window, at: datetime, lasts: int) -> None:
    verdict = window.judge(rule, at, lasts_s=lasts * 60)
    ahead = first_run(minutes(rule, at, 8 * 24 * 60), lasts)

    if verdict.passed:
        assert ahead == 0
        return
    if verdict.earliest_start is None or verdict.earliest_start >= at + 7 * DAY:
        assert ahead is None or at + ahead * MINUTE == verdict.earliest_start
        return
    assert ahead is not None
    assert at + ahead * MINUTE == verdict.earliest_start
    assert window.judge(rule, verdict.earliest_start, lasts_s=lasts * 60).passed


@settings(max_examples=60, deadline=None)
@given(at=minutes_of_years(), seconds=st.integers(0, 59), micro=st.integers(0, 999_999))
def test_between_two_minutes_nothing_is_rounded_in_favour(at: datetime, seconds: int, micro: int) -> None:
    rule, exact = a_window(), at + timedelta(seconds=seconds, microseconds=micro)
    verdict = window.judge(rule, exact, lasts_s=SLA)
    wall = exact.astimezone(place(rule.zone))
    closes = wall.replace(hour=15, minute=0, second=0, microsecond=0)

    fits = WEEK[wall.weekday()] in rule.days and time(9) <= wall.time() and wall + timedelta(seconds=SLA) <= closes

    assert fits == verdict.passed
