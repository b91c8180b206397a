"""A job that is cancelled as GitHub cancels one: SIGINT, SIGTERM after 7.5 s, and 2.5 s later a kill of the whole tree."""

from __future__ import annotations

import os
import signal
import sys
import time

import psutil
import pytest

from tests.child_process import Ran, Running
from tests.project_checkout import QUICK, Checkout
from tests.stories.held_steps import hold_up
from tests.stories.step_ids import LED_BACK, REVISION, TRAFFIC
from tests.stories.story_assertions import Deployed

TERM_AFTER_S = 7.5
KILL_AFTER_S = 2.5
RECOVERED = 0


def start_in_bash(checkout: Checkout, *arguments: str) -> Running:
    """As a workflow's `run:` line does: a shell that becomes pytest."""
    words = " ".join(f"'{word}'" for word in ("--deploy-env=local", *QUICK, *arguments))
    return checkout.begin("bash", "-e", "-c", f"exec '{sys.executable}' -m pytest {words}")


def cancel(run: Running) -> Ran:
    """Cancel as GitHub's runner does; the process gone, the rest of its tree is killed only where time ran out."""
    tree = [psutil.Process(run.pid)]
    run.send(signal.SIGINT)
    if _ends(run, TERM_AFTER_S):
        return run.wait(1)
    run.send(signal.SIGTERM)
    if _ends(run, KILL_AFTER_S):
        return run.wait(1)
    tree += psutil.Process(run.pid).children(recursive=True)
    for process in tree:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    return run.wait(5)


def _ends(run: Running, within_s: float) -> bool:
    until = time.monotonic() + within_s
    while time.monotonic() < until and run.process.poll() is None:
        time.sleep(0.02)
    return run.process.poll() is not None


def assert_as_before(deployed: Deployed, recovered: Ran) -> None:
    """What the next step of the job leaves: the environment as it was, and a record that verifies."""
    checkout = deployed.checkout
    checkout.assert_nothing_runs()
    assert recovered.code == RECOVERED, recovered.said
    assert checkout.standing() == deployed.standing
    assert checkout.decided()["outcome"] == "rolled-back"
    verified = checkout.deploy_py("verify", "reports/local")
    assert verified.code == 0, verified.said


@pytest.mark.parametrize(
    "workers", [pytest.param((), id="alone"), pytest.param(("-n", "2"), id="workers", marks=pytest.mark.faults)]
)
def test_cancelled_run_rolls_back_and_recover_finds_nothing_or_finishes(
    deployed: Deployed, workers: tuple[str, ...]
) -> None:
    """A step that can be stopped: the rollback is done within the 10 s, or recover completes it where the machine is slow."""
    checkout = deployed.checkout
    held = hold_up(checkout, TRAFFIC, "before")

    run = start_in_bash(checkout, *workers)
    held.until_there(run)
    ran = cancel(run)
    recovered = checkout.deploy_py("recover", "local")

    assert ran.code in {2, -signal.SIGKILL}, ran.said
    if ran.code == 2:
        assert "no run is open" in recovered.stdout
        assert checkout.decided()["cause"] == "SIGINT"
    assert_as_before(deployed, recovered)


@pytest.mark.faults
@pytest.mark.parametrize("workers", [pytest.param(("-n", "2"), id="workers"), pytest.param((), id="alone")])
def test_cancelled_run_whose_step_hears_no_signal_is_killed_and_recover_finishes_it(
    deployed: Deployed, workers: tuple[str, ...]
) -> None:
    checkout = deployed.checkout
    held = hold_up(checkout, REVISION, "after", deaf=True)

    run = start_in_bash(checkout, *workers)
    held.until_there(run)
    ran = cancel(run)
    recovered = checkout.deploy_py("recover", "local")

    assert ran.code == -signal.SIGKILL, ran.said
    assert "rolling back" in recovered.stdout
    assert_as_before(deployed, recovered)


@pytest.mark.faults
def test_cancelled_run_whose_rollback_is_too_slow_is_killed_and_recover_finishes_it(deployed: Deployed) -> None:
    checkout = deployed.checkout
    held = hold_up(checkout, LED_BACK, "before")

    run = start_in_bash(checkout, "--deploy-set=service.env.FAULT=crud")
    held.until_there(run)
    ran = cancel(run)
    recovered = checkout.deploy_py("recover", "local")

    assert ran.code == -signal.SIGKILL, ran.said
    assert_as_before(deployed, recovered)


@pytest.mark.faults
def test_every_signal_to_the_whole_group_is_one_interruption(deployed: Deployed) -> None:
    """Ctrl-C reaches pytest and its workers; the second and the third, in the rollback, are noted and change nothing."""
    checkout = deployed.checkout
    held = hold_up(checkout, TRAFFIC, "before")

    run = checkout.start_deploy("-n", "2")
    held.until_there(run)
    os.killpg(run.pid, signal.SIGINT)
    run.until(lambda: checkout.said("rollback.started") != [])
    os.killpg(run.pid, signal.SIGTERM)
    time.sleep(0.3)
    os.killpg(run.pid, signal.SIGINT)
    ran = run.wait()

    deployed.assert_rolled_back(ran, code=2)
    assert checkout.decided()["cause"] == "SIGINT"


@pytest.mark.faults
def test_signal_to_a_worker_alone_stops_the_run_and_undoes_it(deployed: Deployed) -> None:
    checkout = deployed.checkout
    held = hold_up(checkout, TRAFFIC, "before")

    run = checkout.start_deploy("-n", "2")
    os.kill(held.until_there(run), signal.SIGTERM)
    ran = run.wait()

    deployed.assert_rolled_back(ran, code=2)
    assert checkout.decided()["cause"] == "SIGTERM"
