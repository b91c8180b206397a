"""The supervisor's guardian: nothing stays behind, not even after `kill -9` of the supervisor.

It reads a pipe whose other end the supervisor holds; at end of file the supervisor is gone, however it went. What it
started is then known by a variable in its environment (which children inherit, so that not even the instant between a
start and its registration is a gap), and PostgreSQL by its data folder. The guardian shares the supervisor's lock: the
next supervisor starts when both are gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from pytest_deploy.platform.embedded.server import postmaster, stop_postmaster

MARKER = "PYTEST_DEPLOY_SUPERVISOR"
"""In the environment of everything a supervisor starts: `<the supervisor's short folder>:<its own id>`."""


def watch(mark: str, data: Path) -> None:
    """Wait until the supervisor is gone, then stop what it left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while os.read(sys.stdin.fileno(), 64):
        continue
    for process in marked(mark):
        _signal(process, signal.SIGTERM)
    if (server := postmaster(data)) is not None:
        stop_postmaster(server)
    until = time.monotonic() + 0.3
    while time.monotonic() < until and any(marked(mark)):
        time.sleep(0.02)
    sweep(mark)


def sweep(mark: str, *, but: str = "") -> None:
    """Kill what bears this mark, and not the mark `but`, until nothing does."""
    calm = 0
    while calm < 2:  # noqa: PLR2004  # a process seen between fork and exec may show its mark only the second time
        left = list(marked(mark, but=but))
        for process in left:
            _signal(process, signal.SIGKILL)
        calm = 0 if left else calm + 1
        time.sleep(0.02)


def marked(mark: str, *, but: str = "") -> Iterator[psutil.Process]:
    """Every live process other than this one whose mark begins with `mark` and is not `but`."""
    for process in psutil.process_iter():
        try:
            value = process.environ().get(MARKER, "")
            if value.startswith(mark) and value != but and process.pid != os.getpid():
                yield process
        except psutil.Error:
            continue


def _signal(process: psutil.Process, signum: int) -> None:
    """Send a signal; psutil refuses where the number has passed to another process."""
    with contextlib.suppress(psutil.Error):
        process.send_signal(signum)
