"""Values as people read them, whatever they hold; cells that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.reports.format import aligned, csv_cell, csv_lines, positions


@pytest.mark.parametrize(
    "value", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=HYPERLINK(1)", "\uff1d1+1", "\uff20SUM(A1)"]
)
def test_a_spreadsheet_is_given_no_formula(value: str) -> None:
    assert csv_cell(value)[0] in "'\\"


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
    assert list(aligned([("a", "bb"), ("ccc", "d")])) == ["a    bb", "ccc  d"]
    assert list(aligned([])) == []
