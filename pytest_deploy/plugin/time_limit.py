"""Time limits that hold: of each step's set-up and call, of its tear-down, and of the whole run.

A thread of our own holds them. pytest-timeout and pytest's faulthandler plug-in give theirs up at the first failure
(`pytest_exception_interact`), and a tear-down after it waits for ever. Here a limit that has passed raises in the main
thread, by a signal of our own, again and again until the step gives way; what does not come back from C code is ended
with its process: a worker by this thread, the only process by its guard. faulthandler says where it was.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import pytest

from pytest_deploy.pipeline.processes import Interruption
from pytest_deploy.pipeline.steps_lock import title_of
from pytest_deploy.plugin.collection import STEP_TIMEOUT

SIGNAL = getattr(signal, "SIGRTMIN", signal.SIGUSR2)
"""What stops the main thread: none that a step or a library is likely to use."""

GRACE_S = 15.0
"""What a step has after its limit to give way; then its process is ended: a worker's death is that step's failure, alone the run
is left to `pytest-deploy recover`."""

REPEAT_S = 5.0
"""How long a step that was stopped may clean up before it is stopped again."""

_BUSY_S = 0.2


class TimeLimits:
    """The limits of what this process runs, one at a time."""

    def __init__(self, interruption: Interruption, *, tell: Callable[[float | None, str], None] | None = None) -> None:
        """`tell`: says to who guards this process in how many seconds to kill it; None where this thread does."""
        self._interruption = interruption
        self._tell = tell
        self._changed = threading.Condition()
        self._whose = ""
        self._seconds = 0.0
        self._until: float | None = None
        self._stop_at = 0.0
        self._run_until: float | None = None
        self._run_over: Callable[[], bool] = lambda: False
        self._main = threading.main_thread().ident
        # Standard error itself: a step's own may be pytest's, or closed.
        self._stderr: int | None = None

    def install(self) -> None:
        """Take the signal over and start the thread. Only the main thread can."""
        with suppress(OSError):
            self._stderr = os.dup(2)
        signal.signal(SIGNAL, self._stop)
        threading.Thread(target=self._watch, name="deploy-time-limits", daemon=True).start()

    def limit_run(self, until: float, over: Callable[[], bool]) -> None:
        """At `until` (monotonic) `over` is called, in the main thread, and says whether the step that runs is to be stopped."""
        with self._changed:
            self._run_until, self._run_over = until, over
            self._changed.notify()

    @contextmanager
    def limited(self, seconds: float, whose: str, *, until: float | None = None) -> Iterator[float]:
        """What runs inside may take so many seconds, or as many as are left `until`; yields when they end (monotonic)."""
        __tracebackhide__ = True
        ends = time.monotonic() + seconds if until is None else until
        self._begin(seconds, whose, ends)
        try:
            try:
                yield ends
            finally:
                self._until = None
        finally:
            self._until = None  # once more: it may have been stopped right before the first
            self._end(whose)

    # --- the steps

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None]:
        """Set-up, with that of the wider scopes it needs; the step's call has what is left of the time."""
        __tracebackhide__ = True
        with self.limited(item.stash[STEP_TIMEOUT], title_of(item.nodeid)) as ends:
            item.stash[_ENDS] = ends
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        __tracebackhide__ = True
        with self.limited(item.stash[STEP_TIMEOUT], title_of(item.nodeid), until=item.stash[_ENDS]):
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None]:
        """Tear-down, with that of the wider scopes that end here: a time of its own, however the call ended."""
        __tracebackhide__ = True
        with self.limited(item.stash[STEP_TIMEOUT], f"{title_of(item.nodeid)}, tear-down"):
            return (yield)

    def tear_down(self, session: pytest.Session) -> str:
        """Tear down what a step that was broken off (`pytest.exit`, an internal error) left set up, in the time of one step.

        Returns what failed in it; empty where nothing did.
        """
        state = session._setupstate  # noqa: SLF001 -- pytest tears it down itself, later and without a limit
        if state.stack:
            seconds = max((item.stash[STEP_TIMEOUT] for item in session.items), default=0.0)
            try:
                with self.limited(seconds, "the session's tear-down"):
                    state.teardown_exact(None)
            except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 -- whatever a fixture raises
                return f"a tear-down failed at the end: {type(error).__name__}: {error}".partition("\n")[0]
        return ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """In a worker; the controller has done it, before it decided."""
        self.tear_down(session)

    # --- holding them

    def _begin(self, seconds: float, whose: str, ends: float) -> None:
        left = max(0.0, ends - time.monotonic()) + GRACE_S
        if self._stderr is not None:
            faulthandler.dump_traceback_later(left, file=self._stderr, exit=self._tell is None)
        if self._tell is not None:
            self._tell(left + _BUSY_S, whose)
        with self._changed:
            self._seconds, self._whose, self._stop_at, self._until = seconds, whose, ends, ends
            self._changed.notify()

    def _end(self, whose: str) -> None:
        if self._tell is not None:
            self._tell(None, whose)
        faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        """In the thread: wake the main thread when a limit has passed; where it does not answer, end the process."""
        while True:
            with self._changed:
                now, until = time.monotonic(), self._until
                at = min(
                    [at for at in (self._stop_at if until else None, self._run_until) if at is not None], default=None
                )
                if at is None or now < at:
                    self._changed.wait(None if at is None else at - now)
                    continue
            if until is not None and now >= until + GRACE_S and self._tell is None:
                os.kill(os.getpid(), signal.SIGKILL)
            if self._main is not None:
                signal.pthread_kill(self._main, SIGNAL)
            time.sleep(_BUSY_S)

    def _stop(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 -- the signature signal() calls
        """In the main thread: fail what runs, unless it ended meanwhile or must not be torn now (then it is asked again).

        What hangs where nothing is to be torn is torn all the same, after some seconds.
        """
        __tracebackhide__ = True
        now = time.monotonic()
        if self._interruption.is_shielded:
            return
        overdue = now if self._interruption.may_stop(frame) else now - REPEAT_S
        if self._run_until is not None and overdue >= self._run_until:
            self._run_until = None
            if self._run_over() and self._until is not None:
                self._stop_at = now + REPEAT_S
                pytest.fail("Timeout: the run took longer than its limit")
        if self._until is not None and overdue >= self._stop_at:
            self._stop_at = now + REPEAT_S
            pytest.fail(f"Timeout: took longer than its limit of {self._seconds:g} s")


_ENDS = pytest.StashKey[float]()
