"""What a deployment shows on pytest's side is cut of secrets and of subjects' rows: the terminal, log lines."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

import pytest

from pytest_deploy.plugin.closed_output import redirect_to_devnull
from pytest_deploy.program import as_called


class Terminal:
    """What pytest writes to the terminal is cut of secrets too: CI keeps it for months."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._file: TextIO | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Stand between the terminal's writer and its file."""
        writer = session.config.get_terminal_writer()
        self._file, writer._file = writer._file, self  # noqa: SLF001 -- there is no other way in

    def write(self, text: str) -> int:
        """Write what is left of a text, its commands as this program was called; once nobody reads it any more, nothing."""
        if self._file is not None:
            try:
                return self._file.write(as_called(self._redact(text)))
            except UnicodeError:
                raise
            except (OSError, ValueError):
                self._give_up()
        return len(text)

    def flush(self) -> None:
        """Hand on what is written; most readers that are gone show here."""
        if self._file is not None:
            try:
                self._file.flush()
            except (OSError, ValueError):
                self._give_up()

    def _give_up(self) -> None:
        with suppress(OSError, ValueError):
            redirect_to_devnull(self._file.fileno() if self._file is not None else 1)
        self._file = None

    def __getattr__(self, name: str) -> Any:
        """All else is the file's; of one that was given up, standard output's."""
        return getattr(self._file or sys.__stdout__, name)


class LogLines(logging.Handler):
    """The package's own log lines on standard error, for a person who debugs in the field (`--log-level=DEBUG`).

    They go nowhere else: neither into reports nor into the record, and other libraries' lines are not shown.
    """

    def __init__(self, level: int, redact: Callable[[str], str]) -> None:
        super().__init__(level)
        self._redact = redact
        # Standard error itself: while a step runs pytest catches what is written to it.
        self._descriptor = os.dup(2)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        line = f"{self._redact(self.format(record))}\n".encode(errors="replace")
        try:
            os.write(self._descriptor, line)
        except OSError:
            redirect_to_devnull(self._descriptor)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Nothing more is written."""
        logger = logging.getLogger("pytest_deploy")
        logger.removeHandler(self)
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
        os.close(self._descriptor)


def log_lines(config: pytest.Config, redact: Callable[[str], str]) -> None:
    """Show log lines where `--log-cli-level` or `--log-level` asks for them. Raises pytest.UsageError for no level.

    pytest's own handlers are not given the level: they would put every library's lines into the reports.
    """
    level_asked = config.option.log_cli_level or config.option.log_level
    config.option.log_cli_level = config.option.log_level = None
    if level_asked is None:
        return
    level = (
        int(level_asked)
        if str(level_asked).isdecimal()
        else logging.getLevelNamesMapping().get(str(level_asked).upper())
    )
    if level is None:
        raise pytest.UsageError(
            f"--log-level={level_asked}: right is DEBUG, INFO, WARNING, ERROR, CRITICAL or a number"
        )
    handler = LogLines(level, redact)
    logger = logging.getLogger("pytest_deploy")
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    config.pluginmanager.register(handler, "deploy-log-lines")
