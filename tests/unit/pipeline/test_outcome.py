"""The verdict on a run, from its events alone."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product
from typing import Any, get_args

import pytest

from pytest_deploy.pipeline.outcome import (
    CAUSES,
    ENDINGS,
    EVIDENCE,
    NO_CAUSE,
    exit_code,
    judge,
    unpassed,
)
from pytest_deploy.pipeline.sequence import Cause, CauseKind
from pytest_deploy.pipeline.steps_lock import Step
from pytest_deploy.record.event import Event
from pytest_deploy.record.events.of_runs import Outcome
from tests.unit.record.sample_record import step_finished, step_started

ONE, TWO = (Step(f"suites/smoke/t.py::{name}", "smoke", "always", changes=False) for name in ("one", "two"))
FAILED = Cause("step", "smoke: one")


def event(type_: str, **content: Any) -> Event:
    return Event(1, "0" * 64, datetime(2026, 1, 1, tzinfo=UTC), "0" * 16, type_, "run", "system:test", content)


def finished(step: Step, outcome: str = "passed") -> Event:
    return event("step.finished", **step_finished(step.nodeid, step.phase, outcome))


CHANGED = event("step.started", **step_started("suites/deploy/t.py::d", "deploy", changes=True))
BACK = event("rollback.finished", outcome="rolled-back", duration_s=1.0, target="1.2.0")
NOT_BACK = event("rollback.finished", outcome="rollback-failed", duration_s=1.0, target="1.2.0")


def test_every_step_passed_is_deployed() -> None:
    verdict = judge([CHANGED, finished(ONE), finished(TWO)], [ONE, TWO], None, pipeline="deploy")

    assert (verdict.outcome, verdict.exit_code) == ("deployed", 0)


@pytest.mark.parametrize("outcome", ["failed", "error", "skipped", "still-needed"])
def test_a_step_that_did_not_pass_does_not_count(outcome: str) -> None:
    assert unpassed([finished(ONE, outcome), finished(TWO)], [ONE, TWO], pipeline="deploy") == [ONE.nodeid]


def test_a_step_that_was_not_applicable_holds_nothing_up() -> None:
    assert unpassed([finished(ONE, "not-applicable")], [ONE], pipeline="deploy") == []


@pytest.mark.parametrize("pipeline, missing", [("plan", []), ("deploy", [ONE.nodeid])])
def test_what_is_still_needed_holds_up_everything_but_a_plan(pipeline: str, missing: list[str]) -> None:
    assert unpassed([finished(ONE, "still-needed")], [ONE], pipeline=pipeline) == missing


@pytest.mark.parametrize(
    "ends, outcome",
    [
        (["passed", "passed"], "passed"),
        (["passed", "not-applicable"], "passed"),
        (["passed", "still-needed"], "still-needed"),
        (["not-applicable", "still-needed"], "still-needed"),
    ],
)
def test_a_plan_that_waits_is_through_and_has_not_passed(ends: list[str], outcome: str) -> None:
    events = [finished(step, end) for step, end in zip((ONE, TWO), ends, strict=True)]

    verdict = judge(events, [ONE, TWO], None, pipeline="plan")

    assert (verdict.outcome, verdict.exit_code, verdict.cause) == (outcome, 0, "")


def test_a_plan_that_failed_and_waits_besides_has_not_passed() -> None:
    verdict = judge([finished(ONE, "failed"), finished(TWO, "still-needed")], [ONE, TWO], FAILED, pipeline="plan")

    assert (verdict.outcome, verdict.exit_code) == ("not-passed", 1)


def test_a_step_that_never_ran_or_ran_twice_does_not_count() -> None:
    assert unpassed([finished(ONE), finished(ONE)], [ONE, TWO], pipeline="deploy") == [ONE.nodeid, TWO.nodeid]


def test_nothing_says_it_failed_and_yet_a_step_is_missing() -> None:
    verdict = judge([finished(ONE)], [ONE, TWO], None, pipeline="deploy")

    assert (verdict.outcome, verdict.exit_code, verdict.cause) == ("failed", 1, f"not passed: {TWO.nodeid}")


@pytest.mark.parametrize(
    "events, pipeline, outcome, code",
    [
        ([], "deploy", "failed", 1),
        ([], "smoke", "not-passed", 1),
        ([event("gate.refused")], "deploy", "refused", 1),
        ([CHANGED, BACK], "deploy", "rolled-back", 1),
        ([CHANGED, NOT_BACK], "deploy", "rollback-failed", 20),
        ([CHANGED], "deploy", "rollback-failed", 20),
    ],
    ids=["unchanged", "smoke", "gate", "undone", "not undone", "never undone"],
)
def test_a_failure_is_named_by_the_state_it_left(events: list[Event], pipeline: str, outcome: str, code: int) -> None:
    verdict = judge(events, [ONE], FAILED, pipeline=pipeline)

    assert (verdict.outcome, verdict.exit_code, verdict.cause) == (outcome, code, "smoke: one")


@pytest.mark.parametrize("kind, code", [("signal", 2), ("internal", 3), ("lease", 1), ("budget", 1)])
def test_the_exit_code_tells_who_stopped_it(kind: CauseKind, code: int) -> None:
    assert judge([CHANGED, BACK], [ONE], Cause(kind, "x"), pipeline="deploy").exit_code == code


BEGUN = event("rollback.started", cause="asked for", order=["traffic"], target="1.2.0")


@pytest.mark.parametrize(
    "events, cause, outcome, code",
    [
        ([CHANGED, BEGUN, BACK, finished(ONE)], None, "rolled-back", 0),
        ([CHANGED, BEGUN, BACK, finished(ONE)], Cause("signal", "SIGTERM"), "rolled-back", 2),
        ([BEGUN, BACK], Cause("internal", "recovered"), "rolled-back", 3),
        ([CHANGED, BEGUN, NOT_BACK], FAILED, "rollback-failed", 20),
        ([BEGUN, NOT_BACK], FAILED, "rollback-failed", 20),
        ([event("gate.refused")], FAILED, "refused", 1),
        ([], FAILED, "failed", 1),
    ],
    ids=["done", "signal", "recovered", "not done", "failed before its first change", "gate", "before"],
)
def test_a_rollback_that_was_asked_for_is_done_or_refused_or_needs_a_person(
    events: list[Event], cause: Cause | None, outcome: str, code: int
) -> None:
    verdict = judge(events, [ONE], cause, pipeline="rollback")

    assert (verdict.outcome, verdict.exit_code) == (outcome, code)


UNDONE = {"rolled-back", "rollback-failed"}
"""Outcomes that only a run has which had announced a change."""
WELL = {"deployed", "passed", "still-needed"}


@pytest.mark.parametrize("outcome", get_args(Outcome))
@pytest.mark.parametrize("changed", [False, True], ids=["unchanged", "changed"])
def test_every_ending_that_can_be_has_one_code_and_what_cannot_be_has_none(outcome: Outcome, *, changed: bool) -> None:
    for cause in CAUSES:
        rows = [row for row in ENDINGS if outcome in row.outcomes and changed in row.changed and cause in row.causes]
        possible = (outcome in WELL or changed == (outcome in UNDONE)) and (
            cause == EVIDENCE or outcome == "rolled-back" or (cause == NO_CAUSE) == (outcome in WELL)
        )
        assert len(rows) == possible, (outcome, changed, cause)
        if not possible:
            with pytest.raises(ValueError, match="no run ends"):
                exit_code(outcome, changed=changed, cause=cause)


def test_the_codes_mean_what_the_manual_says() -> None:
    for ending, cause in ((row, cause) for row in ENDINGS for cause in row.causes):
        for outcome, changed in product(ending.outcomes, ending.changed):
            code = exit_code(outcome, changed=changed, cause=cause)
            well = outcome in WELL or outcome == "rolled-back"  # without a cause: it was asked for
            assert (code == 0) == (well and cause == NO_CAUSE), "0: all went well, and nothing else is 0"
            needs_person = outcome == "rollback-failed" or (changed and cause == EVIDENCE)
            assert (code == 20) == needs_person, "20: what was changed is not undone, or is not shown"
            assert (code == 2) == (cause == "signal" and not needs_person)
            assert (code == 3) == (not needs_person and cause in {"internal", EVIDENCE}), "3: nothing left changed"
