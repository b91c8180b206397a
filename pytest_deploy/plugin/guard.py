"""The guard: the process that was started stays outside pytest, and a child of it is the session.

Whatever ends the session (`os._exit(0)` in a step, a kill, a hang in C code, an exit hook of a library), the guard still
gives the exit code: 0 only where the session told that the run was sealed with 0. It passes signals on, ends a session
that outlives its limits, and never acts on the environment: what was left open is finished by `pytest-deploy recover`.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import stat
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from pytest_deploy.plugin.closed_output import identity
from pytest_deploy.program import as_called, hand_down
from pytest_deploy.workspace import Workspace

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

TELL_S = 120.0
"""Seconds a sealed session has for the project's own hook, which may tell people."""
LEAVE_S = 15.0
"""What it then has to end by itself."""
LEAVE_WITH_REMAINS_S = 1.0
"""The same where it told of a thread that will keep it from ending."""

BY_SIGNAL, INTERNAL, MANUAL_INTERVENTION = 2, 3, 20
_PASSED_ON = (1, 2, 3, 4, 20)
"""What a session may exit with before a run was opened; any other code is a process that something else ended."""

_STARTED_BY = "DEPLOY_GUARD"
"""Tells a program that a guard started it: the pipe, and the guard's process."""
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_POLL_S = 0.2
_NAMES = 20
"""What is left behind is named up to so many; one message stays below a pipe's atomic 4096 bytes."""


class GuardChannel:
    """The session's side: what it tells the guard. A process that the session forked tells nothing."""

    def __init__(self, descriptor: int, guard: int) -> None:
        self._guard = guard
        self.descriptor = descriptor
        self._pipe = identity(descriptor)
        self._process = os.getpid()
        self.run_opened = False
        self._through = False

    @property
    def began(self) -> float:
        """When the deployment's process began, in seconds since the epoch: the guard is what was started."""
        import psutil

        return float(psutil.Process(self._guard).create_time())

    def report_opened(self, run: str, environment: str, *, rehearsal: bool) -> None:
        """A run is about to be opened: from now on an end without a word leaves it open."""
        self.run_opened = True
        self._tell(opened={"run": run, "environment": environment, "rehearsal": rehearsal})

    def report_limit(self, seconds: float | None, whose: str = "") -> None:
        """In so many seconds the guard kills the session; None: what is limited has ended. One limit a name."""
        self._tell(limit={"seconds": seconds, "whose": whose})

    def report_sealed(self, code: int) -> None:
        """The run is sealed: this is its exit code, whatever comes after."""
        self._tell(sealed=code)

    def report_left(self, names: Iterable[str]) -> None:
        """Nothing is left to do; what will keep the process from ending."""
        self._through = True
        self._tell(left=[name[:150] for name in names][:_NAMES])

    def report_ended(self, code: int) -> None:
        """A controlled end without a seal (a refusal, a record that cannot be written): its exit code."""
        self._tell(ended=code)

    def report_finished(self, code: object) -> None:
        """Pytest is through, sealed or not: the process is to end now. Its exit code counts where no run was ever opened."""
        if not self.run_opened and isinstance(code, int) and code:
            self.report_ended(int(code))
        if not self._through:
            self.report_left(())

    def _tell(self, **message: object) -> None:
        # A step may have closed every descriptor, and another file may have got the number.
        if os.getpid() == self._process and identity(self.descriptor) == self._pipe:
            with suppress(OSError):
                os.write(self.descriptor, json.dumps(message).encode() + b"\n")


def start() -> GuardChannel:
    """Split this process: the child returns, as the session; the parent never does.

    Raises OSError where the system gives no child.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    reading, writing = os.pipe()
    # 1. No signal gets lost between the two: until each has its handlers, signals wait.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
    guard = os.getpid()
    session = os.fork()
    # 2. The guard: it leaves by no way but this.
    if session:
        os.close(writing)
        _guard(session, reading, before)
    # 3. The session: it dies with the guard.
    os.close(reading)
    _die_with(guard)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return GuardChannel(writing, guard)


def start_program(words: Sequence[str]) -> NoReturn:
    """Be the guard of a program that is the session: it is there before that program imports anything.

    Raises OSError where the system gives no child, or the program cannot be started.
    """
    channel = start()
    os.set_inheritable(channel.descriptor, True)
    os.execve(words[0], [*words], {**os.environ, **hand_down(), _STARTED_BY: f"{channel.descriptor} {os.getppid()}"})  # noqa: S606 -- no shell is what we want


def started_by() -> GuardChannel | None:
    """The guard that started this program (`start_program`), asked once; None where none did."""
    descriptor, _, guard = os.environ.pop(_STARTED_BY, "").partition(" ")
    try:
        if int(guard) != os.getppid() or not stat.S_ISFIFO(os.fstat(int(descriptor)).st_mode):
            return None
    except (ValueError, OSError, OverflowError):
        return None
    os.set_inheritable(int(descriptor), False)
    _die_with(int(guard))
    return GuardChannel(int(descriptor), int(guard))


class Guard:
    """The guard's side: what it was told, and what follows from it."""

    def __init__(self, session: int, reading: int) -> None:
        self._session = session
        self._reading = reading
        self._rest = b""
        self._limits: dict[str, float] = {}
        """By whose they are, the instants at which the session is killed."""
        self._leave_at: float | None = None
        self._code: int | None = None
        self._run: Mapping[str, Any] = {}
        self._killed_for = ""

    def forward(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 -- the signature signal() calls
        """Pass a signal on: the session decides what it stops."""
        with suppress(ProcessLookupError):
            os.kill(self._session, signum)

    def watch(self, woken: int) -> int:
        """Wait for the session's end, and hold its limits; the exit code. `woken` is readable after a signal."""
        descriptors = [self._reading, woken]
        while True:
            if (status := self._ended()) is not None:
                self._hear()
                return self._conclude(os.waitstatus_to_exitcode(status))
            ready, _, _ = select.select(descriptors, [], [], self._until_end())
            if woken in ready:
                os.read(woken, 512)
            if self._reading in ready and not self._hear():
                descriptors = [woken]
            self._end_overdue()

    def _ended(self) -> int | None:
        """The session's status once it has ended; what it orphaned is this process's to bury."""
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == self._session:
                    return status
                if not pid:
                    break
        return None

    def _hear(self) -> bool:
        """Take in what was told; whether more may come."""
        while True:
            try:
                piece = os.read(self._reading, 65536)
            except BlockingIOError:
                return True
            if not piece:
                return False
            *lines, self._rest = (self._rest + piece).split(b"\n")
            for line in lines:
                self._take_in(json.loads(line))

    def _take_in(self, message: Mapping[str, Any]) -> None:
        now = time.monotonic()
        match message:
            case {"opened": run}:
                self._run = run
            case {"limit": {"seconds": None, "whose": whose}}:
                self._limits.pop(whose, None)
            case {"limit": {"seconds": seconds, "whose": whose}}:
                self._limits[whose] = now + seconds
            case {"sealed": code}:
                self._code, self._leave_at = code, now + TELL_S
            case {"left": names}:
                self._leave_at = now + (LEAVE_WITH_REMAINS_S if names else LEAVE_S)
            case {"ended": code} if self._code is None:
                self._code, self._leave_at = code, now + TELL_S

    def _until_end(self) -> float | None:
        ends = [*self._limits.values()] if self._leave_at is None else [self._leave_at]
        return max(0.0, min(ends) - time.monotonic()) if ends and not self._killed_for else None

    def _end_overdue(self) -> None:
        """Kill a session that is over a limit, or that will not end."""
        now = time.monotonic()
        if self._killed_for:
            return
        if self._leave_at is not None:
            if now >= self._leave_at:
                self._kill("it did not end by itself")
            return
        over = [whose for whose, at in self._limits.items() if now >= at]
        if over:
            self._kill(f"{over[0]} could not be stopped at its time limit")

    def _kill(self, reason: str) -> None:
        self._killed_for = reason
        try:
            kill_tree(self._session)
        except Exception as error:  # noqa: BLE001 -- it must end, with or without what it started
            say(f"what the session started may still run: {error!r}")
            os.kill(self._session, signal.SIGKILL)

    def _conclude(self, ended: int) -> int:
        """The exit code, said with what a person must do where the session told none."""
        if self._code is not None:
            for name in _end_orphans():
                say(f"left running, and ended: {name}")
            return self._code
        # Nothing of it goes on: neither a worker with its step, nor what a step started.
        kill_tree(os.getpid(), itself=False)
        how = self._killed_for or (
            f"{signal.Signals(-ended).name} ended it" if ended < 0 else f"it exited with {ended}"
        )
        if self._run:
            workspace = Workspace(Path(), self._run["environment"], rehearsal=self._run["rehearsal"])
            say(f"the process of run {self._run['run']} ended before the run was sealed: {how}. What it changed may stand, "
                "half done. Finish it: "
                f"`{workspace.command_line('recover')}`")  # fmt: skip
            return MANUAL_INTERVENTION
        if ended in _PASSED_ON and not self._killed_for:
            return ended
        say(f"the process ended before a run was opened: {how}; nothing was deployed")
        return BY_SIGNAL if -ended in FORWARDED else INTERNAL


def say(text: str) -> None:
    """One line on standard error, where anybody reads it still."""
    with suppress(OSError):
        os.write(2, f"\n{as_called(text)}\n".encode(errors="replace"))


def kill_tree(pid: int, *, itself: bool = True) -> None:
    """Kill a process and all it started, but what a supervisor of the embedded platform owns: that ends by itself."""
    import psutil

    from pytest_deploy.plugin.leftovers import descendants

    for process in [*([psutil.Process(pid)] if itself else []), *descendants(pid)]:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _end_orphans() -> list[str]:
    """What a worker that died had started came to this process; the session could not see it. Its name, each."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return []  # nothing came: what it takes to look is not imported
    from pytest_deploy.plugin.leftovers import end_processes

    return end_processes()


def _guard(session: int, reading: int, before: Iterable[int]) -> NoReturn:
    """Be the guard; whatever goes wrong in it, the process ends here."""
    code = MANUAL_INTERVENTION
    try:
        guard = Guard(session, reading)
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)  # what the session orphans becomes this process's child
        woken, wake = os.pipe()
        for descriptor in (reading, woken, wake):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda signum, frame: None)
        for signum in FORWARDED:
            signal.signal(signum, guard.forward)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        code = guard.watch(woken)
    except BaseException:  # noqa: BLE001 -- this process must not go on as a second session
        say(f"the guard failed, and with it the run: {traceback.format_exc()}")
        with suppress(OSError):
            os.kill(session, signal.SIGKILL)
    finally:
        os._exit(code)


def _prctl(what: int, value: int) -> bool:
    """Whether the system knows it and did it: Linux alone."""
    return sys.platform == "linux" and bool(ctypes.CDLL(None).prctl(what, value) == 0)


def _die_with(guard: int) -> None:
    """However the guard ends, this process is killed: by the kernel on Linux, elsewhere by a thread that looks."""
    if not _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL):

        def look() -> None:
            while os.getppid() == guard:
                time.sleep(_POLL_S)
            os.kill(os.getpid(), signal.SIGKILL)

        threading.Thread(target=look, name="deploy-guard", daemon=True).start()
    if os.getppid() != guard:
        os._exit(INTERNAL)
