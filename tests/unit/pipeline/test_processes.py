"""A signal stops the step that runs, once; it is noted at any other time. Real signals, in this process's main thread."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from pytest_deploy.errors import Interrupted
from pytest_deploy.pipeline.processes import SIGNALS, Interruption

TERM, INT, HUP = signal.SIGTERM, signal.SIGINT, signal.SIGHUP


@pytest.fixture
def interruption() -> Iterator[Interruption]:
    """One that has taken this process's signals over, for the length of a test."""
    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    made = Interruption()
    made.install()
    yield made
    made.release()
    for signum, handler in before.items():
        signal.signal(signum, handler)


def send(signum: int) -> None:
    os.kill(os.getpid(), signum)


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_stops_the_step_that_runs(interruption: Interruption, signum: signal.Signals) -> None:
    interruption.begin()

    with pytest.raises(Interrupted):
        send(signum)

    assert interruption.first == signum


def test_it_is_an_ordinary_exception() -> None:
    assert issubclass(Interrupted, Exception)
    assert not issubclass(Interrupted, KeyboardInterrupt)


def test_no_signal_nothing_noted(interruption: Interruption) -> None:
    interruption.begin()
    interruption.end()

    assert interruption.first is None


def test_a_signal_between_two_steps_stops_the_next(interruption: Interruption) -> None:
    interruption.begin()
    interruption.end()
    send(TERM)

    with pytest.raises(Interrupted):
        interruption.begin()


def test_a_signal_in_a_step_that_may_not_be_stopped_is_noted_and_stops_nothing(interruption: Interruption) -> None:
    interruption.begin(stoppable=False)
    send(TERM)
    interruption.end()

    assert interruption.first == TERM
    interruption.begin(stoppable=False)


def test_the_second_and_the_third_signal_raise_nothing_and_the_first_stands(interruption: Interruption) -> None:
    noted: list[int] = []
    interruption.on_signal = noted.append
    interruption.begin()
    with pytest.raises(Interrupted):
        send(TERM)

    send(INT)
    interruption.end()
    interruption.begin()
    send(HUP)

    assert interruption.first == TERM
    assert noted == [TERM, INT, HUP]


def test_a_shield_keeps_a_signal_off_until_a_step_begins_again(interruption: Interruption) -> None:
    interruption.begin()
    with interruption.shielded():
        with interruption.shielded():
            send(TERM)
        send(TERM)
    interruption.end()

    assert interruption.first == TERM
    with pytest.raises(Interrupted):
        interruption.begin()


def test_a_shield_that_ends_in_an_error_is_taken_away(interruption: Interruption) -> None:
    interruption.begin()
    with pytest.raises(ValueError, match="torn"), interruption.shielded():
        raise ValueError("torn")

    with pytest.raises(Interrupted):
        send(TERM)


def test_only_the_main_thread_takes_signals_over() -> None:
    before = signal.getsignal(TERM)
    thread = threading.Thread(target=Interruption().install)
    thread.start()
    thread.join()

    assert before is signal.getsignal(TERM)


WORKER = """
import os, signal
from pytest_deploy.pipeline.processes import Interruption
interruption = Interruption()
interruption.install(worker={worker})
interruption.begin(stoppable=False)
os.kill(os.getpid(), signal.SIGINT)
os.kill(os.getpid(), signal.SIGTERM)
print(signal.Signals(interruption.first).name)
"""


@pytest.mark.parametrize("worker, first", [(True, "SIGTERM"), (False, "SIGINT")])
def test_a_worker_ignores_sigint_and_hears_sigterm(worker: bool, first: str) -> None:  # noqa: FBT001 -- parametrized
    ran = subprocess.run(
        [sys.executable, "-c", WORKER.format(worker=worker)], capture_output=True, text=True, check=True, timeout=30
    )

    assert first == ran.stdout.strip()


_ENDS = """
import os, signal, sys
from pytest_deploy.pipeline.processes import Interruption

class Late:
    def __del__(self, kill=os.kill, me=os.getpid(), signum=signal.SIGTERM):
        kill(me, signum)

late = Late()
{install}
sys.exit(2)
"""


@pytest.mark.parametrize("install, code", [("Interruption().install()", 2), ("", -signal.SIGTERM)])
def test_a_signal_while_the_process_ends_changes_no_exit_code(install: str, code: int) -> None:
    """Python itself gives its signals back before it takes modules down; without us the late one kills."""
    ran = subprocess.run([sys.executable, "-c", _ENDS.format(install=install)], check=False, timeout=30)

    assert code == ran.returncode


_BLOCKED = """
import signal, threading, time
from pytest_deploy.errors import Interrupted
from pytest_deploy.pipeline.processes import Interruption

interruption = Interruption()
interruption.install()
interruption.begin()
threading.Timer(0.3, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGTERM)).start()
try:
    time.sleep(60)
except Interrupted as stopped:
    print("stopped")
"""


def test_a_signal_that_another_thread_gets_stops_a_step_that_waits() -> None:
    """So it is with one that comes between two instructions, the second of which waits: Python has noted it, and sleeps."""
    ran = subprocess.run([sys.executable, "-c", _BLOCKED], capture_output=True, text=True, check=True, timeout=30)

    assert ran.stdout == "stopped\n"


_FORKED = """
import os, signal, time
from pytest_deploy.pipeline.processes import Interruption

interruption = Interruption()
interruption.install()
child = os.fork()
if child == 0:
    os.kill(os.getpid(), signal.SIGTERM)
    os._exit(0)
os.waitpid(child, 0)
time.sleep(0.5)
print(interruption.first)
"""


def test_a_signal_to_a_forked_child_is_none_to_its_parent() -> None:
    ran = subprocess.run([sys.executable, "-c", _FORKED], capture_output=True, text=True, check=True, timeout=30)

    assert ran.stdout == "None\n"


_OWN_HANDLER = """
import os, signal, time
from pytest_deploy.pipeline.processes import Interruption

interruption = Interruption()
interruption.install()
heard = []
signal.signal(signal.SIGTERM, lambda signum, frame: heard.append(signum))
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(0.5)
print(len(heard))
"""


def test_a_step_that_has_a_handler_of_its_own_hears_a_signal_once() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _OWN_HANDLER], capture_output=True, text=True, check=True, timeout=30
    )  # fmt: skip

    assert ran.stdout == "1\n"
