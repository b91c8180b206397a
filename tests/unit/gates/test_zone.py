"""No hour is guessed where clocks skip or repeat one."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest

from pytest_deploy.gates.zone import covering, place, spells
from tests.unit.gates.gate_samples import HOUR, local


def wall(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_zone_is_read_from_tzdata_and_known_by_its_name() -> None:
    assert place("Asia/Kathmandu").key == "Asia/Kathmandu"
    assert timedelta(hours=5, minutes=45) == place("Asia/Kathmandu").utcoffset(wall("2026-01-01"))


@pytest.mark.parametrize("name", ["Mars/Olympus", "America", "zone1970.tab", "../../etc/localtime", ""])
def test_a_name_that_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(ZoneInfoNotFoundError):
        place(name)


def test_a_spell_on_an_ordinary_day_is_one() -> None:
    found = spells(place("America/New_York"), wall("2026-11-23 09:00"), wall("2026-11-23 15:00"))

    assert ((local("2026-11-23 09:00"), local("2026-11-23 15:00")),) == found


def test_a_spell_that_clocks_skip_is_none() -> None:
    assert spells(place("America/New_York"), wall("2026-03-08 02:00"), wall("2026-03-08 03:00")) == ()


def test_a_spell_whose_end_comes_twice_is_two() -> None:
    found = spells(place("America/New_York"), wall("2026-11-01 00:30"), wall("2026-11-01 01:30"))

    assert [(found[0][1] - found[0][0], found[1][1] - found[1][0])] == [(HOUR, HOUR / 2)]


def test_a_day_that_begins_at_one_is_whole_all_the_same() -> None:
    (day,) = spells(place("Africa/Cairo"), wall("2026-04-24 00:00"), wall("2026-04-25 00:00"))

    assert day[1] - day[0] == 23 * HOUR


def test_a_day_that_a_place_left_out_is_no_spell() -> None:
    assert spells(place("Pacific/Apia"), wall("2011-12-30 00:00"), wall("2011-12-31 00:00")) == ()


@pytest.mark.parametrize(
    "first,end,hours",
    [
        ("2026-11-23 09:00", "2026-11-23 15:00", 6.0),
        ("2026-11-01 01:30", "2026-11-01 01:45", 1.25),
        ("2026-03-08 02:15", "2026-03-08 02:45", 1.5),
    ],
)
def test_a_period_is_read_widely_where_clocks_change(first: str, end: str, hours: float) -> None:
    begins, ends = covering(place("America/New_York"), wall(first), wall(end))

    assert timedelta(hours=hours) == ends - begins


def test_the_machines_own_database_is_not_asked() -> None:
    assert place("America/New_York") is not ZoneInfo("America/New_York")
