"""No part of a run touches a holiday or a blackout period, and a year nobody planned blocks."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from importlib.metadata import version

import holidays
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_deploy.gates import blackout
from pytest_deploy.gates.blackout import Calendar
from pytest_deploy.gates.zone import place
from pytest_deploy.policy.policy import Blackout
from tests.unit.gates.gate_samples import (
    DAY,
    HOUR,
    MINUTE,
    ODD,
    TURNS,
    first_run,
    local,
    minutes_of_years,
    outcome_of,
    utc,
)

NEW_YORK = "America/New_York"
SLA = 1200.0
RULE = Blackout(holidays="US", calendar="calendar.yaml")
FEDERAL_2026 = (
    *("2026-01-01", "2026-01-19", "2026-02-16", "2026-05-25", "2026-06-19", "2026-07-03", "2026-07-04"),
    *("2026-09-07", "2026-10-12", "2026-11-11", "2026-11-26", "2026-12-25"),
)
"""As the Office of Personnel Management publishes them, and Independence Day itself, a Saturday."""


def a_calendar(
    *periods: tuple[str, str, str], zone: str = NEW_YORK, covers: Iterable[int] = range(2023, 2031)
) -> Calendar:
    return Calendar.model_validate(
        {
            "version": 3,
            "zone": zone,
            "covers": tuple(covers),
            "periods": tuple({"name": name, "from": first, "to": end} for name, first, end in periods),
        }
    )


FREE = a_calendar()
FROZEN = a_calendar(("Year-end freeze", "2026-12-18 17:00", "2027-01-04 09:00"))


def test_it_is_not_applicable_where_policy_has_no_blackout() -> None:
    assert blackout.judge(None, None, utc("2026-12-25T12:00"), lasts_s=SLA, zone=NEW_YORK).result == "not-applicable"


def test_every_federal_holiday_of_a_year_blocks_and_no_other_day() -> None:
    noons = {day: local(f"{day} 12:00") for day in (f"{utc('2026-01-01') + n * DAY:%Y-%m-%d}" for n in range(365))}

    blocked = [
        day for day, noon in noons.items() if not blackout.judge(RULE, FREE, noon, lasts_s=SLA, zone=NEW_YORK).passed
    ]

    assert list(FEDERAL_2026) == blocked


@pytest.mark.parametrize(
    "at,passed",
    [
        ("2026-11-25 23:40", True),
        ("2026-11-25 23:41", False),
        ("2026-11-26 00:00", False),
        ("2026-11-26 23:59", False),
        ("2026-11-27 00:00", True),
    ],
)
def test_a_holiday_is_a_whole_day_of_the_place_and_the_run_touches_none_of_it(at: str, passed: bool) -> None:  # noqa: FBT001
    assert passed == blackout.judge(RULE, FREE, local(at), lasts_s=SLA, zone=NEW_YORK).passed


@pytest.mark.parametrize(
    "at,passed",
    [
        ("2026-12-18 16:40", True),
        ("2026-12-18 16:41", False),
        ("2027-01-04 08:59", False),
        ("2027-01-04 09:00", True),
    ],
)
def test_a_period_is_half_open(at: str, passed: bool) -> None:  # noqa: FBT001
    assert passed == blackout.judge(RULE, FROZEN, local(at), lasts_s=SLA, zone=NEW_YORK).passed


def test_the_earliest_start_is_after_all_that_follows_on_one_another() -> None:
    verdict = blackout.judge(RULE, FROZEN, local("2026-12-20 12:00"), lasts_s=SLA, zone=NEW_YORK)

    assert outcome_of(verdict) == (False, "time")
    assert local("2027-01-04 09:00") == verdict.earliest_start
    assert verdict.reason == (
        "the run would touch Year-end freeze until Monday 2027-01-04 09:00 EST (America/New_York);"
        " it is free from Monday 2027-01-04 09:00 EST (America/New_York)"
    )


def test_an_observed_day_counts_and_is_named() -> None:
    verdict = blackout.judge(RULE, FREE, local("2026-07-03 10:00"), lasts_s=SLA, zone=NEW_YORK)

    assert "the holiday Independence Day (observed)" in verdict.reason
    assert local("2026-07-05 00:00") == verdict.earliest_start


def test_new_years_day_on_a_saturday_is_observed_in_the_old_year() -> None:
    assert not blackout.judge(RULE, FREE, local("2027-12-31 10:00"), lasts_s=SLA, zone=NEW_YORK).passed


def test_a_zone_decides_whose_day_it_is() -> None:
    at = utc("2026-11-26T03:00")

    assert tuple(blackout.judge(RULE, FREE, at, lasts_s=SLA, zone=zone).passed for zone in (NEW_YORK, "UTC")) == (
        True,
        False,
    )


def test_without_a_window_the_calendars_zone_decides() -> None:
    assert blackout.judge(RULE, FREE, utc("2026-11-26T03:00"), lasts_s=SLA, zone="").passed
    assert not blackout.judge(RULE, FREE, utc("2026-11-27T03:00"), lasts_s=SLA, zone="").passed


def test_with_neither_it_cannot_be_told_and_blocks() -> None:
    verdict = blackout.judge(Blackout(holidays="US"), None, utc("2026-11-23T15:00"), lasts_s=SLA, zone="")

    assert outcome_of(verdict) == (False, "mend")


def test_holidays_alone_need_no_calendar() -> None:
    rule = Blackout(holidays="US")

    assert tuple(
        blackout.judge(rule, None, local(at), lasts_s=SLA, zone=NEW_YORK).passed
        for at in ("2026-11-25 12:00", "2026-11-26 12:00")
    ) == (True, False)


@pytest.mark.parametrize("at,passed", [("2027-12-30 23:39", True), ("2028-01-03 12:00", False)])
def test_a_year_the_calendar_does_not_cover_blocks(at: str, passed: bool) -> None:  # noqa: FBT001
    verdict = blackout.judge(RULE, a_calendar(covers=[2026, 2027]), local(at), lasts_s=SLA, zone=NEW_YORK)

    assert passed == verdict.passed
    if not passed:
        assert outcome_of(verdict) == (False, "mend")
        assert verdict.sentence == (
            "calendar.yaml does not cover 2028; plan 2028 in calendar.yaml and add it to covers"
        )


def test_a_run_over_midnight_into_a_year_nobody_planned_blocks() -> None:
    rule, calendar = RULE.model_copy(update={"holidays": "JP"}), a_calendar(zone="Asia/Tokyo", covers=[2026])

    verdict = blackout.judge(rule, calendar, local("2026-12-31 23:50", "Asia/Tokyo"), lasts_s=SLA, zone="Asia/Tokyo")

    assert "does not cover 2027" in verdict.reason


def test_a_year_that_has_begun_where_the_calendar_is_kept_counts_too() -> None:
    calendar = a_calendar(zone="Asia/Tokyo", covers=[2026])

    assert (
        "does not cover 2027"
        in blackout.judge(RULE, calendar, local("2026-12-31 12:00"), lasts_s=SLA, zone=NEW_YORK).reason
    )


def test_a_holiday_that_leads_into_an_unplanned_year_must_be_mended() -> None:
    verdict = blackout.judge(
        RULE, a_calendar(covers=[2026, 2027]), local("2027-12-31 12:00"), lasts_s=SLA, zone=NEW_YORK
    )

    assert outcome_of(verdict) == (False, "mend")
    assert "New Year's Day (observed)" in verdict.reason
    assert "does not cover 2028" in verdict.reason


def test_a_calendar_that_is_not_there_blocks() -> None:
    assert outcome_of(blackout.judge(RULE, None, utc("2026-11-23T15:00"), lasts_s=SLA, zone=NEW_YORK)) == (
        False,
        "mend",
    )


@pytest.mark.parametrize("country", ["XX", "US-ZZ"])
def test_a_country_the_library_does_not_know_blocks(country: str) -> None:
    rule = RULE.model_copy(update={"holidays": country})
    verdict = blackout.judge(rule, FREE, utc("2026-11-23T15:00"), lasts_s=SLA, zone=NEW_YORK)

    assert outcome_of(verdict) == (False, "mend")
    assert country in verdict.reason


def test_a_part_of_a_country_has_holidays_of_its_own() -> None:
    at, here = local("2026-03-31 12:00", "America/Los_Angeles"), "America/Los_Angeles"
    california = RULE.model_copy(update={"holidays": "US-CA"})

    assert tuple(blackout.judge(rule, FREE, at, lasts_s=SLA, zone=here).passed for rule in (RULE, california)) == (
        True,
        False,
    )


def test_a_year_the_library_does_not_know_blocks() -> None:
    verdict = blackout.judge(Blackout(holidays="US"), None, utc("2150-03-02T15:00"), lasts_s=SLA, zone=NEW_YORK)

    assert "knows no holidays of US in 2150" in verdict.reason


def test_a_zone_that_tzdata_does_not_have_blocks() -> None:
    assert outcome_of(blackout.judge(RULE, FREE, utc("2026-11-23T15:00"), lasts_s=SLA, zone="Mars/Olympus")) == (
        False,
        "mend",
    )


def test_a_blackout_beyond_the_horizon_must_be_mended() -> None:
    frozen = a_calendar(("Sunset", "2026-01-01 00:00", "2028-01-01 00:00"))
    verdict = blackout.judge(RULE, frozen, local("2026-03-02 12:00"), lasts_s=SLA, zone=NEW_YORK)

    assert outcome_of(verdict) == (False, "mend")
    assert "nothing is free for 20 min within 400 days" in verdict.reason


def test_versions_and_what_is_touched_stand_in_the_inputs() -> None:
    inputs = blackout.judge(RULE, FROZEN, local("2026-12-24 12:00"), lasts_s=SLA, zone=NEW_YORK).inputs

    assert (3, f"holidays {version('holidays')}", "-05:00") == (
        inputs["version"],
        inputs["library"],
        inputs["utc_offset"],
    )
    assert [it["name"] for it in inputs["touches"]] == ["Year-end freeze"]


PERIODS = (
    ("Change of clocks", "2026-03-07 22:10", "2026-03-08 05:05"),
    ("Database maintenance", "2026-11-01 09:00", "2026-11-01 21:00"),
    ("Leap day", "2028-02-29 00:00", "2028-03-01 00:00"),
    ("Year's end", "2026-12-31 20:00", "2027-01-01 04:00"),
)
BUSY = {zone: a_calendar(*PERIODS, zone=zone) for zone in ODD}
PUBLIC = holidays.country_holidays("US", years=range(2023, 2031))


def free(zone: str, instant: datetime) -> bool:
    """The claim, read off a clock on the wall."""
    wall = instant.astimezone(place(zone)).replace(tzinfo=None)
    return wall.date() not in PUBLIC and not any(
        datetime.fromisoformat(first) <= wall < datetime.fromisoformat(end) for _, first, end in PERIODS
    )


near = st.one_of(
    minutes_of_years(),
    st.tuples(
        st.sampled_from([*TURNS, *(day.isoformat() for day in PUBLIC if 2024 <= day.year <= 2028)]),
        st.integers(-1500, 2900),
    ).map(lambda it: utc(it[0]) + it[1] * MINUTE),
)


@settings(max_examples=120, deadline=None)
@given(zone=st.sampled_from(ODD), at=near, lasts=st.integers(1, 400))
def test_it_passes_at_its_earliest_start_and_never_before(zone: str, at: datetime, lasts: int) -> None:
    verdict = blackout.judge(RULE, BUSY[zone], at, lasts_s=lasts * 60, zone=zone)
    end = (verdict.earliest_start or at) + lasts * MINUTE

    ahead = first_run([free(zone, at + step * MINUTE) for step in range((end - at) // MINUTE)], lasts)

    assert outcome_of(verdict) == (True, "") or outcome_of(verdict) == (False, "time")
    assert ahead is not None
    assert at + ahead * MINUTE == (verdict.earliest_start or at)
    assert blackout.judge(RULE, BUSY[zone], at + ahead * MINUTE, lasts_s=lasts * 60, zone=zone).passed


@pytest.mark.parametrize("zone", ODD)
def test_every_day_of_the_years_is_free_or_not_at_noon(zone: str) -> None:
    days = [date(2024, 1, 1) + n * DAY for n in range(2 * 366 + 365)]

    assert [free(zone, local(f"{day} 12:00", zone)) for day in days] == [
        blackout.judge(RULE, BUSY[zone], local(f"{day} 12:00", zone), lasts_s=60, zone=zone).passed for day in days
    ]


def test_a_day_of_23_hours_is_blocked_from_its_first_minute_to_its_last() -> None:
    eve = local("2026-04-23 23:59", "Africa/Cairo")
    calendar = a_calendar(("Change of clocks", "2026-04-24 01:00", "2026-04-25 00:00"), zone="Africa/Cairo")

    asked = [
        blackout.judge(RULE, calendar, at, lasts_s=60, zone="Africa/Cairo").passed
        for at in (eve, eve + MINUTE, eve + 23 * HOUR, eve + 23 * HOUR + MINUTE)
    ]

    assert asked == [True, False, False, True]
