"""What the person watching sees, of a real pytest on a terminal and in a pipe."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

WATCHED = """
import pytest

from pytest_deploy.plugin.progress import Progress
from pytest_deploy.pipeline.steps_lock import Step

STEPS = tuple(Step(f"test_it.py::test_{name}", "smoke", "always", False) for name in ("it_waits", "it_fails"))


def pytest_configure(config):
    config.pluginmanager.register(Watched(config))


class Watched(Progress):
    def pytest_runtestloop(self, session):
        self.open(["deploy diary"], STEPS)
        self.phase_started("smoke")

    def pytest_sessionfinish(self):
        self.phase_finished("smoke", "failed", 2.0)
        self.close()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = yield
        if report.when == "call":
            item.passed = report.passed
        if report.when == "teardown":
            cause = "" if item.passed else "answered 500\\nnot 200"
            report.deploy_step = {"outcome": "passed" if item.passed else "failed", "seconds": 1.2, "cause": cause}
        return report
"""
STEPS = """
import time

def test_it_waits():
    time.sleep(1.2)

def test_it_fails():
    assert False
"""


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A pytest whose steps are watched: one that takes its time, one that fails."""
    (tmp_path / "conftest.py").write_text(WATCHED)
    (tmp_path / "test_it.py").write_text(STEPS)
    return [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--no-header",
        "--no-summary",
        "-p",
        "no:cacheprovider",
        str(tmp_path),
    ]


def on_a_terminal(words: list[str], folder: Path) -> str:
    """What a terminal of 80 columns is told."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        words, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "COLUMNS": "80"}
    ) as process:
        os.close(theirs)
        told = b""
        try:
            while read := os.read(ours, 65_536):
                told += read
        except OSError:  # the terminal's end, as Linux tells it
            pass
        process.wait(timeout=60)
    os.close(ours)
    return told.decode()


def stays(told: str) -> list[str]:
    """The lines as they stand in the end: what a carriage return writes over is gone, colours left out."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", told).replace("\r\n", "\n")
    return [line.rpartition("\r")[2].rstrip() for line in plain.split("\n")]


ENDED = [
    "  ✓ it waits  1.2 s",
    "  ✗ it fails  1.2 s",
    "      answered 500",
    "      not 200",
    "  smoke failed after 2.0 s",
]


def test_a_log_has_a_line_for_each_step_that_has_ended_and_nothing_to_write_over(
    words: list[str], tmp_path: Path
) -> None:
    ran = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)

    lines = ran.stdout.splitlines()
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert lines[:3] == ["deploy diary", "", "smoke  2 steps · 2 of 2 steps to go"]
    assert lines[3:8] == ENDED
    assert "\r" not in ran.stdout
    assert "…" not in ran.stdout


def test_a_terminal_shows_the_running_step_and_its_seconds_in_a_line_that_goes(
    words: list[str], tmp_path: Path
) -> None:
    told = on_a_terminal(words, tmp_path)

    assert [seconds for seconds in ("0 s", "1 s") if f"  … it waits  {seconds}" in told] == ["0 s", "1 s"]
    assert [line for line in stays(told) if "…" in line] == []
    assert [line for line in stays(told) if line in ENDED] == ENDED


def test_what_is_written_over_is_no_output_of_the_step(words: list[str], tmp_path: Path) -> None:
    """Captured output goes into the reports."""
    (tmp_path / "test_it.py").write_text(
        STEPS.replace("time.sleep(1.2)", "time.sleep(1.2); print('mine'); assert False")
    )
    words.remove("--no-summary")

    captured = on_a_terminal(words, tmp_path).partition(" Captured stdout call ")[2].splitlines()

    assert captured[1] == "mine"
