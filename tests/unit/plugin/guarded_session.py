"""A process under the guard, whose session is a few lines of Python."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from dataclasses import dataclass

_HEAD = """
import atexit, os, signal, sys, threading, time
from pytest_deploy.plugin import guard
guard.TELL_S = guard.LEAVE_S = 1.0
guard.LEAVE_WITH_REMAINS_S = 0.2
guard_channel = guard.start()
"""

TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Ended:
    """How the guard ended."""

    code: int
    stdout: str
    stderr: str


def started(session: str) -> subprocess.Popen[str]:
    """Start a guard over a session that does this; `guard_channel` is its side of the guard."""
    words = (sys.executable, "-c", _HEAD + textwrap.dedent(session))
    return subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str]) -> Ended:
    """Wait for its end."""
    try:
        stdout, stderr = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return Ended(process.returncode, stdout, stderr)


def guarded(session: str) -> Ended:
    """Run a session under the guard to its end."""
    return ended(started(session))
