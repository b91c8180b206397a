"""reports/index.html: the newest runs of every store under reports/, made anew from the logs when a run has closed."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from pytest_deploy.record.event import Event, parse_line
from pytest_deploy.report.index_page import render_index
from pytest_deploy.report.line import RunLine, line_of

MOST: Final = 500
"""Runs of one store on the page: with more, making it would cost each closing run minutes; `deploy.py history` knows all."""
_TOLD: Final = re.compile(rb'"type":"run\.(?:opened|decided|abandoned|closed)"')
"""The types an index line is made of; a line without one need not be parsed."""


def write(reports: Path) -> None:
    """Write the index. It is a convenience, not evidence: it is replaced, and says nothing that the logs do not."""
    lines: list[RunLine] = []
    older: dict[str, int] = {}
    for store in _stores(reports):
        found, first = newest(store)
        if first:
            older[store.relative_to(reports).as_posix()] = first
        for run, events in found.items():
            report = store / "runs" / run / "report.html"
            line = line_of(events, report.relative_to(reports).as_posix() if report.exists() else None)
            if line is not None:
                lines.append(line)
    part = reports / f".index.{os.getpid()}.part"
    part.write_text(render_index(lines, older=older), encoding="utf-8")
    part.replace(reports / "index.html")


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
