"""A watch takes its samples in time and ends when nothing can mend it; a process that is held up meanwhile is noticed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator

import pytest

from pytest_deploy.policy.rollout import Health
from pytest_deploy.watch.judge import Fault
from pytest_deploy.watch.watch import Found, Watched, seconds, watch
from tests.unwell_service import unwell_service

WELL = Found()
ILL = Found(Fault.STATUS, "503")


class Clock:
    """Time that passes when somebody sleeps, or while a question is answered."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, spent_s: float) -> None:
        self.now += spent_s


def watched(
    rules: Health, answers: Iterable[Found], *, took_s: float = 0.0, starts: Iterator[int] | None = None
) -> Watched:
    clock, given = Clock(), iter(answers)

    def ask() -> Found:
        clock.pass_by(took_s)
        return next(given, WELL)

    return watch(rules, ask, lambda: 1 if starts is None else next(starts), clock=clock, sleep=clock.pass_by)


def test_a_sample_each_interval_until_the_time_is_over() -> None:
    found = watched(Health(watch_s=60, interval_s=5), [])

    assert [sample.began_s for sample in found.samples] == [n * 5 for n in range(12)]
    assert (found.seconds, found.failures, found.fault) == (60, (), "")
    assert found.expected == "60 s, 6 samples at least, 0 failures at most, of this release, without a gap or a restart"
    assert found.found == {
        "seconds": 60.0, "samples": 12, "failed": 0, "restarts": 0, "failures": [], "first_failed": [],
    }  # fmt: skip


def test_a_slow_answer_moves_the_next_question_and_not_the_interval() -> None:
    found = watched(Health(watch_s=20, interval_s=5), [], took_s=4)
    assert [sample.began_s for sample in found.samples] == [0, 5, 10, 15]

    slower = watched(Health(watch_s=20, interval_s=5), [], took_s=7)
    assert [sample.began_s for sample in slower.samples] == [0, 7, 14]
    assert slower.failures == ()


def test_a_watch_ends_at_its_first_failure() -> None:
    found = watched(Health(watch_s=900, interval_s=10, allow_failures=1), [WELL, ILL, WELL, ILL])

    assert (len(found.samples), found.seconds) == (4, 30)
    assert found.fault == "too many samples failed: 2 of 4 samples, 1 may; the last of them: after 30.0 s: 503"
    assert found.found["first_failed"] == [
        {"at_s": 10.0, "fault": "no 2xx", "words": "503"},
        {"at_s": 30.0, "fault": "no 2xx", "words": "503"},
    ]


def test_a_last_sample_that_failed_is_followed_by_others() -> None:
    rules = Health(watch_s=20, interval_s=5, allow_failures=1)

    again = watched(rules, [WELL, WELL, WELL, ILL])
    assert [sample.began_s for sample in again.samples] == [0, 5, 10, 15, 20]
    assert again.failures == ()
    assert [failure.kind for failure in watched(rules, [WELL, WELL, WELL, ILL, ILL]).failures] == [
        Fault.TOO_MANY_FAILED
    ]


def test_a_restart_ends_the_watch() -> None:
    found = watched(Health(watch_s=60, interval_s=5), [], starts=iter([1, 1, 2]))

    assert [failure.kind for failure in found.failures] == [Fault.RESTARTED]
    assert found.found["restarts"] == 1


def test_the_clock_never_goes_back_and_counts_seconds() -> None:
    before, monotonic = seconds(), time.monotonic()
    time.sleep(0.2)

    assert seconds() - before == pytest.approx(time.monotonic() - monotonic, abs=0.05)


ASKED = """
import json, sys
from pytest_deploy.errors import PlatformUnavailable
from pytest_deploy.platform.clients import Service
from pytest_deploy.policy.rollout import Health
from pytest_deploy.watch.judge import Fault
from pytest_deploy.watch.watch import Found, watch

service = Service(sys.argv[1])
def ask():
    print("sample", flush=True)
    try:
        return Found() if service.call("GET", "/well", deadline_s=1).ok else Found(Fault.STATUS)
    except PlatformUnavailable:
        return Found(Fault.NO_ANSWER)
found = watch(Health(watch_s=1.5, interval_s=0.1, deadline_s=1), ask, lambda: None)
print(json.dumps([len(found.samples), [str(failure.kind) for failure in found.failures]]))
"""


@pytest.mark.parametrize("stopped_s", [0, 3])
def test_a_process_that_was_stopped_during_its_watch_says_so(stopped_s: int) -> None:
    """SIGSTOP, as of a suspended machine: the service is well all the time, and nobody looked."""
    with unwell_service() as service:
        process = subprocess.Popen([sys.executable, "-c", ASKED, service.url], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        with process:
            for _ in range(3):
                assert process.stdout.readline() == "sample\n"
            if stopped_s:
                process.send_signal(signal.SIGSTOP)
                time.sleep(stopped_s)
                process.send_signal(signal.SIGCONT)
            told = process.stdout.read().splitlines()

    count, kinds = json.loads(told[-1])
    if stopped_s:
        assert count <= 4
        assert {"a gap", "a sample that took too long"} & set(kinds)
    else:
        assert count >= 8
        assert kinds == []
