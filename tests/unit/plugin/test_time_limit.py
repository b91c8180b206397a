"""A limit stops what runs, again and again, whatever else is cancelled; never what must not be torn. Real signals."""

from __future__ import annotations

import faulthandler
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from pytest_deploy.pipeline.processes import Interruption
from pytest_deploy.plugin import time_limit
from pytest_deploy.plugin.time_limit import SIGNAL, TimeLimits

STOPPED = pytest.fail.Exception


@pytest.fixture
def told() -> list[tuple[float | None, str]]:
    return []


@pytest.fixture
def interruption() -> Interruption:
    return Interruption()


@pytest.fixture
def limits(interruption: Interruption, told: list[tuple[float | None, str]]) -> Iterator[TimeLimits]:
    """Limits of this process, for the length of a test."""
    before = signal.getsignal(SIGNAL)
    made = TimeLimits(interruption, tell=lambda seconds, whose: told.append((seconds, whose)))
    made.install()
    yield made
    signal.signal(SIGNAL, before)


def test_what_takes_too_long_is_stopped(limits: TimeLimits) -> None:
    began = time.monotonic()
    with pytest.raises(STOPPED, match=r"Timeout: took longer than its limit of 0.2 s"), limits.limited(0.2, "one"):
        time.sleep(20)

    assert 0.2 <= time.monotonic() - began < 5


def test_what_is_done_in_time_is_let_alone(limits: TimeLimits, told: list[tuple[float | None, str]]) -> None:
    with limits.limited(0.2, "one"):
        pass
    time.sleep(0.6)

    assert [whose for _, whose in told] == ["one", "one"]
    assert told[-1][0] is None


def test_the_second_limit_holds_after_the_first_was_over(limits: TimeLimits) -> None:
    """The tear-down of a step whose call was stopped."""
    for _ in range(2):
        with pytest.raises(STOPPED), limits.limited(0.2, "one"):
            time.sleep(20)


def test_it_holds_though_others_cancel_theirs(limits: TimeLimits) -> None:
    """What pytest-timeout and pytest's faulthandler plug-in do at the first failure of a step."""

    def cancels_and_hangs() -> None:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        time.sleep(20)

    with pytest.raises(STOPPED), limits.limited(0.2, "one"):
        cancels_and_hangs()


def test_what_swallows_the_stop_is_stopped_again(limits: TimeLimits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_limit, "REPEAT_S", 0.3)
    swallowed: list[None] = []

    def swallows_two() -> None:
        while len(swallowed) < 2:
            try:
                time.sleep(20)
            except STOPPED:
                swallowed.append(None)
        time.sleep(20)

    with pytest.raises(STOPPED), limits.limited(0.1, "one"):
        swallows_two()


def test_what_must_not_be_torn_is_stopped_when_it_is_through(limits: TimeLimits, interruption: Interruption) -> None:
    written: list[str] = []

    def writes_and_hangs() -> None:
        with interruption.shielded():
            time.sleep(0.5)
            written.append("whole")
        time.sleep(20)

    with pytest.raises(STOPPED), limits.limited(0.1, "one"):
        writes_and_hangs()

    assert written == ["whole"]


@pytest.mark.parametrize("stops", [True, False], ids=["forward", "in the rollback"])
def test_the_runs_limit_stops_the_step_only_where_the_run_says_so(limits: TimeLimits, *, stops: bool) -> None:
    asked: list[None] = []
    limits.limit_run(time.monotonic() + 0.2, lambda: bool(asked.append(None)) or stops)  # type: ignore[func-returns-value]
    if stops:
        with pytest.raises(STOPPED, match="Timeout: the run"), limits.limited(20, "one"):
            time.sleep(20)
    else:
        with limits.limited(20, "one"):
            time.sleep(0.6)

    assert len(asked) == 1


_DEAF = """
import signal, sys, time
from pytest_deploy.pipeline.processes import Interruption
from pytest_deploy.plugin import time_limit
time_limit.GRACE_S = 0.5
limits = time_limit.TimeLimits(Interruption(), tell={tell})
limits.install()
with limits.limited(0.2, "one"):
    {hang}
"""
_BLOCKED = "signal.pthread_sigmask(signal.SIG_BLOCK, set(range(1, 65)) - {32, 33}); time.sleep(20)"
_IN_C = "sum(range(10 ** 12))"


@pytest.mark.parametrize("hang", [_BLOCKED, _IN_C], ids=["deaf", "in C"])
def test_a_worker_that_cannot_be_stopped_is_ended_and_says_where_it_was(hang: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _DEAF.format(tell=None, hang=hang)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert ran.returncode in {1, -signal.SIGKILL}
    assert "Timeout (0:00:00" in ran.stderr
    assert 'File "<string>", line 9 in <module>' in ran.stderr
