"""A signal or a time limit stops a step in its own code, never what pytest does around it: asked in a real session of pytest."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType

import pytest

from pytest_deploy.errors import Interrupted
from pytest_deploy.pipeline.processes import Interruption

PROBE = """
import json, sys
import pytest
from pytest_deploy.plugin.stop_points import is_stop_point

FOUND = {}

def probe(name):
    FOUND[name] = is_stop_point(sys._getframe(1))
"""
CONFTEST = (
    PROBE
    + """
@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef, request):
    if fixturedef.argname == "used":
        probe("a hook while a fixture is set up")

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    probe("a hook before a step")

@pytest.fixture(scope="session")
def used():
    probe("a fixture")
    helper("what a fixture calls")
    yield 1
    probe("a fixture's tear-down")

def helper(name):
    probe(name)

@pytest.fixture
def on_demand(request):
    request.addfinalizer(lambda: probe("a finalizer"))
    return request.getfixturevalue("used")

def pytest_sessionfinish(session):
    with open("found.json", "w") as file: json.dump(FOUND, file)
"""
)
STEPS = """
import unittest
import pytest
from conftest import probe

def test_it(on_demand):
    probe("a step")
    with pytest.raises(ZeroDivisionError):
        probe("within pytest.raises")
        1 / 0

class TestCase(unittest.TestCase):
    def test_case(self):
        probe("a step of unittest")
"""
MAY = {
    "a hook before a step",
    "a fixture",
    "what a fixture calls",
    "a fixture's tear-down",
    "a finalizer",
    "a step",
    "within pytest.raises",
    "a step of unittest",
}
MAY_NOT = {"a hook while a fixture is set up"}


def test_code_of_a_step_may_be_stopped_and_the_setting_up_of_a_fixture_may_not(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (tmp_path / "test_steps.py").write_text(STEPS, encoding="utf-8")

    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert ran.returncode == 0, ran.stdout
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert {name for name, may in found.items() if may} == MAY
    assert {name for name, may in found.items() if not may} == MAY_NOT


def test_pytests_own_frames_are_no_place_to_stop() -> None:
    from pytest_deploy.plugin.stop_points import is_stop_point

    assert not is_stop_point(None)
    frame: FrameType | None = sys._getframe()
    while frame is not None and not str(frame.f_globals.get("__name__")).startswith(("_pytest.", "pluggy.")):
        frame = frame.f_back
    while frame is not None and str(frame.f_globals.get("__name__")).startswith(("_pytest.", "pluggy.")):
        assert not is_stop_point(frame)
        frame = frame.f_back


def test_a_signal_where_nothing_may_be_stopped_stops_the_step_as_soon_as_it_may() -> None:
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    noted: list[int] = []
    interruption = Interruption()
    interruption.on_signal = noted.append
    interruption.may_stop = lambda frame: safe.is_set()
    safe = threading.Event()
    interruption.install()
    try:
        interruption.begin()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.3)
        assert noted == [signal.SIGTERM]

        safe.set()
        with pytest.raises(Interrupted):
            time.sleep(10)
        assert noted == [signal.SIGTERM]
    finally:
        interruption.release()
        for signum, handler in before.items():
            signal.signal(signum, handler)
