"""The workers of a run as processes: found by what they said of themselves, asked to stop, killed where they do not."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pytest_deploy.pipeline import processes

SLEEPER = """
import pathlib, signal, sys, time
from pytest_deploy.pipeline.processes import register_worker
if {deaf}:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
register_worker(pathlib.Path(sys.argv[1]), sys.argv[2])
time.sleep(60)
"""


class Crew:
    """Processes that say they are workers of one session."""

    def __init__(self, session: Path) -> None:
        self.session = session
        self.processes: list[subprocess.Popen[bytes]] = []

    def add(self, name: str, *, deaf: bool = False) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-c", SLEEPER.format(deaf=deaf), str(self.session), name]
        process = subprocess.Popen(words)
        self.processes.append(process)
        told = self.session / f"worker-{name}"
        deadline = time.monotonic() + 30
        while not (told.exists() and told.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return process


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    made = Crew(tmp_path)
    yield made
    for process in made.processes:
        process.kill()
        process.wait()


def test_a_worker_that_lives_is_found_and_one_that_ended_is_not(crew: Crew) -> None:
    lives, ended = crew.add("gw0"), crew.add("gw1")
    ended.kill()
    ended.wait()

    assert [lives.pid] == [process.pid for process in processes.living_workers(crew.session)]
    assert processes.find_worker(crew.session, "gw1") is None


def test_one_that_ended_and_was_not_waited_for_yet_is_not_found(crew: Crew) -> None:
    zombie = crew.add("gw0")
    zombie.kill()
    deadline = time.monotonic() + 5
    while psutil.Process(zombie.pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.02)

    assert processes.living_workers(crew.session) == []


def test_a_process_that_took_the_number_over_is_not_the_worker(crew: Crew) -> None:
    other = crew.add("gw0")
    (crew.session / "worker-gw0").write_text(f"{other.pid} {psutil.Process(other.pid).create_time() - 60}")

    assert processes.find_worker(crew.session, "gw0") is None


def test_one_that_was_killed_while_it_said_so_is_not_found(crew: Crew) -> None:
    (crew.session / "worker-gw0").write_text("")

    assert processes.living_workers(crew.session) == []


def test_asked_to_stop_a_worker_ends(crew: Crew) -> None:
    crew.add("gw0")

    processes.stop_workers(processes.living_workers(crew.session), grace_s=20)

    assert processes.living_workers(crew.session) == []


def test_one_that_does_not_stop_in_time_is_killed(crew: Crew) -> None:
    crew.add("gw0", deaf=True)

    processes.stop_workers(processes.living_workers(crew.session), grace_s=0.3)

    assert processes.living_workers(crew.session) == []


def test_one_whose_step_is_through_may_live_on(crew: Crew) -> None:
    crew.add("gw0", deaf=True)

    processes.stop_workers(processes.living_workers(crew.session), grace_s=20, through=lambda: True)

    assert len(processes.living_workers(crew.session)) == 1


def test_nothing_to_stop_takes_no_time() -> None:
    began = time.monotonic()

    processes.stop_workers([], grace_s=20)

    assert time.monotonic() - began < 1
