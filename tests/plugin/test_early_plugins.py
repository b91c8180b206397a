"""`python deploy.py run` has its guard before pytest imports anything: what `-p` names cannot end a deployment with 0.

Bare pytest imports such a module before any plug-in of ours: that limit is documented, and held here so that it stays true.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from tests.child_process import environ_without_pytest

DEPLOY_PY = str(Path(__file__).parents[2] / "deploy.py")
NOTHING = "the process ended before a run was opened: it exited with 0; nothing was deployed"
ENDINGS = ["import os; os._exit(0)", "import sys; sys.exit(0)"]


def deployed(folder: Path, *words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """`python deploy.py run local WORDS` in a folder in which nothing can be deployed."""
    command = [sys.executable, DEPLOY_PY, "run", "local", *words]
    environ = {**environ_without_pytest(), **(env or {})}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "deploy.yaml").write_text("nothing: can be deployed\n")
    (tmp_path / "suites").mkdir()
    return tmp_path


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_module_named_by_p_that_ends_the_process_is_no_deployment(folder: Path, ending: str) -> None:
    (folder / "early.py").write_text(ending)

    ran = deployed(folder, "--", "-p", "early")

    assert (ran.returncode, NOTHING in ran.stderr) == (3, True), ran


@pytest.mark.parametrize("ending", ENDINGS)
def test_one_that_the_projects_own_addopts_name_is_not_imported(folder: Path, ending: str) -> None:
    (folder / "early.py").write_text(ending)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p early\n")

    ran = deployed(folder)

    assert (ran.returncode, NOTHING in ran.stderr) == (4, False), ran
    assert "deploy.yaml: " in ran.stderr, ran


def test_one_that_closes_every_descriptor_is_none_either(folder: Path) -> None:
    (folder / "early.py").write_text("import os; os.closerange(3, 256); os._exit(0)")

    assert deployed(folder, "--", "-p", "early").returncode == 3


@pytest.mark.parametrize("options", ["-p early", "'-p early", "-q"])
def test_pytest_addopts_is_refused_before_pytest_reads_it(folder: Path, options: str) -> None:
    (folder / "early.py").write_text(ENDINGS[0])

    ran = deployed(folder, env={"PYTEST_ADDOPTS": options})

    assert ran.returncode == 4, ran
    assert "PYTEST_ADDOPTS" in ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr


def test_a_module_that_goes_on_comes_to_the_refusal_of_the_session(folder: Path) -> None:
    """And the guard that `run` started is the session's: it gets no second one."""
    (folder / "early.py").write_text("import os; print('guarded by', os.getppid())")

    ran = deployed(folder, "--", "-p", "early")

    assert ran.returncode == 4, ran
    assert "plugins = " in ran.stderr or "-p" in ran.stderr, ran.stderr


@pytest.mark.parametrize("shows", ["--help", "--version", "--collect-only"])
def test_what_only_shows_needs_no_run(folder: Path, shows: str) -> None:
    ran = deployed(folder, "--", shows)

    assert NOTHING not in ran.stderr
    assert ran.returncode == (0 if shows != "--collect-only" else 4), ran


def started(folder: Path) -> subprocess.Popen[str]:
    """`deploy.py run` with the plug-in `early`, and its output to be read while it runs."""
    return subprocess.Popen(
        [sys.executable, "-u", DEPLOY_PY, "run", "local", "--", "-p", "early"],
        cwd=folder,
        env=environ_without_pytest(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def test_the_session_dies_with_what_was_started(folder: Path) -> None:
    (folder / "early.py").write_text("import os, time; print(os.getpid(), flush=True); time.sleep(30)")
    with started(folder) as process:
        assert process.stdout is not None
        process.stdout.readline()
        session = psutil.Process(int(process.stdout.readline()))
        process.kill()
        _, left = psutil.wait_procs([session], timeout=5)

    assert left == []


def test_a_signal_reaches_it(folder: Path) -> None:
    (folder / "early.py").write_text("import time; print('ready', flush=True); time.sleep(30)")
    with started(folder) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.readline()
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        code = process.wait(20)

    assert (code, time.monotonic() - began < 15) == (2, True)


def test_bare_pytest_is_ended_by_what_p_names_before_any_plug_in_of_ours(folder: Path) -> None:
    """The limit as docs/operating.md says it: `python deploy.py run` is what closes it."""
    (folder / "early.py").write_text(ENDINGS[0])

    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "--deploy-env=local", "-p", "early"],
        cwd=folder, env=environ_without_pytest(), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert (ran.returncode, (folder / "reports").exists()) == (0, False), ran
