"""reports/index.html: the runs of every store on one page, and how they went over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from pytest_deploy.reports.index_row import RunLine
from pytest_deploy.reports.page import render
from pytest_deploy.reports.trends import percent, trends


def render_index(
    runs: Sequence[RunLine],
    *,
    made: datetime | None = None,
    older: Mapping[str, int] | None = None,
    unread: Mapping[str, str] | None = None,
) -> str:
    """The index, newest run first; a self-contained HTML page.

    `made`: when, UTC. `older`: by store, the number of the event before which its runs are not on the page. `unread`: by
    store, why its log could not be read.
    """
    newest_first = sorted(runs, key=lambda line: (line.opened, line.run), reverse=True)
    values = {
        "runs": newest_first, "trends": trends(runs), "percent": percent,
        "made": made, "older": older or {}, "unread": unread or {},
    }  # fmt: skip
    return render("index.html", values)
