"""Listings: read by people, by programs, and by spreadsheets that must not run them."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.history.answers import Listed, Listing
from pytest_deploy.history.row import Row
from pytest_deploy.reports.listing import KEYS, aligned, cell, csv_lines, lines, positions

ROW = Row(
    "local-20261122T120000Z-0001", environment="local", pipeline="deploy", commit="0" * 40, version="1.2.0", digest="sha256:" + "1" * 64,
    deployer="local:1000:ada@desk", approvers=("tina@example.org", "quinn@example.org"), bypassed=("window",), outcome="deployed",
    began="2026-11-22T12:00:00.000Z", ended="2026-11-22T12:00:09.000Z", duration_s=9.5, events=(3, 4, 9),
)  # fmt: skip
ONE = Listing(1, (Listed("local", ROW, (3, 4, 5, 9)),))
NASTY = "=cmd|' /C calc'!A0\r\n\t\x1b[31m\u202e"


def nasty() -> Listing:
    row = Row(
        NASTY, version=NASTY, deployer=NASTY, cause=NASTY, began=NASTY, approvers=(NASTY,), outcome=NASTY, events=(1,)
    )
    return Listing(1, (Listed(NASTY, row, (1,)),))


def test_a_table_says_who_what_when_and_by_which_events() -> None:
    head, line, empty, count, events = lines(ONE, "table")

    assert head.split() == [
        "began",
        "run",
        "pipeline",
        "outcome",
        "version",
        "commit",
        "deployer",
        "approvers",
        "bypassed",
        "took",
        "events",
    ]
    assert re.split(r"  +", line) == [
        "2026-11-22T12:00:00Z", ROW.run, "deploy", "deployed", "1.2.0", "00000000", "local:1000:ada@desk",
        "tina@example.org, quinn@example.org", "window", "9.50 s", "3-5, 9",
    ]  # fmt: skip
    assert empty == ""
    assert count == "1 run; times are UTC"
    assert events.endswith("reports/local/log/")


def test_what_is_left_out_of_a_table_is_said() -> None:
    assert "7 runs, the newest 1 shown (--limit 0: all); times are UTC" in list(lines(Listing(7, ONE.runs), "table"))


def test_a_run_with_a_corrected_value_says_so_beside_what_its_events_say() -> None:
    _, line, *_ = lines(Listing(1, (Listed("local", replace(ROW, amended=("cause", "version")), (3, 4)),)), "table")

    assert "  deployed (amended: cause, version)  1.2.0  " in line


def test_nothing_found_is_said() -> None:
    assert ["no run that was asked for"] == list(lines(Listing(0, ()), "table"))
    assert [] == list(lines(Listing(0, ()), "jsonl"))
    assert {"total": 0, "runs": []} == json.loads("".join(lines(Listing(0, ()), "json")))


def test_json_names_the_files_of_the_events() -> None:
    (run,) = json.loads("".join(lines(ONE, "json")))["runs"]

    assert run["files"] == ["log/00000003.event", "log/00000004.event", "log/00000005.event", "log/00000009.event"]
    assert (run["store"], run["run"], run["approvers"]) == ("local", ROW.run, list(ROW.approvers))
    assert [run] == [json.loads(line) for line in lines(ONE, "jsonl")]


def test_csv_reads_back() -> None:
    head, line = csv.reader(io.StringIO("\n".join(lines(ONE, "csv"))))
    read = dict(zip(head, line, strict=True))

    assert (read["run"], read["approvers"], read["events"]) == (
        ROW.run,
        "tina@example.org; quinn@example.org",
        "3; 4; 5; 9",
    )


def test_csv_has_the_columns_of_json_and_its_head_where_nothing_was_found() -> None:
    (run,) = json.loads("".join(lines(ONE, "json")))["runs"]

    assert set(run) == set(KEYS)
    assert [",".join(KEYS)] == list(lines(Listing(0, ()), "csv"))


@pytest.mark.parametrize("form", ["table", "csv"])
def test_no_control_character_leaves_a_listing_for_eyes(form: str) -> None:
    said = "\n".join(lines(nasty(), form))

    assert re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", said) is None
    assert "\\u001b" in said


@pytest.mark.parametrize(
    "value", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=HYPERLINK(1)", "\uff1d1+1", "\uff20SUM(A1)"]
)
def test_a_spreadsheet_is_given_no_formula(value: str) -> None:
    assert cell(value)[0] in "'\\"


@given(st.text())
def test_no_cell_whatever_was_recorded_is_a_formula_or_breaks_its_line(value: str) -> None:
    (row,) = csv.reader(io.StringIO(list(csv_lines([{"a": value, "b": 1}], ["a", "b"]))[1]))

    assert not row[0].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert re.search("[\x00-\x1f\x7f-\x9f]", row[0]) is None
    assert row[1] == "1"


@pytest.mark.parametrize("events,said", [((), ""), ((4,), "4"), ((4, 5), "4-5"), ((1, 2, 3, 7, 9, 10), "1-3, 7, 9-10")])
def test_positions_are_drawn_together(events: tuple[int, ...], said: str) -> None:
    assert said == positions(events)


def test_columns_are_as_wide_as_they_must_be() -> None:
    assert ["a    bb", "ccc  d"] == list(aligned([("a", "bb"), ("ccc", "d")]))
    assert [] == list(aligned([]))
