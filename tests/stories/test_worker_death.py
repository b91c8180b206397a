"""A worker that dies in a step: the step failed, and what was changed is undone on a worker that lives."""

from __future__ import annotations

import os
import signal

import pytest

from tests.stories.checkout_changes import MOODS
from tests.stories.held_steps import Place, hold_up
from tests.stories.step_ids import ARTEFACT, BACKUP, HEALTH, LED_BACK, MIGRATION, REVISION, TRAFFIC, phase_of
from tests.stories.story_assertions import Deployed, assert_ended


@pytest.mark.parametrize(
    "step, place",
    [
        (REVISION, "after"),
        pytest.param(HEALTH, "before", marks=pytest.mark.faults),
        pytest.param(MIGRATION, "before", marks=pytest.mark.faults),
        pytest.param(MIGRATION, "after", marks=pytest.mark.faults),
        pytest.param(REVISION, "before", marks=pytest.mark.faults),
        pytest.param(TRAFFIC, "before", marks=pytest.mark.faults),
        pytest.param(TRAFFIC, "after", marks=pytest.mark.faults),
    ],
    ids=lambda value: phase_of(value) if "/" in value else value,
)
def test_worker_that_dies_in_a_step_fails_it_and_what_was_changed_is_undone(
    deployed: Deployed, step: str, place: Place
) -> None:
    checkout = deployed.checkout
    checkout.write("migrations/0008_mood.sql", MOODS)
    held = hold_up(checkout, step, place)

    run = checkout.start_deploy("-n", "2")
    os.kill(held.until_there(run), signal.SIGKILL)
    ran = run.wait()

    deployed.assert_rolled_back(ran)
    assert checkout.step_outcomes()[step] == "error"
    assert checkout.failing() == {step.partition("suites/")[2]}
    assert "the worker that ran it died" in checkout.decided()["cause"] or step == HEALTH
    assert checkout.step_outcomes()[LED_BACK] == "passed", "the rollback's own steps ran"


@pytest.mark.faults
@pytest.mark.parametrize("step", [BACKUP, ARTEFACT])
def test_worker_that_dies_before_any_change_fails_the_run_and_nothing_is_undone(deployed: Deployed, step: str) -> None:
    checkout = deployed.checkout
    held = hold_up(checkout, step, "before")

    run = checkout.start_deploy("-n", "2")
    os.kill(held.until_there(run), signal.SIGKILL)
    ran = run.wait()

    assert_ended(checkout, ran, code=1, outcome="failed")
    assert checkout.step_outcomes()[step] == "error"
    assert checkout.said("rollback.started") == []
    assert checkout.standing() == deployed.standing


@pytest.mark.faults
def test_worker_that_dies_while_it_holds_a_step_is_replaced_and_the_step_runs_elsewhere(deployed: Deployed) -> None:
    """The one that runs nothing dies while the other is in the deploy phase: no step is lost with it."""
    checkout = deployed.checkout
    held = hold_up(checkout, REVISION, "before", seconds=3)

    run = checkout.start_deploy("-n", "2")
    busy = held.until_there(run)
    workers = [int(path.read_text().split()[0]) for path in checkout.sessions("worker-*")]
    (idle,) = set(workers) - {busy}
    os.kill(idle, signal.SIGKILL)
    ran = run.wait()

    deployed.standing = checkout.standing()
    assert_ended(checkout, ran, code=0, outcome="deployed")
    assert checkout.failing() == set()


@pytest.mark.faults
def test_worker_that_dies_in_the_rollback_leaves_an_environment_that_is_led_back_all_the_same(
    deployed: Deployed,
) -> None:
    checkout = deployed.checkout
    held = hold_up(checkout, LED_BACK, "before")

    run = checkout.start_deploy("-n", "2", "--deploy-set=service.env.FAULT=crud")
    os.kill(held.until_there(run), signal.SIGKILL)
    ran = run.wait()

    deployed.assert_rolled_back(ran)
