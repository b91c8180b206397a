"""Pulumi's engine as a process of its own: one operation, its events as they come, and an orderly end whatever happens."""

from __future__ import annotations

import json
import logging
import os
import queue
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, cast

from pytest_deploy.errors import Failed, PlatformUnavailable, StackLocked
from pytest_deploy.platform.pulumi.settings import StackSettings

logger = logging.getLogger(__name__)

_AUTOMATION: Final = Path(__file__).with_name("automation.py")
_INHERITED: Final = (
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "SSL_CERT_FILE",
    "HTTPS_PROXY",
    "NO_PROXY",
    "https_proxy",
    "no_proxy",
)
_LOCK: Final = re.compile(r"^\s*(\S+: created by \S+ \(pid \d+\) at \S+)\s*$", re.MULTILINE)
_KILLED_WITHIN_S: Final = 10.0

Event = Mapping[str, Any]


class EngineFailed(Failed):
    """The engine ended with an error; `said` is what it printed, `interrupted` whether it was stopped."""

    def __init__(self, message: str, *, said: str, interrupted: bool = False) -> None:
        self.said = said
        self.interrupted = interrupted
        super().__init__(message)


@dataclass
class _Operation:
    """One operation while it runs."""

    process: subprocess.Popen[str]
    questions: IO[str]
    """Its standard input. Its end is this process's death."""
    lines: queue.SimpleQueue[str | None] = field(default_factory=queue.SimpleQueue)
    """Of its standard output; None at its end."""
    stderr: list[str] = field(default_factory=list)
    answered: bool = False
    """Whether it gave its result or its error: then it ends by itself."""
    engine: int = 0
    """The session of the command-line program that runs now; 0 where none does."""


def run(
    settings: StackSettings,
    operation: str,
    folder: Path,
    *,
    deadline_s: float,
    on_event: Callable[[Event], None] = lambda _: None,
    **request: Any,
) -> Any:
    """Carry out one operation of `automation.Operation` and return its result.

    However this ends, by an exception of any kind in this process or its death, the engine is first asked to end what it has
    begun and to write it down: SIGINT, `stop_s` seconds, SIGINT.

    Args:
        settings: which stack, with which programs.
        operation: the method's name.
        folder: of the Pulumi program.
        deadline_s: seconds after which it is stopped.
        on_event: told each event, in order, in this thread.
        request: what the operation asks for beside.

    Raises:
        StackLocked: another update holds the stack.
        PlatformUnavailable: the engine cannot be started, there is no such stack, or it was not done in time.
        EngineFailed: it ended with an error of its own.
    """
    wanted = {"operation": operation, "folder": str(folder), "stack": settings.stack, "pulumi": str(settings.pulumi)}
    with _started(settings, folder) as running:
        _ask(running, {**wanted, **request})
        return _answer(running, settings, operation, deadline_s=deadline_s, on_event=on_event)


@contextmanager
def _started(settings: StackSettings, folder: Path) -> Iterator[_Operation]:
    for what, path in (
        ("Pulumi's command-line program", settings.pulumi),
        ("the interpreter of the Pulumi program", settings.python),
    ):
        if not os.access(path, os.X_OK) or not path.is_file():
            raise PlatformUnavailable(f"{what} is not at {path}: install it there, or name where it is")
    if not (folder / "Pulumi.yaml").is_file():
        raise PlatformUnavailable(f"there is no Pulumi.yaml in {folder}: name the folder of the Pulumi program")
    process = subprocess.Popen(
        [str(settings.python), "-I", str(_AUTOMATION)],
        cwd=folder,
        env=_variables(settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # Ctrl-C and a runner's signals reach this process alone, which passes them on
    )
    running = _Operation(process, cast("IO[str]", process.stdin))
    readers = [
        threading.Thread(target=_read_lines, args=(process.stdout, running.lines.put), daemon=True),
        threading.Thread(
            target=_read_lines, args=(process.stderr, lambda line: running.stderr.append(line or "")), daemon=True
        ),
    ]
    for reader in readers:
        reader.start()
    try:
        yield running
    finally:
        _stop(running, settings.stop_s)
        for reader in readers:
            reader.join(_KILLED_WITHIN_S)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()


def _variables(settings: StackSettings) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    own = {
        "PULUMI_BACKEND_URL": settings.backend,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        # A plug-in that is missing is a fault of the machine: what judges is installed on purpose, never fetched on the way.
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }
    if settings.home is not None:
        own["PULUMI_HOME"] = str(settings.home)
    return inherited | own | dict(settings.environment)


def _read_lines(stream: Any, tell: Callable[[str | None], None]) -> None:
    with suppress(ValueError):  # closed under it
        for line in stream:
            tell(line.rstrip("\n"))
    tell(None)


def _ask(running: _Operation, request: Mapping[str, Any]) -> None:
    with suppress(BrokenPipeError):  # it died at once: its end says why
        running.questions.write(json.dumps(request) + "\n")
        running.questions.flush()


def _answer(
    running: _Operation,
    settings: StackSettings,
    operation: str,
    *,
    deadline_s: float,
    on_event: Callable[[Event], None],
) -> Any:
    ends = time.monotonic() + deadline_s
    late = False
    while True:
        try:
            line = running.lines.get(timeout=max(0.0, ends - time.monotonic()) + (2 * settings.stop_s if late else 0))
        except queue.Empty:
            if late:
                raise _too_late(settings, operation, deadline_s) from None
            late = True
            _interrupt(running)
            continue
        if line is None:
            raise PlatformUnavailable(
                f"pulumi {operation} of stack {settings.stack}: its process ended without an answer:\n"
                + "\n".join(f"  {one}" for one in running.stderr[-15:] if one)
            )
        told = json.loads(line)
        running.answered = "result" in told or "error" in told
        if "engine" in told:
            running.engine = told["engine"]
        elif "event" in told:
            on_event(told["event"])
        elif "result" in told:
            return told["result"]
        elif late:
            raise _too_late(settings, operation, deadline_s)
        else:
            raise _error(settings, operation, told["error"])


def _too_late(settings: StackSettings, operation: str, deadline_s: float) -> PlatformUnavailable:
    return PlatformUnavailable(
        f"pulumi {operation} of stack {settings.stack} was not done within {deadline_s:.0f} s and was stopped; "
        "ask the stack's state before anything else: an operation may be pending"
    )


def _error(settings: StackSettings, operation: str, error: Mapping[str, str]) -> Exception:
    said = error["message"]
    what = f"pulumi {operation} of stack {settings.stack}"
    if error["kind"] == "locked":
        locks = tuple(_LOCK.findall(said))
        return StackLocked(
            f"{what}: another update holds the stack, or one that died left its lock:\n"
            + "\n".join(f"  {lock}" for lock in locks)
            + "\nwait for it; where its run is dead, `recover` of that run removes its lock, and no other's",
            locks=locks,
        )
    if error["kind"] == "no-stack":
        return PlatformUnavailable(
            f"{what}: there is no such stack in {settings.backend}; make it once, by hand: `pulumi stack init {settings.stack}`"
        )
    return EngineFailed(f"{what}: {_end(said)}", said=said, interrupted=error["kind"] == "interrupted")


def _end(said: str) -> str:
    """What people need of it: the lines that begin with `error:`, else the last ones."""
    lines = [line.rstrip() for line in said.splitlines() if line.strip()]
    errors = [line.strip() for line in lines if line.strip().startswith("error:")]
    return "\n  ".join(errors[-5:] or lines[-15:]) or "it said nothing"


def _interrupt(running: _Operation) -> None:
    with suppress(ProcessLookupError):
        running.process.send_signal(signal.SIGINT)


def _stop(running: _Operation, stop_s: float) -> None:
    """Let it end by itself where it has answered; else SIGINT, wait, SIGINT, wait, and kill it with the engine."""
    with suppress(subprocess.TimeoutExpired):
        running.process.wait(_KILLED_WITHIN_S if running.answered else 0)
    for _ in range(2):
        if running.process.poll() is not None:
            return
        _interrupt(running)
        with suppress(subprocess.TimeoutExpired):
            running.process.wait(stop_s)
    if running.process.poll() is not None:
        return
    logger.warning("Pulumi's engine did not end within %.0f s of the second interruption and is killed", stop_s)
    running.process.kill()
    if running.engine:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(running.engine, signal.SIGKILL)
    running.process.wait(_KILLED_WITHIN_S)
