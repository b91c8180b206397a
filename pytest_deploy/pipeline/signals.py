"""A signal becomes one ordinary exception in the running step, or a note where no step runs.

Never KeyboardInterrupt: it leaves pytest's set-up state torn, and the rollback's steps would error. While the rollback
runs, or while the record is being written, a signal is noted and nothing is raised.
"""

from __future__ import annotations

import atexit
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from pytest_deploy.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """The signals of one process: who was told, and whether a step is to be stopped."""

    def __init__(self) -> None:
        self.noted: Callable[[int], None] = lambda signum: None
        """Called with each signal's number, in the main thread, between two of its instructions."""
        self.first: int | None = None
        """The first signal received; None while there is none."""
        self._step = False
        self._shields = 0
        self._raised = False

    def install(self, *, worker: bool = False) -> None:
        """Take the signals over, to the very end of the process. Only the main thread can.

        Python gives them back when it begins to end; what comes then finds a run that is through, and is ignored. A worker ignores SIGINT, which a terminal sends to the whole group: its controller tells it what to do by SIGTERM.
        """
        if threading.current_thread() is threading.main_thread():
            for signum in SIGNALS:
                signal.signal(signum, signal.SIG_IGN if worker and signum == signal.SIGINT else self._receive)
            atexit.register(_ignore)

    @property
    def name(self) -> str:
        """The first signal's name, `SIGTERM`; empty while there is none."""
        return signal.Signals(self.first).name if self.first is not None else ""

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

    def _receive(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 -- the signature signal() calls
        if self.first is None:
            self.first = signum
        self.noted(signum)
        self._raise_pending()

    def _raise_pending(self) -> None:
        if self.first is not None and self._step and not self._shields and not self._raised:
            self._raised = True
            raise Interrupted(self.first)


def _ignore() -> None:
    for signum in SIGNALS:
        signal.signal(signum, signal.SIG_IGN)
