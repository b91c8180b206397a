"""The guard gives the exit code: 0 only where the session told that its run was sealed with 0."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.unit.plugin.guarded_session import ended, guarded, started

OPENED = "guard_channel.report_opened('local-1', 'local', rehearsal=False)\n"
RECOVER = " recover local`"
NOTHING = "nothing was deployed"


def test_a_sealed_run_ends_with_its_code() -> None:
    found = guarded(OPENED + "guard_channel.report_sealed(0)")

    assert (found.code, found.stderr) == (0, "")


@pytest.mark.parametrize(
    "code, ending",
    [
        (0, "os._exit(7)"),
        (1, "os._exit(0)"),
        (2, "atexit.register(os._exit, 0)"),
        (3, "sys.exit(0)"),
        (20, "os._exit(0)"),
        (0, "os.kill(os.getpid(), signal.SIGKILL)"),
    ],
)
def test_nothing_after_the_seal_changes_the_code(code: int, ending: str) -> None:
    assert guarded(OPENED + f"guard_channel.report_sealed({code})\n{ending}").code == code


@pytest.mark.parametrize(
    "ending, how",
    [
        ("os._exit(0)", "it exited with 0"),
        ("sys.exit(0)", "it exited with 0"),
        ("raise KeyboardInterrupt", "SIGINT ended it"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL ended it"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV ended it"),
        ("atexit.register(os._exit, 0); sys.exit(1)", "it exited with 0"),
        ("os.closerange(3, 256); guard_channel.report_sealed(0)", "it exited with 0"),
    ],
)
def test_a_run_that_was_opened_and_not_sealed_needs_recover(ending: str, how: str) -> None:
    found = guarded(OPENED + ending)

    assert found.code == 20
    assert f"run local-1 ended before the run was sealed: {how}" in found.stderr
    assert found.stderr.rstrip().endswith(RECOVER)


def test_the_recover_command_of_a_rehearsal_says_so() -> None:
    found = guarded("guard_channel.report_opened('rehearsal-production-1', 'production', rehearsal=True)\nos._exit(0)")

    assert found.stderr.rstrip().endswith(" recover production --rehearse`")


@pytest.mark.parametrize("ending", ["os._exit(0)", "", "os._exit(7)"])
def test_an_end_before_a_run_was_opened_is_no_success(ending: str) -> None:
    found = guarded(ending)

    assert found.code == 3
    assert NOTHING in found.stderr


@pytest.mark.parametrize("code", [1, 4, 20])
def test_a_refusal_before_a_run_was_opened_keeps_its_code(code: int) -> None:
    found = guarded(f"sys.exit({code})")

    assert (found.code, found.stderr) == (code, "")


def test_a_told_end_stands_where_the_process_exits_with_another_code() -> None:
    assert guarded("guard_channel.report_ended(4)\nos._exit(120)").code == 4
    assert guarded(OPENED + "guard_channel.report_ended(20)\nos._exit(0)").code == 20


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_the_session(signum: signal.Signals) -> None:
    process = started(
        """
        for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(one, lambda number, frame: (guard_channel.report_sealed(number), os._exit(1)))
        print("ready", flush=True)
        time.sleep(20)
        """
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signum)

    assert ended(process).code == signum


def test_a_signal_before_a_run_was_opened_is_a_signals_end() -> None:
    process = started("print('ready', flush=True); signal.signal(signal.SIGTERM, signal.SIG_DFL); time.sleep(20)")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)

    assert ended(process).code == 2


def test_a_kill_of_the_guard_kills_the_session_at_once() -> None:
    process = started("print(os.getpid(), flush=True); time.sleep(20)")
    assert process.stdout is not None
    session = psutil.Process(int(process.stdout.readline()))
    process.kill()
    process.communicate(timeout=5)

    _, left = psutil.wait_procs([session], timeout=2)
    assert left == []


def test_a_thread_that_stays_after_the_seal_is_ended_with_the_process() -> None:
    began = time.monotonic()
    found = guarded(
        OPENED
        + "threading.Thread(target=time.sleep, args=(20,)).start()\nguard_channel.report_sealed(0)\nguard_channel.report_left(['t'])"
    )

    assert found.code == 0
    assert time.monotonic() - began < 10


def test_a_sealed_session_that_never_ends_is_ended() -> None:
    assert guarded(OPENED + "guard_channel.report_sealed(1)\ntime.sleep(20)").code == 1


@pytest.mark.parametrize(
    "before, code",
    [("", 4), (OPENED, 20), (OPENED + "guard_channel.report_sealed(1)\n", 1)],
    ids=["refused", "open", "sealed"],
)
def test_a_thread_that_stays_keeps_no_session_that_is_through(before: str, code: int) -> None:
    stays = "threading.Thread(target=time.sleep, args=(25,)).start()\n"
    began = time.monotonic()

    assert guarded(before + stays + "guard_channel.report_finished(4)").code == code
    assert time.monotonic() - began < 20


def test_a_limit_that_nothing_in_the_session_can_stop_ends_it_and_all_it_started() -> None:
    process = started(
        OPENED
        + """
import subprocess
import sys
child = subprocess.Popen(["sleep", "20"], start_new_session=True)
print(child.pid, flush=True)
guard_channel.report_limit(0.3, "step one")
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
time.sleep(20)
"""
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    found = ended(process)

    assert found.code == 20
    assert "step one could not be stopped at its time limit" in found.stderr
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_a_limit_that_was_taken_back_ends_nothing() -> None:
    found = guarded(
        OPENED
        + "guard_channel.report_limit(0.2, 'one')\nguard_channel.report_limit(None, 'one')\ntime.sleep(0.5)\nguard_channel.report_sealed(0)"
    )

    assert found.code == 0


def test_a_forked_child_tells_nothing() -> None:
    """A step that forks: the copy has the session's pipe, and no say."""
    found = guarded(
        OPENED + "if os.fork() == 0:\n    guard_channel.report_sealed(0)\n    os._exit(0)\nos.wait()\nos._exit(0)"
    )

    assert found.code == 20


def test_a_reader_of_standard_error_that_is_gone_changes_no_code() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    code = subprocess.call(
        [sys.executable, "-c", "import os; from pytest_deploy.plugin import guard; guard.start(); os._exit(0)"],
        stderr=writing,
    )
    os.close(writing)

    assert code == 3
