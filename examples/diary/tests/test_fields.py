from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from diary.fields import MAX_TEXT, Draft, Fields, read_draft, read_if_match
from diary.problems import Invalid, MalformedBody

GOOD: dict[str, Any] = {"day": "2026-11-22", "text": "slept well", "score": 7}


def read(body: dict[str, Any]) -> Draft:
    fields = Fields(json.dumps(body).encode())
    draft = read_draft(fields)
    fields.finish()
    return draft


def faults(body: dict[str, Any]) -> set[str]:
    with pytest.raises(Invalid) as refused:
        read(body)
    return set(refused.value.fields)


def test_a_whole_draft_is_read() -> None:
    assert Draft(date(2026, 11, 22), "slept well", 7, "typo") == read({**GOOD, "reason": "typo"})
    assert read(GOOD).reason is None


@pytest.mark.parametrize("day", ["2000-01-01", "2024-02-29", "2999-12-31"])
def test_a_calendar_day_is_taken(day: str) -> None:
    assert date.fromisoformat(day) == read({**GOOD, "day": day}).day


@pytest.mark.parametrize("day", ["1999-12-31", "2025-02-29", "20261122", "2026-W47-7", "22.11.2026", "", None, 2026])
def test_anything_else_is_no_day(day: object) -> None:
    assert faults({**GOOD, "day": day}) == {"day"}


@pytest.mark.parametrize("score", [0, 10])
def test_a_score_from_0_to_10_is_taken(score: int) -> None:
    assert score == read({**GOOD, "score": score}).score


@pytest.mark.parametrize("score", [-1, 11, 5.0, True, "5", None, 10**30])
def test_anything_else_is_no_score(score: object) -> None:
    assert faults({**GOOD, "score": score}) == {"score"}


def test_a_text_of_the_longest_length_is_taken_and_one_more_is_not() -> None:
    assert read({**GOOD, "text": "ä" * MAX_TEXT}).text == "ä" * MAX_TEXT
    assert faults({**GOOD, "text": "ä" * (MAX_TEXT + 1)}) == {"text"}


@pytest.mark.parametrize("text", ["", "nul \0", "half a pair \ud800", 5, None, ["a"]])
def test_a_text_that_the_database_cannot_hold_is_refused(text: object) -> None:
    assert faults({**GOOD, "text": text}) == {"text"}


def test_all_faults_are_named_at_once_missing_and_unknown_fields_too() -> None:
    assert faults({"score": 11, "mood": "fine"}) == {"day", "text", "score", "mood"}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 60_000])
def test_a_body_that_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        Fields(body)


@pytest.mark.parametrize("body", [b"[]", b"null", b'"day"', b"5"])
def test_json_other_than_an_object_is_invalid(body: bytes) -> None:
    with pytest.raises(Invalid):
        Fields(body)


def test_an_if_match_header_names_a_version() -> None:
    assert [None, 3, 3] == [read_if_match(header) for header in (None, '"3"', "3")]


@pytest.mark.parametrize("header", ["", "0", "*", 'W/"3"', '"3', "three", "9" * 10])
def test_any_other_if_match_header_is_refused(header: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_if_match(header)
    assert set(refused.value.fields) == {"If-Match"}
