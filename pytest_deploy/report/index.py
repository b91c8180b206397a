"""reports/index.html: every run of every store under reports/, made anew from the logs when a run has closed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pytest_deploy.record.event import Event, parse_line
from pytest_deploy.report.index_page import RunLine, line_of, render_index

_TOLD = frozenset({"run.opened", "run.decided", "run.abandoned", "run.closed", "request.made"})
"""The types an index line is made of."""


def write(reports: Path) -> None:
    """Write the index. It is a convenience, not evidence: it is replaced, and says nothing that the logs do not."""
    runs = [line for store in _stores(reports) for line in _lines(reports, store)]
    part = reports / f".index.{os.getpid()}.part"
    part.write_text(render_index(runs), encoding="utf-8")
    part.replace(reports / "index.html")


def _stores(reports: Path) -> list[Path]:
    folders = [*reports.glob("*/log"), *reports.glob("rehearsal/*/log"), *reports.glob("archive/*/log")]
    return sorted(folder.parent for folder in folders)


def _lines(reports: Path, store: Path) -> Iterator[RunLine]:
    runs: dict[str, list[Event]] = {}
    for path in sorted((store / "log").glob("*.event")):
        with path.open("rb") as stored:
            event = parse_line(stored.readline())
        if event.type in _TOLD:
            runs.setdefault(event.run, []).append(event)
    for run, events in runs.items():
        report = store / "runs" / run / "report.html"
        line = line_of(events, report.relative_to(reports).as_posix() if report.exists() else None)
        if line is not None:
            yield line
