"""Child processes of a test: what they said is kept, and none of them hangs or stays."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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


class PreloadedPytest:
    """Many short `python -m pytest`, forked by one process that has imported it: see tests/preloaded.py."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[PreloadedPytest]:
        """Start one; in the end it and whatever still runs of its children are killed."""
        words = (sys.executable, str(Path(__file__).with_name("preloaded.py")))
        pipe = subprocess.PIPE
        env = environ_without_pytest()
        with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, env=env, start_new_session=True) as process:
            try:
                yield cls(process)
            finally:
                os.killpg(process.pid, signal.SIGKILL)

    def run(self, words: Sequence[str], cwd: Path, env: Mapping[str, str], said: Path, timeout: float) -> Ran:
        """Run `python -m pytest WORDS`; what it prints lies in the folder `said`. Fails where it takes longer."""
        files = {name: said / name for name in ("stdout", "stderr")}
        asked = {"words": words, "cwd": str(cwd), "env": dict(env), **{name: str(path) for name, path in files.items()}}
        began = time.monotonic()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        ended, _, _ = select.select([self._process.stdout], [], [], timeout)
        answer = self._process.stdout.readline() if ended else ""
        printed = {name: path.read_text("utf-8", "replace") if path.exists() else "" for name, path in files.items()}
        ran = Ran(("python", "-m", "pytest", *words), int(answer or -9), **printed, seconds=time.monotonic() - began)
        assert answer, f"no end after {timeout:g} s: {ran.said}"
        return ran


def environ_without_pytest() -> dict[str, str]:
    """Our environment without what this test run put into it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
