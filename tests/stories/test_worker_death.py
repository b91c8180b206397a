"""A worker that dies in a step: the step failed, and what was changed is undone on a worker that lives."""

from __future__ import annotations

import os
import signal

import pytest

from tests.stories.held_steps import Place, hold_up
from tests.stories.story_assertions import Deployed, assert_ended

ARTEFACT = "suites/build/test_artefact.py::test_artefact_is_built_and_reproducible"
BACKUP = "suites/backup/test_backup.py::test_database_is_backed_up"
MIGRATION = "suites/migration/test_migration.py::test_pending_migrations_are_applied"
REVISION = "suites/deploy/test_deploy.py::test_new_revision_is_ready_at_0_percent"
HEALTH = "suites/smoke/test_api.py::test_health_answers_200_for_this_release"
TRAFFIC = "suites/traffic/test_traffic.py::test_traffic_moves_to_the_new_revision"
LED_BACK = "suites/rollback/test_restore.py::test_environment_is_led_back"

FAULTS = pytest.mark.faults

MOODS = """\
-- deploy:compatible expand
-- migrate:up
create view diary.mood as select 1 as mood;

-- migrate:down
drop view diary.mood;
"""


@pytest.mark.parametrize(
    "step, place",
    [
        (REVISION, "after"),
        pytest.param(HEALTH, "before", marks=FAULTS),
        pytest.param(MIGRATION, "before", marks=FAULTS),
        pytest.param(MIGRATION, "after", marks=FAULTS),
        pytest.param(REVISION, "before", marks=FAULTS),
        pytest.param(TRAFFIC, "before", marks=FAULTS),
        pytest.param(TRAFFIC, "after", marks=FAULTS),
    ],
    ids=lambda value: value.split("/")[1] if "/" in value else value,
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
    assert checkout.failing() == {step.removeprefix("suites/")}
    assert "the worker that ran it died" in checkout.decided()["cause"] or step == HEALTH
    assert checkout.step_outcomes()[LED_BACK] == "passed", "the rollback's own steps ran"


@pytest.mark.parametrize("step", [BACKUP, pytest.param(ARTEFACT, marks=FAULTS)])
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


@FAULTS
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


@FAULTS
def test_worker_that_dies_in_the_rollback_leaves_an_environment_that_is_led_back_all_the_same(
    deployed: Deployed,
) -> None:
    checkout = deployed.checkout
    held = hold_up(checkout, LED_BACK, "before")

    run = checkout.start_deploy("-n", "2", "--deploy-set=service.env.FAULT=crud")
    os.kill(held.until_there(run), signal.SIGKILL)
    ran = run.wait()

    deployed.assert_rolled_back(ran)
