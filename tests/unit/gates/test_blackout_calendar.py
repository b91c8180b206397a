"""The calendar file: strict, and every fault at once with its line."""

from __future__ import annotations

import textwrap
from datetime import datetime
from pathlib import Path

import pytest

from pytest_deploy.errors import ConfigurationError
from pytest_deploy.gates.blackout import Calendar, read_calendar

GOOD = """\
version: 3
zone: America/New_York
covers: [2026, 2027]
periods:
  - {name: Year-end freeze, from: 2026-12-18 17:00, to: 2027-01-04 09:00}
"""


def read(folder: Path, text: str) -> Calendar:
    path = folder / "calendar.yaml"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return read_calendar(path)


def faults(folder: Path, text: str) -> list[tuple[int | None, str, str]]:
    with pytest.raises(ConfigurationError) as refused:
        read(folder, text)
    return [(fault.line, fault.key, fault.problem) for fault in refused.value.faults]


def test_a_calendar_is_read_as_written(tmp_path: Path) -> None:
    calendar = read(tmp_path, GOOD)

    assert (calendar.version, calendar.zone, calendar.covers) == (3, "America/New_York", (2026, 2027))
    assert [(it.name, f"{it.starts:%Y-%m-%dT%H:%M}", f"{it.ends:%Y-%m-%dT%H:%M}") for it in calendar.periods] == [
        ("Year-end freeze", "2026-12-18T17:00", "2027-01-04T09:00")
    ]


def test_the_calendar_of_this_repository_is_valid_and_covers_the_coming_years() -> None:
    calendar = read_calendar(Path(__file__).parents[3] / "calendar.yaml")

    assert calendar.covers == (2026, 2027)


def test_every_fault_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    text = """\
        version: 0
        zone: EST
        covers: [2027, 2026]
        periods:
          - {name: Year-end freeze, from: 2026-12-18, to: 2026-12-32 09:00}
          - name: ''
            form: 2026-12-18 17:00
            to: 2026-12-19 17:00
        """

    assert sorted(faults(tmp_path, text), key=lambda it: it[0] or 0) == [
        (1, "version", "is the number 0, not at least 1"),
        (2, "zone", "'EST' is a fixed offset, an hour off for half of the year"),
        (3, "covers", "the years are not in order, each once"),
        (5, "periods[0].from", "'2026-12-18' is no date and time of day"),
        (5, "periods[0].to", "'2026-12-32 09:00' is no date and time of day"),
        (6, "periods[1].name", "is the text '', not text that is not empty"),
        (6, "periods[1].from", "missing"),
        (7, "periods[1].form", "unknown key"),
    ]


def test_a_misspelt_key_is_told_the_one_that_was_meant(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="unknown key; did you mean 'from'"):
        read(tmp_path, GOOD.replace("from:", "form:"))


def test_a_missing_key_is_told_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"missing; give the years that were planned, e.g. \[2026, 2027\]"):
        read(tmp_path, GOOD.replace("covers: [2026, 2027]\n", ""))


def test_a_key_twice_is_a_fault_of_its_own(tmp_path: Path) -> None:
    assert faults(tmp_path, GOOD.replace("covers", "zone: UTC\ncovers")) == [
        (3, "zone", "the key is there twice, first in line 2")
    ]


def test_a_period_ends_after_it_starts(tmp_path: Path) -> None:
    text = GOOD.replace("2027-01-04 09:00", "2026-12-18 17:00")

    assert faults(tmp_path, text) == [
        (5, "periods[0].to", "ends 2026-12-18 17:00, not after it starts 2026-12-18 17:00")
    ]


@pytest.mark.parametrize("covers", ["[2026]", "[2027]", "[2025, 2026, 2028]"])
def test_a_period_lies_in_years_that_are_covered(tmp_path: Path, covers: str) -> None:
    found = faults(tmp_path, GOOD.replace("[2026, 2027]", covers))

    assert [key for _, key, _ in found] == ["covers"]
    assert "which the calendar does not cover" in found[0][2]


def test_a_period_may_end_with_the_last_year(tmp_path: Path) -> None:
    calendar = read(tmp_path, GOOD.replace("2027-01-04 09:00", "2028-01-01 00:00"))

    assert datetime(2028, 1, 1) == calendar.periods[0].ends  # noqa: DTZ001  a wall time


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words\n"])
def test_a_file_that_is_no_calendar_says_what_one_begins_with(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="begin with version, zone, covers, periods"):
        read(tmp_path, text)


def test_a_file_that_is_not_there_blocks(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        read_calendar(tmp_path / "calendar.yaml")
