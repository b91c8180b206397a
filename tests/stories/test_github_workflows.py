"""The workflows of .github/workflows run for real, on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pytest_deploy.record.actor import local_user
from tests.child_process import Ran, Running
from tests.github_runner import LOGIN, Runner, on_this_machine
from tests.project_checkout import Checkout
from tests.stories.held_steps import hold_up
from tests.stories.step_ids import REVISION


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    with Checkout.open(tmp_path) as checkout:
        on_this_machine(checkout)
        yield Runner.of(checkout)


def seen(runner: Runner, environment: str) -> Checkout:
    """The same checkout, whose record of this environment is read."""
    found = Checkout(runner.checkout.path, runner.checkout.memory, environment)
    found._children = runner.checkout._children
    return found


def assert_verifies(checkout: Checkout) -> None:
    verified = checkout.deploy_py("verify", f"reports/{checkout.environment}")
    assert verified.code == 0, verified.said
    checkout.assert_nothing_runs()


def test_a_push_to_main_deploys_development_and_keeps_a_copy_of_its_record(runner: Runner) -> None:
    ran = runner.run("deploy-development.yml", "push", run_id="77", attempt=2)

    development = seen(runner, "development")
    assert ran.code == 0, ran.said
    assert development.decided()["outcome"] == "deployed"
    assert (runner.checkout.path / LOGIN).is_file(), "the login lay in the workspace, and dirtied nothing"
    artefact = runner.artefacts / "record-development-77-2"
    assert (artefact / "runs" / development.last_run() / "report.html").is_file()
    assert_verifies(development)


@pytest.mark.faults
def test_a_rollback_goes_back_to_the_version_that_is_named_and_no_further_than_the_record_knows(runner: Runner) -> None:
    development, standing = first_deployed(runner)
    version = development.said("run.opened")[0]["version"]
    development.commit("The same again")
    assert runner.run("deploy-development.yml", "push").code == 0
    inputs = {"environment": "development", "reason": "log-in fails", "ticket": "INC-7"}

    unknown = runner.run("rollback.yml", "workflow_dispatch", inputs={**inputs, "target_version": "v9.9.9"})
    ran = runner.run("rollback.yml", "workflow_dispatch", inputs={**inputs, "target_version": version})

    assert unknown.code == 1, unknown.said
    assert "--to v9.9.9: the record knows no such release" in unknown.said
    assert ran.code == 0, ran.said
    opened = development.said("run.opened")[0]
    assert (opened["pipeline"], opened["version"], opened["ticket"]) == ("rollback", version, "INC-7")
    assert development.decided()["outcome"] == "rolled-back"
    assert development.standing() == standing
    assert_verifies(development)


def dispatched(runner: Runner, environment: str, step: str, run: str = "") -> Ran:
    """`gh workflow run deploy-ENVIRONMENT.yml -f step=… -f run=…`, as the runner sees it."""
    inputs = {"step": step, "run": run, "reason": "", "ticket": ""}
    return runner.run(f"deploy-{environment}.yml", "workflow_dispatch", inputs=inputs, job=step)


def enroll(checkout: Checkout, name: str, role: str, *more: str) -> Path:
    """Somebody of the roster, with a key of their own outside the checkout; the private key's file."""
    key = checkout.path.parent / f"{name}-{checkout.environment}"
    made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(made, check=True, capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
    who = (f"--person={name}@example.org", f"--name={name.title()} Example", f"--role={role}")
    ran = checkout.deploy_py(
        "keys", "enroll", checkout.environment, *who, f"--public-key={key}.pub", "--reason=OPS-1", *more
    )
    assert ran.code == 0, ran.said
    return key


def asked_for(checkout: Checkout) -> str:
    """The newest request."""
    return [event.run for event in checkout.events() if event.type == "request.made"][-1]


@pytest.mark.faults
def test_staging_and_production_stop_without_approval_and_pass_with_it(runner: Runner) -> None:
    staging, production = seen(runner, "staging"), seen(runner, "production")
    deployer = f"--local={local_user()}"
    people = {
        staging: {"QA Lead": "quinn"},
        production: {"Tech Lead": "tina", "QA Lead": "quinn"},
    }
    for checkout, approvers in people.items():
        environment = checkout.environment
        enroll(checkout, "dora", "Deployment Manager", deployer)
        keys = {role: enroll(checkout, name, role) for role, name in approvers.items()}

        # 1. Nobody asked for anything yet; and an input that nobody filled in names no request.
        for nothing, said in ((f"{environment}-20270101T000000Z-0000", "no live request"), ("", "is empty")):
            refused = dispatched(runner, environment, "run", nothing)
            assert refused.code == 1, refused.said
            assert said in refused.said
        assert checkout.runs() == []

        # 2. The plan makes the request and ends; what it still needs is no failure.
        planned = dispatched(runner, environment, "plan")
        assert planned.code == 0, planned.said
        request = asked_for(checkout)
        assert f"approval missing: {', '.join(approvers)}" in planned.said

        # 3. Unsigned it does not run, though the environment's reviewers let the job begin.
        refused = dispatched(runner, environment, "run", request)
        assert refused.code == 1, refused.said
        assert f"1 gate of 14 refused {request}; nothing was changed" in refused.said
        assert "Show what people are asked to sign" in planned.said
        assert request not in checkout.runs()

        # 4. Signed it does.
        for role, key in keys.items():
            signed = checkout.deploy_py("approve", request, "--role", role, "--key", str(key), "--yes")
            assert signed.code == 0, signed.said
        ran = dispatched(runner, environment, "run", request)
        assert ran.code == 0, ran.said
        assert checkout.decided(request)["outcome"] == "deployed"
        assert_verifies(checkout)
    kept = {path.name.rpartition("-")[0].rpartition("-")[0] for path in runner.artefacts.iterdir()}
    assert {"plan-production", "plan-staging", "record-production", "record-staging"} == kept


def step_process(run: Running, words: str) -> psutil.Process:
    """The process of the step that runs: by `exec` it is the runner's own child, which is what a cancel signals."""
    (found,) = (one for one in psutil.Process(run.pid).children() if words in " ".join(one.cmdline()))
    return found


@pytest.mark.faults
def test_a_cancelled_run_that_hears_it_is_rolled_back_in_its_job(runner: Runner) -> None:
    development, standing = first_deployed(runner)
    held = hold_up(development, REVISION, "after")

    run = runner.start("deploy-development.yml", "push")
    held.until_there(run)
    step_process(run, "deploy.py run development").send_signal(signal.SIGINT)
    ran = run.wait(120)

    assert ran.code == 1, ran.said
    assert (development.decided()["outcome"], development.decided()["cause"]) == ("rolled-back", "SIGINT")
    assert "development: no run is open" in ran.said
    assert development.standing() == standing
    assert_verifies(development)


@pytest.mark.faults
def test_a_cancelled_run_that_hears_nothing_is_recovered_by_the_workflow_that_follows_it(runner: Runner) -> None:
    development, standing = first_deployed(runner)
    held = hold_up(development, REVISION, "after", deaf=True)
    run = runner.start("deploy-development.yml", "push")
    held.until_there(run)
    cancelled = development.last_run()

    # As GitHub cancels: SIGINT, 7.5 s, SIGTERM, 2.5 s, the tree is killed; here what follows in the job never comes either.
    step = step_process(run, "deploy.py run development")
    for signum, then_s in ((signal.SIGINT, 7.5), (signal.SIGTERM, 2.5)):
        step.send_signal(signum)
        time.sleep(then_s)
    tree = [*step.children(recursive=True), step]
    os.kill(run.pid, signal.SIGKILL)
    for process in tree:
        if process.is_running():
            process.kill()
    run.wait(10)
    development.assert_nothing_runs(10)
    assert "run.decided" not in {event.type for event in development.events(cancelled)}

    recovered = runner.run("recover.yml", "workflow_run")

    assert recovered.code == 0, recovered.said
    assert f"found: run {cancelled}, open" in recovered.said
    assert development.decided(cancelled)["outcome"] == "rolled-back"
    assert development.standing() == standing
    for environment in ("staging", "production"):
        assert f"{environment}: no record yet, so nothing to recover" in recovered.said
    assert_verifies(development)


def first_deployed(runner: Runner) -> tuple[Checkout, object]:
    """Development with a release that serves; and what a rollback has to lead back to."""
    development = seen(runner, "development")
    ran = runner.run("deploy-development.yml", "push")
    assert ran.code == 0, ran.said
    return development, development.standing()
