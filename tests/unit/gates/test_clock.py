"""The machine's time is right, as others tell it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pytest_deploy.gates import clock
from pytest_deploy.gates.clock import Reference
from pytest_deploy.gates.verdict import Verdict
from tests.unit.gates.gate_samples import HOUR, outcome_of, utc

AT = utc("2026-11-23T15:00")


def database(skew_s: float) -> Reference:
    return Reference("database", AT + timedelta(seconds=skew_s))


def record(skew_s: float) -> Reference:
    return Reference("record", AT + timedelta(seconds=skew_s), lower_bound=True)


def asked(*references: Reference) -> Verdict:
    return clock.judge(AT, references)


@pytest.mark.parametrize(
    "skew_s,passed", [(0, True), (60, True), (-60, True), (60.1, False), (-60.1, False), (86400, False)]
)
def test_more_than_a_minute_apart_nothing_is_deployed(skew_s: float, passed: bool) -> None:  # noqa: FBT001
    assert passed == asked(database(skew_s)).passed


@pytest.mark.parametrize(
    "skew_s,said", [(2, "agrees with database"), (2.1, "2.1 s behind database"), (-9, "9.0 s ahead of database")]
)
def test_more_than_two_seconds_are_said(skew_s: float, said: str) -> None:
    verdict = asked(database(skew_s))

    assert said in verdict.reason
    assert skew_s == verdict.inputs["references"][0]["skew_s"]


def test_a_record_of_the_future_shows_a_clock_that_is_behind() -> None:
    verdict = asked(database(0), record(61))

    assert outcome_of(verdict) == (False, "mend")
    assert verdict.reason == "this machine's clock, Monday 2026-11-23 15:00 UTC, is 61.0 s behind record"


def test_a_record_of_hours_ago_shows_nothing() -> None:
    old = record(-(5 * HOUR).total_seconds())

    assert (asked(database(0), old).passed, asked(old).passed) == (True, False)


def test_no_answer_at_all_blocks_with_its_causes() -> None:
    verdict = asked(Reference("database", None, "connection refused"), record(0))

    assert outcome_of(verdict) == (False, "mend")
    assert verdict.reason == "no other clock told the time (database: connection refused)"
    assert asked().reason == "no other clock told the time"


def test_one_of_two_answers_is_enough() -> None:
    assert asked(Reference("database", None, "connection refused"), Reference("platform", AT)).passed
