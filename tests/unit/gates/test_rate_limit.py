"""No more than so many deployments in any so many hours, an open run always counting."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_deploy.gates import rate_limit
from pytest_deploy.gates.rate_limit import limited
from pytest_deploy.policy.policy import RateLimit
from pytest_deploy.record.run_state import CountedRun
from tests.unit.gates.gate_samples import HOUR, MINUTE, outcome_of, utc

RULE = RateLimit(runs=1, per_h=4)
AT = utc("2026-11-23T15:00")


def ended(hours: float, run: str = "production-1") -> CountedRun:
    return CountedRun(run, AT - hours * HOUR, is_open=False)


def test_it_is_not_applicable_where_policy_has_no_limit() -> None:
    assert rate_limit.judge(None, AT, [ended(0)]).result == "not-applicable"


@pytest.mark.parametrize("hours,passed", [(0.0, False), (3.999, False), (4.0, True), (5.0, True), (-1.0, False)])
def test_a_deployment_counts_for_its_hours_and_one_of_the_future_does(hours: float, passed: bool) -> None:  # noqa: FBT001
    assert passed == rate_limit.judge(RULE, AT, [ended(hours)]).passed


def test_the_first_ever_passes() -> None:
    assert (rate_limit.judge(RULE, AT, []).passed, rate_limit.judge(RULE, AT, []).reason) == (
        True,
        "none of 1 in 4 h used",
    )


def test_a_refusal_names_the_run_and_when_the_next_may_start() -> None:
    verdict = rate_limit.judge(RULE, AT, [ended(1)])

    assert outcome_of(verdict) == (False, "time")
    assert verdict.earliest_start == AT + 3 * HOUR
    assert verdict.reason == (
        "1 in 4 h: run production-1 changed it Monday 2026-11-23 14:00 UTC; the next may start Monday 2026-11-23 18:00 UTC"
    )


def test_of_several_the_oldest_that_counts_ages_out_first() -> None:
    rule, counted_runs = RateLimit(runs=2, per_h=4), [ended(1, "c"), ended(3, "a"), ended(2, "b"), ended(9, "z")]

    assert rate_limit.judge(rule, AT, counted_runs).earliest_start == AT + 2 * HOUR
    assert rate_limit.judge(rule, AT, counted_runs[:1]).passed


@pytest.mark.parametrize("runs", [1, 5])
def test_an_open_run_of_another_blocks_whatever_the_limit(runs: int) -> None:
    verdict = rate_limit.judge(RateLimit(runs=runs, per_h=4), AT, [CountedRun("production-1", AT - HOUR, is_open=True)])

    assert outcome_of(verdict) == (False, "time")
    assert verdict.earliest_start == AT + 3 * HOUR
    assert "production-1 is open" in verdict.reason


def test_an_open_run_blocks_however_old_it_is() -> None:
    verdict = rate_limit.judge(RULE, AT, [CountedRun("production-20261123T150000Z-0001", AT - 9 * HOUR, is_open=True)])

    assert outcome_of(verdict) == (False, "mend")
    assert verdict.remedy == "let it end; if it died: `pytest-deploy recover production`"


def test_a_run_does_not_count_against_itself() -> None:
    counted_runs = [CountedRun("production-2", AT, is_open=True)]

    assert tuple(
        rate_limit.judge(RULE, AT, counted_runs, own=own).passed for own in ("production-2", "production-3")
    ) == (
        True,
        False,
    )


def test_a_lease_is_told_why_it_may_not_be_taken() -> None:
    assert limited(RULE, AT, []) == ""
    assert limited(None, AT, [ended(0)]) == ""
    assert limited(RULE, AT, [ended(1)]).startswith("1 in 4 h: run production-1 changed it")


runs_made = st.lists(
    st.builds(
        CountedRun, st.uuids().map(str), st.integers(-600, 30).map(lambda it: AT + it * MINUTE), is_open=st.just(False)
    )
)


@settings(max_examples=80, deadline=None)
@given(runs=st.integers(1, 3), hours=st.integers(1, 6), counted_runs=runs_made)
def test_it_passes_at_its_earliest_start_and_never_before(
    runs: int, hours: int, counted_runs: list[CountedRun]
) -> None:
    rule = RateLimit(runs=runs, per_h=hours)

    def allowed(at: datetime) -> bool:
        return sum(one.at > at - hours * HOUR for one in counted_runs) < runs

    verdict = rate_limit.judge(rule, AT, counted_runs)
    start = verdict.earliest_start or AT

    assert allowed(AT) == verdict.passed
    assert rate_limit.judge(rule, start, counted_runs).passed
    assert not any(allowed(AT + step * MINUTE) for step in range((start - AT) // MINUTE))
