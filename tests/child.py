"""Child processes of a test: what they said is kept, and none of them hangs or stays."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

TIMEOUT_S = 120.0
"""After this a child process is killed with all it started, and the test fails with what it said."""


@dataclass(frozen=True)
class Ran:
    """A child process that has ended."""

    words: tuple[str, ...]
    code: int
    """Exit code; negative: the signal that ended it."""
    stdout: str
    stderr: str
    seconds: float

    @property
    def said(self) -> str:
        """Everything it printed, to be shown where it did something else than it should."""
        return f"$ {' '.join(self.words)}\n{self.stdout}{self.stderr}\nexit {self.code} after {self.seconds:.1f} s"


@dataclass
class Running:
    """A child process, in a session of its own, that may be waited for or sent a signal."""

    process: subprocess.Popen[bytes]
    words: tuple[str, ...]
    folder: Path
    """Its output lies here while it runs."""
    began: float = field(default_factory=time.monotonic)

    @property
    def pid(self) -> int:
        return self.process.pid

    def send(self, signum: int) -> None:
        """Send a signal to this process alone."""
        self.process.send_signal(signum)

    def output(self, name: str = "stdout") -> str:
        """What it has said so far; `name` is stdout or stderr."""
        return (self.folder / name).read_text(encoding="utf-8", errors="replace")

    def wait(self, timeout: float = TIMEOUT_S) -> Ran:
        """Wait for its end; after `timeout` seconds kill its session and fail with what it said."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running after {timeout:g} s, killed: {self._ran(-9).said}") from None
        return self._ran(code)

    def until(self, true: Callable[[], bool], timeout: float = TIMEOUT_S) -> None:
        """Wait until something is true while this runs; fail with what it said where it ends or time passes first."""
        until = time.monotonic() + timeout
        while not true():
            if time.monotonic() > until or self.process.poll() is not None:
                self.kill()
                raise AssertionError(f"what was waited for never came: {self._ran(self.process.returncode or 0).said}")
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill it and its session (xdist's workers are in it); the supervisor then finds itself alone and ends."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _ran(self, code: int) -> Ran:
        return Ran(self.words, code, self.output("stdout"), self.output("stderr"), time.monotonic() - self.began)
