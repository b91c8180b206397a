"""xdist's workers of one run, as processes: where each says which process it is, and how they are stopped for good.

A worker outlives its controller by up to 15 s (execnet ends it then), and the step it runs goes on for as long. Nothing
is undone while a step may still run: whoever undoes without pytest stops the workers first.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

_PREFIX = "worker-"
_SAME_START_S = 1.0  # the system counts a process's start in ticks
_POLL_S = 0.1
_KILL_S = 5.0


def say(session: Path, worker: str) -> None:
    """In a worker: which process it is, in the run's session folder."""
    process: Any = psutil.Process()
    (session / f"{_PREFIX}{worker}").write_text(f"{os.getpid()} {process.create_time()}", encoding="utf-8")


def find(session: Path, worker: str) -> Any | None:
    """The psutil.Process of a worker; None where it no longer exists."""
    pid, _, started = (session / f"{_PREFIX}{worker}").read_text(encoding="utf-8").partition(" ")
    with suppress(psutil.NoSuchProcess, ValueError):  # killed while it wrote: it runs nothing
        process: Any = psutil.Process(int(pid))
        if abs(process.create_time() - float(started)) <= _SAME_START_S and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def living(session: Path) -> list[Any]:
    """The processes of a run's workers that exist still."""
    names = sorted(path.name.removeprefix(_PREFIX) for path in session.glob(f"{_PREFIX}*"))
    return [process for name in names if (process := find(session, name)) is not None]


def stop(processes: Sequence[Any], *, grace_s: float, through: Callable[[], bool] = lambda: False) -> None:
    """Ask each to stop its step (SIGTERM); kill those that remain after so many seconds, unless `through` by then.

    `through` tells that no step runs any more, so that a worker may live on.
    """
    until = time.monotonic() + grace_s
    ask_to_stop(processes)
    left = list(processes)
    while left and not through():
        if time.monotonic() > until:
            _kill(left)
            return
        _, left = psutil.wait_procs(left, timeout=_POLL_S)


def ask_to_stop(processes: Sequence[Any]) -> None:
    """SIGTERM to each that exists: the step it runs is to stop."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()


def _kill(processes: Sequence[Any]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=_KILL_S)
