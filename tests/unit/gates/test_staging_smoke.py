"""The very same was smoked in staging, lately, by a run whose record verifies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_deploy.gates import staging_smoke
from pytest_deploy.gates.staging_smoke import Evidence, SmokedRelease
from pytest_deploy.gates.verdict import Verdict
from pytest_deploy.policy.policy import StagingSmoke
from tests.unit.gates.gate_samples import HOUR, MINUTE, outcome_of, utc

RULE = StagingSmoke(environment="staging", within_h=24)
AT = utc("2026-11-23T15:00")
WANTED = SmokedRelease("c" * 40, "sha256:" + "a" * 64, "b" * 64)
GOOD = Evidence("staging-1", AT - HOUR, WANTED, passed=True)


def judged(*evidence: Evidence) -> Verdict:
    return staging_smoke.judge(RULE, AT, WANTED, evidence)


def test_it_is_not_applicable_where_policy_asks_for_none() -> None:
    assert staging_smoke.judge(None, AT, WANTED, []).result == "not-applicable"


def test_the_same_release_smoked_an_hour_ago_passes() -> None:
    verdict = judged(GOOD)

    assert outcome_of(verdict) == (True, "")
    assert (
        verdict.reason
        == "staging smoke of run staging-1 passed Monday 2026-11-23 14:00 UTC, 1 h ago, on the same artefact"
    )
    assert verdict.inputs["age_h"] == 1.0


@pytest.mark.parametrize("minutes,passed", [(24 * 60, True), (24 * 60 + 1, False), (0, True)])
def test_it_may_be_as_old_as_policy_says_and_no_older(minutes: int, passed: bool) -> None:  # noqa: FBT001
    assert passed == judged(replace(GOOD, at=AT - minutes * MINUTE)).passed


def test_too_old_says_how_old_and_what_renews_it() -> None:
    assert (
        judged(replace(GOOD, at=AT - 31 * HOUR)).sentence
        == "staging smoke is 31 h old, 24 h are allowed; smoke it again: `pytest-deploy run staging --pipeline smoke`"
    )


@pytest.mark.parametrize(
    "other,said",
    [
        (
            {"digest": "sha256:" + "d" * 64},
            "staging smoked another artefact (dddddddddddd, not aaaaaaaaaaaa) in run staging-1",
        ),
        ({"commit": "e" * 40}, "staging smoked another commit (eeeeeeeeeeee, not cccccccccccc) in run staging-1"),
        (
            {"migrations_sha256": "f" * 64},
            "staging smoked another migration set (ffffffffffff, not bbbbbbbbbbbb) in run staging-1",
        ),
    ],
)
def test_another_release_is_told_by_what_differs(other: dict[str, str], said: str) -> None:
    verdict = judged(replace(GOOD, release=replace(WANTED, **other)))

    assert outcome_of(verdict) == (False, "mend")
    assert said == verdict.reason


@pytest.mark.parametrize(
    "bad,said",
    [
        ({"passed": False}, "staging smoke of run staging-1 failed Monday 2026-11-23 14:00 UTC"),
        (
            {"at": AT + MINUTE},
            "staging smoke of run staging-1 is dated Monday 2026-11-23 15:01 UTC, after Monday 2026-11-23 15:00 UTC",
        ),
    ],
)
def test_evidence_that_is_none_must_be_mended(bad: dict[str, object], said: str) -> None:
    verdict = judged(replace(GOOD, **bad))  # type: ignore[arg-type]  # each of its field's type

    assert outcome_of(verdict) == (False, "mend")
    assert said == verdict.reason


def test_nothing_on_record_must_be_mended() -> None:
    assert (
        judged().sentence
        == "staging has no smoke on record; deploy there: `pytest-deploy run staging --pipeline deploy`"
    )


def test_where_people_approve_a_deployment_there_its_plan_comes_first_and_a_rehearsal_an_hour_before() -> None:
    planned = staging_smoke.judge(RULE, AT, WANTED, [], rehearsal=True, first="plan")
    aged = staging_smoke.judge(RULE, AT, WANTED, [replace(GOOD, at=AT - 31 * HOUR)], rehearsal=True, first="plan")

    at = "-- --deploy-at=2026-11-23T14:00:00Z"
    assert planned.remedy == f"deploy there: `pytest-deploy run staging --rehearse --pipeline plan {at}`"
    assert aged.remedy == f"smoke it again: `pytest-deploy run staging --rehearse --pipeline smoke {at}`"


def test_an_older_pass_does_not_outweigh_a_newer_failure() -> None:
    failed = replace(GOOD, run="staging-2", at=AT - MINUTE, passed=False)

    assert not judged(GOOD, failed).passed
    assert judged(replace(GOOD, at=AT), failed).passed


SOAK = StagingSmoke(environment="staging", within_h=24, soak_h=48)


def soaked(*evidence: Evidence) -> Verdict:
    return staging_smoke.judge(SOAK, AT, WANTED, evidence)


@pytest.mark.parametrize("hours, passed", [(49, True), (48, True), (47, False)])
def test_it_must_have_been_there_as_long_as_policy_says_and_still_pass(hours: int, *, passed: bool) -> None:
    first = replace(GOOD, run="staging-0", at=AT - hours * HOUR)

    verdict = soaked(first, GOOD)

    assert passed == verdict.passed
    assert verdict.inputs["soaks_since"]["run"] == "staging-0"
    assert not soaked(first).passed, "an old pass alone is too old"


def test_until_it_has_been_there_long_enough_it_waits_and_says_for_how_long() -> None:
    verdict = soaked(GOOD)

    assert outcome_of(verdict) == (False, "time")
    assert verdict.earliest_start == AT + 47 * HOUR
    assert verdict.reason == (
        "staging has had it since Monday 2026-11-23 14:00 UTC, 1 h; 48 h are asked for, until Wednesday 2026-11-25 14:00 UTC"
    )


@pytest.mark.parametrize(
    "between",
    [{"passed": False}, {"release": replace(WANTED, commit="e" * 40)}],
    ids=["a failed smoke", "another release"],
)
def test_what_came_in_between_begins_it_anew(between: dict[str, object]) -> None:
    first = replace(GOOD, run="staging-0", at=AT - 60 * HOUR)
    broken = replace(first, run="staging-1", at=AT - 50 * HOUR, **between)  # type: ignore[arg-type]
    again = replace(GOOD, run="staging-2", at=AT - 49 * HOUR)
    newest = replace(GOOD, run="staging-3")

    assert soaked(first, broken, again, newest).passed
    assert not soaked(first, replace(broken, at=AT - 2 * HOUR), newest).passed


def test_a_later_smoke_of_something_else_takes_nothing_away() -> None:
    assert judged(GOOD, replace(GOOD, run="staging-2", at=AT, release=replace(WANTED, commit="e" * 40))).passed
