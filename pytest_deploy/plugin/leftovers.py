"""What steps left running when the run is sealed: threads that keep the process from ending, and child processes."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Generator
from contextlib import suppress
from textwrap import shorten
from typing import Any, NoReturn
from weakref import WeakKeyDictionary

import psutil
import pytest

from pytest_deploy.pipeline.steps_lock import title_of
from pytest_deploy.platform.embedded.supervisor import MARKER

LEFT = "deploy_left"
"""In what a worker tells in the end: the names of what its steps left."""

_TERMINATE_S = 0.5
_EXIT_S = 2.0
"""What a worker has to tell its controller that it has finished."""
_SHOWN = 60
"""Characters of a command that are named."""


class Leftovers:
    """Names what the steps of this process left, and ends its processes; a thread can only be ended with all of them."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._process = os.getpid()
        self._begun_by: WeakKeyDictionary[threading.Thread, str] = WeakKeyDictionary()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Remember which step a thread came with."""
        before = set(threading.enumerate())
        try:
            return (yield)
        finally:
            for thread in set(threading.enumerate()) - before:
                self._begun_by.setdefault(thread, title_of(item.nodeid))

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self) -> Generator[None]:
        """A child that the step forked, and that comes back from it, ends here: else it went on as a second deployment."""
        return (yield from self._in_this_process())

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self) -> Generator[None]:
        """The same of the call."""
        return (yield from self._in_this_process())

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(self) -> Generator[None]:
        """The same of the tear-down."""
        return (yield from self._in_this_process())

    def _in_this_process(self) -> Generator[None]:
        __tracebackhide__ = True
        try:
            yield
        except BaseException:
            if os.getpid() != self._process:
                traceback.print_exc()
                _leave(1)
            raise
        if os.getpid() != self._process:
            _leave(0)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """In a worker: the controller names what it left. Its threads would keep it, and xdist waiting for it."""
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            threads = self.threads()
            output[LEFT] = [*threads, *end_processes()]
            if threads:
                threading.Thread(target=_exit_soon, name="deploy-exit", daemon=True).start()

    def threads(self) -> list[str]:
        """The threads that will keep the process from ending."""
        found = [t for t in threading.enumerate() if not t.daemon and t is not threading.main_thread()]
        return [f"thread {t.name}, begun by `{self._begun_by.get(t, 'no step')}`" for t in found]


def end_processes() -> list[str]:
    """End what this process started or inherited and did not end: its name, each."""
    left = [process for process in descendants(psutil.Process().pid) if _alive(process)]
    names = [_described(process) for process in left]
    for process in left:
        with suppress(psutil.Error):
            process.terminate()
    _, deaf = psutil.wait_procs(left, timeout=_TERMINATE_S)
    for process in deaf:
        with suppress(psutil.Error):
            process.kill()
    return names


def _leave(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _exit_soon() -> None:
    time.sleep(_EXIT_S)
    os._exit(0)


def descendants(pid: int) -> list[Any]:
    """The psutil.Process of each process below `pid`, but those of the embedded platform: its supervisor ends them."""
    found: list[Any] = []
    with suppress(psutil.Error):
        for child in psutil.Process(pid).children():
            if not _of_platform(child):
                found += [child, *descendants(child.pid)]
    return found


def _of_platform(process: Any) -> bool:
    try:
        return MARKER in process.environ()
    except psutil.Error:
        return False


def _alive(process: Any) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _described(process: Any) -> str:
    """Its number and its command, cut between two words; a fork of this process has no command of its own."""
    with suppress(psutil.Error):
        words = process.cmdline()
        command = " ".join([process.name(), *words[1:]])
        named = (
            "a fork of the session"
            if words == psutil.Process().cmdline()
            else shorten(command, _SHOWN, placeholder=" …")
        )
        return f"process {process.pid} ({named})"
    return f"process {process.pid}"
