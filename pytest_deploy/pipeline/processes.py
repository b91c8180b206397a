"""The processes of one run: the signals that each of them gets, and xdist's workers, found and stopped from outside.

A signal becomes one ordinary exception in the running step, or a note where no step runs. Never KeyboardInterrupt: it
leaves pytest's set-up state torn, and the rollback's steps would error. While the rollback runs, or while the record is
being written, a signal is noted and nothing is raised.

A worker outlives its controller by up to 15 s (execnet ends it then), and the step it runs goes on for as long. Nothing
is undone while a step may still run: whoever undoes without pytest stops the workers first.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from pytest_deploy.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_PREFIX = "worker-"
_SAME_START_S = 1.0  # the system counts a process's start in ticks
_POLL_S = 0.1
_KILL_S = 5.0
_HEARD_S = 0.1  # the longest that Python takes to hear a signal by itself, generously
_HIGH = 512  # above the numbers that a process gives its files


class Interruption:
    """The signals of one process: who was told, and whether a step is to be stopped."""

    def __init__(self) -> None:
        self.on_signal: Callable[[int], None] = lambda signum: None
        """Called with each signal's number, in the main thread, between two of its instructions."""
        self.may_stop: Callable[[FrameType | None], bool] = lambda frame: True
        """Whether what runs in this frame may be stopped there; where not, it is asked again after 0.1 s."""
        self.first: int | None = None
        """The first signal received; None while there is none."""
        self._step = False
        self._shields = 0
        self._raised = False
        self._asks_again = False

    def install(self, *, worker: bool = False) -> None:
        """Take the signals over, to the very end of the process. Only the main thread can.

        Python gives them back when it begins to end; what comes then finds a run that is through, and is ignored. A worker ignores
        SIGINT, which a terminal sends to the whole group: its controller tells it what to do by SIGTERM.
        """
        if threading.current_thread() is threading.main_thread():
            for signum in SIGNALS:
                signal.signal(signum, signal.SIG_IGN if worker and signum == signal.SIGINT else self._receive)
            atexit.register(_ignore)
            self._wake_what_waits()

    def release(self) -> None:
        """The run is sealed, or will never be: from now on a signal ends the process as it ends any other."""
        if threading.current_thread() is threading.main_thread():
            atexit.unregister(_ignore)
            signal.set_wakeup_fd(-1)
            for signum in SIGNALS:
                signal.signal(signum, signal.SIG_DFL)

    @property
    def is_shielded(self) -> bool:
        return self._shields > 0

    def begin(self, *, stoppable: bool = True) -> None:
        """A step's set-up or call begins: the first signal stops it, unless it is not stoppable (a rollback's)."""
        self._step = stoppable
        self._raise_pending()

    def end(self) -> None:
        """It has ended: a signal from now on is noted, and raised in the next that may be stopped."""
        self._step = False

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Something that must not be torn runs (a write of the record, a rollback): signals wait until it is through."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        asked_again, self._asks_again = self._asks_again, False
        if self.first is None:
            self.first = signum
        if not asked_again:
            self.on_signal(signum)
        if self._is_due() and self.may_stop(frame):
            self._raise_pending()

    def _is_due(self) -> bool:
        return self.first is not None and self._step and not self._shields and not self._raised

    def _wake_what_waits(self) -> None:
        """Let a signal that Python does not hear reach the main thread all the same.

        Python runs a handler between two instructions of the main thread. A signal that comes just before a call that
        waits, or that the system hands to another thread, is heard only when that call is through: a step would go on
        to its time limit. So the signal's number goes into a pipe as well, whatever the main thread does, and a thread
        sends it to the main thread once more, which ends the call; and again, until what runs may be stopped.
        """
        heard, wake = (_moved_up(end) for end in os.pipe())
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        os.register_at_fork(after_in_child=lambda: _forget(wake))
        main = threading.get_ident()

        def listen() -> None:
            with suppress(OSError):  # a step may close every file of its process
                while numbers := os.read(heard, 64):
                    time.sleep(_HEARD_S)
                    for signum in numbers:
                        # Not where a step has a handler of its own, which may have heard it.
                        if signum not in SIGNALS or signal.getsignal(signum) != self._receive:
                            continue
                        if self.first is None or self._is_due():
                            self._asks_again = self.first is not None
                            signal.pthread_kill(main, signum)

        threading.Thread(target=listen, name="deploy-signals", daemon=True).start()

    def _raise_pending(self) -> None:
        if self._is_due() and self.first is not None:
            self._raised = True
            raise Interrupted(self.first)


def _moved_up(end: int) -> int:
    """The same file under a high number.

    Where a step closes all that is open, the system must not write a signal's number into the file that is opened next.
    """
    moved = fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _HIGH)
    os.close(end)
    return moved


def _forget(wake: int) -> None:
    """In a forked child: its signals are none to its parent."""
    if threading.current_thread() is threading.main_thread() and (other := signal.set_wakeup_fd(-1)) != wake:
        signal.set_wakeup_fd(other, warn_on_full_buffer=False)


def _ignore() -> None:
    for signum in SIGNALS:
        signal.signal(signum, signal.SIG_IGN)


# --- xdist's workers


def register_worker(session: Path, worker: str) -> None:
    """In a worker: which process it is, in the run's session folder."""
    process: Any = psutil.Process()
    (session / f"{_PREFIX}{worker}").write_text(f"{os.getpid()} {process.create_time()}", encoding="utf-8")


def find_worker(session: Path, worker: str) -> Any | None:
    """The psutil.Process of a worker; None where it no longer exists."""
    pid, _, started = (session / f"{_PREFIX}{worker}").read_text(encoding="utf-8").partition(" ")
    with suppress(psutil.NoSuchProcess, ValueError):  # killed while it wrote: it runs nothing
        process: Any = psutil.Process(int(pid))
        if abs(process.create_time() - float(started)) <= _SAME_START_S and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def living_workers(session: Path) -> list[Any]:
    names = sorted(path.name.removeprefix(_PREFIX) for path in session.glob(f"{_PREFIX}*"))
    return [process for name in names if (process := find_worker(session, name)) is not None]


def stop_workers(processes: Sequence[Any], *, grace_s: float, through: Callable[[], bool] = lambda: False) -> None:
    """Ask each to stop its step (SIGTERM); kill those that remain after so many seconds, unless `through` by then.

    `through` tells that no step runs any more, so that a worker may live on.
    """
    until = time.monotonic() + grace_s
    terminate(processes)
    left = list(processes)
    while left and not through():
        if time.monotonic() > until:
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(left, timeout=_KILL_S)
            return
        _, left = psutil.wait_procs(left, timeout=_POLL_S)


def terminate(processes: Sequence[Any]) -> None:
    """SIGTERM to each that exists: the step it runs is to stop."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
