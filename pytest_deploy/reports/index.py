"""reports/index.html: the newest runs of every store under reports/, made anew from the logs when a run has closed."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pytest_deploy.errors import DeployError
from pytest_deploy.record.event import Event, parse_line
from pytest_deploy.reports.index_page import render_index
from pytest_deploy.reports.index_row import RunLine, line_of

MOST: Final = 500
"""Runs of one store on the page: with more, making it would cost each closing run minutes; `deploy.py history` knows all."""
_TOLD: Final = re.compile(rb'"type":"run\.(?:opened|decided|abandoned|closed)"')
"""The types an index line is made of; a line without one need not be parsed."""


_FAULTS: Final = (DeployError, OSError, ValueError, KeyError, TypeError)
"""What a log that is not what it should be may lead to."""


def write(reports: Path) -> tuple[str, ...]:
    """Write the index; what could not be told, in a line each. It is a convenience, not evidence: it is replaced, and says nothing that the logs do not.

    It is made when a run has closed, and raises nothing: no other environment's damaged log, and no full disk, undoes that run.
    """
    lines: list[RunLine] = []
    older: dict[str, int] = {}
    unread: dict[str, str] = {}
    try:
        for store in _stores(reports):
            name = store.relative_to(reports).as_posix()
            try:
                found, first = _lines(reports, store)
            except _FAULTS as error:
                unread[name] = f"{type(error).__name__}: {error}"
                continue
            lines += found
            if first:
                older[name] = first
        part = reports / f".index.{os.getpid()}.part"
        made = datetime.now(UTC)
        part.write_text(render_index(lines, made=made, older=older, unread=unread), encoding="utf-8")
        part.replace(reports / "index.html")
    except _FAULTS as error:
        return (f"reports/index.html was not written: {type(error).__name__}: {error}",)
    return tuple(f"not in reports/index.html: {name}, whose log cannot be read ({why})" for name, why in unread.items())


def _lines(reports: Path, store: Path) -> tuple[list[RunLine], int]:
    """The lines of a store's newest runs, and where reading stopped."""
    runs, first = newest(store)
    lines = []
    for run, events in runs.items():
        report = store / "runs" / run / "report.html"
        line = line_of(events, report.relative_to(reports).as_posix() if report.exists() else None)
        if line is not None:
            lines.append(line)
    return lines, first


def _stores(reports: Path) -> list[Path]:
    folders = [*reports.glob("*/log"), *reports.glob("rehearsal/*/log"), *reports.glob("archive/*/log")]
    return sorted(folder.parent for folder in folders)


def newest(store: Path, most: int = MOST) -> tuple[dict[str, list[Event]], int]:
    """The newest opened runs of a store with what a line is made of, and the number of the event where reading stopped.

    The log is read from its end: what a page costs does not grow with the record.
    """
    runs: dict[str, list[Event]] = {}
    opened = 0
    names = sorted((path.name for path in os.scandir(store / "log") if path.name.endswith(".event")), reverse=True)
    for name in names:
        with (store / "log" / name).open("rb") as stored:
            text = stored.readline()
        if _TOLD.search(text) is None:
            continue
        event = parse_line(text)
        runs.setdefault(event.run, []).insert(0, event)
        opened += event.type == "run.opened"
        if opened == most:
            return runs, event.seq
    return runs, 0
