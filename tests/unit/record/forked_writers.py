"""Writers that can be killed, born by the hundred: one process imports what they need, and forks one whenever it is told.

    python -m tests.unit.record.forked_writers HOME [BUCKET PREFIX]      reads lines from stdin, answers each with one line

    write NAME COUNT MACHINE      fork a writer that waits for HOME/go, then appends COUNT events; answers its process id
    die POINT FOLDER              fork a writer that appends one event to the record in FOLDER and kills itself at POINT; answers `died`
    reap PID                      wait for a writer's end; answers its status

The record lies in HOME; with BUCKET, there, and each MACHINE has a copy in HOME. A writer notes each event whose append returned in HOME/acknowledged-NAME: `SEQ ID`, one line each.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from pytest_deploy.record.events import parse
from pytest_deploy.record.log import Log
from tests.unit.record.sample_record import open_log, open_log_in_bucket

POINTS = ("open", "write", "fchmod", "fsync", "close", "link", "unlink", "sync-folder")
"""What an append asks of the system, in this order."""


def main(home: Path, bucket: str = "", prefix: str = "") -> None:
    if bucket:
        import google.cloud.storage  # noqa: F401 -- once, not in each writer
    for line in sys.stdin:
        match line.split():
            case ["write", name, count, machine]:
                there = partial(open_log_in_bucket, home, bucket, prefix, machine)
                opened = there if bucket else partial(open_log, home)
                _answer(_forked(partial(_write, opened, home, name, int(count))))
            case ["die", point, folder]:
                os.waitpid(_forked(partial(_die_at, point, Path(folder))), 0)
                _answer("died")
            case ["reap", pid]:
                _answer(os.waitpid(int(pid), 0)[1])


def _answer(said: object) -> None:
    sys.stdout.write(f"{said}\n")
    sys.stdout.flush()


def _forked(act: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            act()
        finally:  # never back into the loop
            os._exit(1 if sys.exc_info()[0] else 0)
    return pid


def _write(opened: Callable[[], Log], home: Path, name: str, count: int) -> None:
    log = opened()
    while not (home / "go").exists():
        time.sleep(0.001)
    noted = os.open(home / f"acknowledged-{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in range(count):
        event = log.append(parse("alert.raised", {"alert": name, "detail": str(number)}), run="-", actor="system:test")
        os.write(noted, f"{event.seq} {event.id}\n".encode())


def _die_at(point: str, home: Path) -> None:
    """POINT: a name of POINTS with `before-` or `after-`, or `write-N`: after N bytes of the object."""
    log = open_log(home)
    _arm(point)
    log.append(parse("alert.raised", {"alert": "a", "detail": "b"}), run="-", actor="system:test")


def _arm(point: str) -> None:
    """From here on this process dies at that point of whatever it writes."""
    when, _, name = point.partition("-")
    syncs: list[int] = []
    real: dict[str, Callable[..., Any]] = {
        known: getattr(os, known) for known in ("open", "write", "fchmod", "fsync", "close", "link", "unlink")
    }

    def at(place: str, call: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        if (when, name) == ("before", place):
            _die()
        result = call(*arguments, **more)
        if (when, name) == ("after", place):
            _die()
        return result

    def write(descriptor: int, data: bytes) -> int:
        if when == "write":
            real["write"](descriptor, bytes(data)[: int(name)])
            _die()
        return int(at("write", real["write"], descriptor, data))

    def fsync(descriptor: int) -> None:
        syncs.append(descriptor)
        at("fsync" if len(syncs) == 1 else "sync-folder", real["fsync"], descriptor)

    for known in ("open", "fchmod", "close", "link", "unlink"):
        setattr(os, known, lambda *arguments, known=known, **more: at(known, real[known], *arguments, **more))
    os.write, os.fsync = write, fsync  # type: ignore[assignment]


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("killed processes do not come this far")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
