"""A run whose process is killed is finished by `deploy.py recover`, from the log and the live state."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

import psutil
import pytest

from tests.stories.checkout_changes import MOODS
from tests.stories.held_steps import Place, hold_up
from tests.stories.step_ids import BACKUP, HEALTH, LED_BACK, MIGRATION, REVISION, TRAFFIC, phase_of
from tests.stories.story_assertions import Deployed, assert_recovered_for_good

ALONE: Sequence[str] = ()
WORKERS = ("-n", "2")
WORKER_ENDS_WITHIN_S = 25.0
"""execnet ends a worker whose controller is gone after 15 s, whatever its step does; the platform stops within 2 s more."""


@pytest.mark.parametrize(
    "step, place, workers",
    [
        (REVISION, "after", WORKERS),
        pytest.param(TRAFFIC, "after", ALONE, marks=pytest.mark.faults),
        pytest.param(MIGRATION, "before", WORKERS, marks=pytest.mark.faults),
        pytest.param(MIGRATION, "after", ALONE, marks=pytest.mark.faults),
        pytest.param(REVISION, "before", ALONE, marks=pytest.mark.faults),
        pytest.param(HEALTH, "before", WORKERS, marks=pytest.mark.faults),
        pytest.param(HEALTH, "before", ALONE, marks=pytest.mark.faults),
        pytest.param(TRAFFIC, "after", WORKERS, marks=pytest.mark.faults),
        pytest.param(LED_BACK, "before", ALONE, marks=pytest.mark.faults),
        pytest.param(LED_BACK, "after", WORKERS, marks=pytest.mark.faults),
    ],
    ids=lambda value: phase_of(value) if "/" in value else value if isinstance(value, str) else "".join(value),
)
def test_run_whose_process_was_killed_is_rolled_back_by_recover(
    deployed: Deployed, step: str, place: Place, workers: Sequence[str]
) -> None:
    checkout = deployed.checkout
    checkout.write("migrations/0008_mood.sql", MOODS)
    held = hold_up(checkout, step, place)
    fault = ("--deploy-set=service.env.FAULT=crud",) if step == LED_BACK else ()

    run = checkout.start_deploy(*workers, *fault)
    held.until_there(run)
    os.kill(run.pid, signal.SIGKILL)
    run.wait(10)
    begun = [event for event in checkout.events(checkout.last_run()) if event.type == "step.started"]
    recovered = checkout.deploy_py("recover", "local")

    checkout.assert_nothing_runs()
    assert recovered.code == 0, recovered.said
    assert checkout.decided()["outcome"] == "rolled-back", recovered.said
    assert len(begun) == len([e for e in checkout.events(checkout.last_run()) if e.type == "step.started"])
    assert checkout.standing() == deployed.standing
    assert_recovered_for_good(deployed)


@pytest.mark.faults
@pytest.mark.parametrize("workers", [pytest.param(ALONE, id="alone"), pytest.param(WORKERS, id="workers")])
def test_run_killed_before_any_change_is_abandoned_and_the_next_deploys(
    deployed: Deployed, workers: Sequence[str]
) -> None:
    checkout = deployed.checkout
    held = hold_up(checkout, BACKUP, "before")

    run = checkout.start_deploy(*workers)
    held.until_there(run)
    os.kill(run.pid, signal.SIGKILL)
    run.wait(10)
    refused = checkout.deploy()
    recovered = checkout.deploy_py("recover", "local")

    assert refused.code == 1, refused.said
    assert "recover local" in refused.said
    assert recovered.code == 0, recovered.said
    assert [data["cause"] for data in checkout.said("run.abandoned")] != []
    page = (checkout.path / "reports" / "index.html").read_text(encoding="utf-8")
    assert f'data-run="{checkout.last_run()}" data-outcome="abandoned"' in page
    assert checkout.standing() == deployed.standing
    assert_recovered_for_good(deployed)
    deployed.restore_tree()
    again = checkout.deploy(*workers)
    assert again.code == 0, again.said
    deployed.standing = checkout.standing()


@pytest.mark.faults
def test_worker_whose_controller_was_killed_stops_after_its_step(deployed: Deployed) -> None:
    checkout = deployed.checkout
    held = hold_up(checkout, REVISION, "after", seconds=3)

    run = checkout.start_deploy(*WORKERS)
    worker = psutil.Process(held.until_there(run))
    os.kill(run.pid, signal.SIGKILL)
    run.wait(10)
    checkout.assert_nothing_runs(within_s=WORKER_ENDS_WITHIN_S)

    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
    started = [e.data["nodeid"] for e in checkout.events(checkout.last_run()) if e.type == "step.started"]
    assert started[-1] == REVISION
    recovered = checkout.deploy_py("recover", "local")
    assert recovered.code == 0, recovered.said
    assert checkout.decided()["outcome"] == "rolled-back"
    assert checkout.standing() == deployed.standing
    assert_recovered_for_good(deployed)
