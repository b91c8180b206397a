"""What departed from the plan is told with the event that says so, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_deploy.pipeline.run import NOT_IN_POLICY
from pytest_deploy.reports.run_summary import summarize
from pytest_deploy.reports.signatures import deviations
from tests.unit.reports.sample_runs import RunBuilder

STEP = "suites/smoke/test_api.py::test_health_answers"


def told(*acts: Callable[[RunBuilder], None], pipeline: str = "deploy", **opened: object) -> list[tuple[str, str]]:
    """Kind and text of the deviations of a run in which this happened."""
    builder = RunBuilder()
    builder.opened(pipeline=pipeline, **opened)
    for act in acts:
        act(builder)
    builder.decided("deployed")
    found = deviations(summarize(builder.events))
    by_seq = {event.seq for event in builder.events}
    assert {one.seq for one in found} <= by_seq
    assert [one.seq for one in found] == sorted(one.seq for one in found)
    return [(one.kind, one.text) for one in found]


def test_a_run_as_planned_has_none() -> None:
    assert told(lambda run: run.step(STEP), lambda run: run.gate("window", "lease")) == []


def test_uncommitted_changes_and_changed_settings_are_told_each() -> None:
    watch, settle = {"policy": 900.0, "used": 1.0}, {"policy": 20.0, "used": 0.0}
    found = told(dirty=True, substituted={"health.watch_s": watch, "traffic.settle_s": settle})

    assert [kind for kind, _ in found] == ["uncommitted changes", "replaced", "replaced"]
    assert found[1][1] == "health.watch_s: policy has 900.0, this run used 1.0"


@pytest.mark.parametrize("outcome", ["failed", "error", "skipped"])
def test_a_step_that_did_not_pass_is_told_with_the_first_line_of_why(outcome: str) -> None:
    found = told(lambda run: run.step(STEP, outcome=outcome, message="500, not 200\nand more"))

    assert found == [(f"step {outcome}", "smoke, health answers: 500, not 200")]


def test_a_repeated_step_and_its_warnings_are_told() -> None:
    assert told(lambda run: run.step(STEP, attempts=2, warnings=["slow", "old"])) == [
        ("repeated", "smoke, health answers: needed 2 attempts"),
        ("warning", "smoke, health answers: slow"),
        ("warning", "smoke, health answers: old"),
    ]


def test_steps_not_run_are_told_once_a_phase_and_cause() -> None:
    found = told(
        lambda run: run.not_run("smoke", "a.py::test_1", "a.py::test_2", cause="deploy failed"),
        lambda run: run.not_run("health", "a.py::test_1", cause="deploy failed"),
    )

    assert found == [
        ("not run", "smoke: 2 steps not run: deploy failed"), ("not run", "health: 1 step not run: deploy failed"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "phase,cause", [("approval", NOT_IN_POLICY), ("rollback", "nothing to roll back: no step failed")]
)
def test_what_policy_leaves_out_and_a_rollback_nobody_needed_are_none(phase: str, cause: str) -> None:
    assert told(lambda run: run.not_run(phase, "a.py::test_1", cause=cause)) == []


@pytest.mark.parametrize("pipeline,kinds", [("deploy", ["gate refused"]), ("plan", [])])
def test_a_refused_gate_is_one_where_it_is_not_a_plans_answer(pipeline: str, kinds: list[str]) -> None:
    found = told(lambda run: run.gate("window", "lease", refused="closed"), pipeline=pipeline)

    assert [kind for kind, _ in found] == kinds


@pytest.mark.parametrize("took,kinds", [(181.0, ["over budget"]), (180.0, [])])
def test_a_phase_over_its_budget_is_one(took: float, kinds: list[str]) -> None:
    def smoke(run: RunBuilder) -> None:
        run.add("phase.finished", phase="smoke", outcome="passed", duration_s=took, budget_s=180.0)

    assert [kind for kind, _ in told(smoke)] == kinds


@pytest.mark.parametrize("seconds,kinds", [(600.0, ["over the SLA"]), (100.0, [])])
def test_a_run_over_its_sla_is_one(seconds: float, kinds: list[str]) -> None:
    assert [kind for kind, _ in told(lambda run: run.wait(seconds))] == kinds


def test_alerts_clocks_refused_signatures_recovery_and_rollback_are_told() -> None:
    lease = {"name": "local", "holder": "local:1:ada@desk", "until": "2026-11-22T20:16:00.000Z"}
    machine: dict[str, Any] = {"host": None, "pid": None, "process_started": None}
    found = told(
        lambda run: run.add("alert.raised", alert="clock", detail="3 s behind"),
        lambda run: run.add("clock.skewed", skew_s=3.0, source="the event before"),
        lambda run: run.add("approval.refused", signer=None, role=None, reason="a key nobody knows"),
        lambda run: run.add("lease.taken", **lease, **machine, recovers=True),
        lambda run: run.add("lease.taken", **lease, **machine),
        lambda run: run.add("rollback.started", cause="smoke failed", order=["traffic"], target="1.0"),
    )

    assert [kind for kind, _ in found] == ["alert", "clock", "signature refused", "recovered", "rolled back"]


def test_what_was_asked_before_the_run_opened_is_none() -> None:
    builder = RunBuilder()
    builder.gate("window", "lease", refused="closed")
    builder.opened()

    assert deviations(summarize(builder.events)) == ()
