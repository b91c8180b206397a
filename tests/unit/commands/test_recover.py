"""`deploy.py recover` where nothing was changed: it explains, closes what is open, waits for who may live, and invents nothing.

What was changed is restored by the stories (`tests/stories/test_recover.py`).
"""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import typer

from pytest_deploy.commands.recover import recover
from pytest_deploy.errors import RecordError, UsageError
from pytest_deploy.platform.environment import record_of
from pytest_deploy.policy.load import policy_of
from pytest_deploy.record import lease as leases
from pytest_deploy.record.clock import SystemClock
from pytest_deploy.record.lease import take, this_process
from pytest_deploy.record.log import Log
from pytest_deploy.verify.verify import verify
from pytest_deploy.workspace import Workspace
from tests.unit.commands.typed import typed
from tests.unit.record.sample_record import ACTOR, HandClock, RunWriter, step_started
from tests.unit.sample_environment import environment
from tests.unit.verify.second_verifier import both

STORE = "reports/local"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout of which nothing was ever deployed."""
    environment(tmp_path, "local")
    return tmp_path


def log_of(root: Path, clock: HandClock | None = None) -> Log:
    context = Workspace(root, "local")
    return record_of(context, policy_of(context), clock or SystemClock())


def gone() -> dict[str, Any]:
    """A process that was there and no longer is."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    started = psutil.Process(child.pid).create_time()
    child.wait()
    return {**this_process(), "pid": child.pid, "process_started": started}


def left(root: Path, by: dict[str, Any], *, life_s: float = 60) -> str:
    """A run in whose first step the process died; its id."""
    log = log_of(root)
    run = RunWriter(log)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leases, "this_process", lambda: by)
        run.lease = take(log, run.run, name="local", actor=ACTOR, life_s=life_s)
    run.open_under_lease()
    run.add("phase.started", {"phase": "build"})
    run.add("step.started", step_started("suites/build/test_checks.py::test_lint_finds_nothing", "build"))
    return run.run


def recovered(root: Path, **options: bool) -> list[str]:
    """What `recover local` prints where it ends well."""
    printed: list[str] = []
    code = 0
    try:
        typed(root, recover, "local", printed=printed, **options)
    except typer.Exit as ended:
        code = ended.exit_code
    assert code == 0
    return printed


def test_where_nothing_was_ever_recorded_nothing_is(root: Path) -> None:

    printed = recovered(root)

    assert printed == ["local: no record yet, so nothing to recover"]
    assert not (root / "reports").exists()


def test_where_no_run_is_open_it_says_so_and_writes_nothing(root: Path) -> None:
    RunWriter(log_of(root)).open().step("build").close("failed")
    size = verify(root / STORE).size

    printed = recovered(root)

    assert printed == [f"local: no run is open in the record's {size} events"]
    assert verify(root / STORE).size == size


def test_a_run_whose_process_died_before_any_change_is_abandoned(root: Path) -> None:
    run = left(root, gone())

    printed = recovered(root)

    assert printed[0].startswith(f"found: run {run}, open; its last event is step.started at ")
    assert "in build, `lint finds nothing` began and did not end, which changes nothing" in printed[1]
    assert "nothing had been changed" in printed[2]
    assert printed[-1] == f"done: run {run} abandoned; the environment is as it was"
    assert [e.type for e in log_of(root).run(run)][-3:] == ["lease.taken", "run.abandoned", "lease.released"]
    assert both(root / STORE) == (True, "")
    assert "no run is open" in recovered(root)[0]


def test_a_holder_that_may_live_is_waited_for(root: Path) -> None:
    """On another machine: nobody here can tell whether it still runs."""
    run = left(root, {**this_process(), "host": "elsewhere"}, life_s=1.5)

    printed = recovered(root)

    waited = [line for line in printed if line.strip().startswith("waiting until ")]
    assert len(waited) == 1
    assert printed[-1] == f"done: run {run} abandoned; the environment is as it was"


def test_a_record_written_into_the_future_is_mended_once_and_says_so(root: Path) -> None:
    ahead = HandClock(SystemClock().now() + timedelta(days=3))
    log_of(root, ahead).head()
    with pytest.raises(RecordError, match=r"pytest-deploy recover local --clock"):
        RunWriter(log_of(root)).add("alert.raised", {"alert": "a", "detail": "b"})

    printed = recovered(root, clock=True)

    assert printed[0].startswith("the record's time starts again at ")
    assert both(root / STORE) == (True, "")
    with pytest.raises(RecordError, match="not in the future; nothing to mend"):
        recovered(root, clock=True)


def test_unattended_a_run_that_may_live_is_left_alone_and_nothing_is_written(root: Path) -> None:
    """A schedule asks while somebody deploys, on another machine."""
    run = left(root, {**this_process(), "host": "elsewhere"}, life_s=60)
    size = verify(root / STORE).size

    printed = recovered(root, unattended=True)

    assert printed[-1] == f"       left alone: {run} may still run, and no time has shown that it does not"
    assert verify(root / STORE).size == size


def test_unattended_a_run_whose_process_is_gone_or_whose_lease_ran_out_is_recovered(root: Path) -> None:
    run = left(root, gone())
    assert recovered(root, unattended=True)[-1] == f"done: run {run} abandoned; the environment is as it was"

    run = left(root, {**this_process(), "host": "elsewhere"}, life_s=0.1)
    time.sleep(0.2)
    assert recovered(root, unattended=True)[-1] == f"done: run {run} abandoned; the environment is as it was"


def test_unattended_a_plan_is_left_alone_until_its_time_limit_has_passed(root: Path) -> None:
    """A plan takes no lease, so nothing but time tells of one on another machine."""
    clock = HandClock(SystemClock().now() - timedelta(seconds=600))
    plan = RunWriter(log_of(root, clock), pipeline="plan").open()

    assert recovered(root, unattended=True)[-1].startswith(f"       left alone: {plan.run} may still run")

    # Twice sla_s of local: 1,200 s.
    environment_of_old = root / "deploy.yaml"
    text = environment_of_old.read_text(encoding="utf-8")
    environment_of_old.write_text(
        text.replace("sla_s: 600\n    dirty_tree", "run_limit_s: 300\n    sla_s: 600\n    dirty_tree"), encoding="utf-8"
    )
    assert recovered(root, unattended=True)[-1] == f"done: run {plan.run} abandoned; the environment is as it was"


@pytest.mark.parametrize(
    "told", ["uploads", "uploads=uploads-1", "urn:pulumi:test::diary::gcp:storage/bucket:Bucket::uploads="]
)
def test_an_id_that_is_told_without_its_resource_is_refused(root: Path, told: str) -> None:
    with pytest.raises(UsageError, match="right is URN=ID"):
        typed(root, recover, "local", looked_up=[told])
