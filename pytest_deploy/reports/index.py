"""reports/index.html: the newest runs and refused starts of every store under reports/, and how deployments of each environment went over time.

It is made anew from the logs when a run has closed or a start was refused. It is a convenience, not evidence: it is replaced, and says nothing
that the logs do not.
"""

from __future__ import annotations

import os
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pytest_deploy.errors import DeployError
from pytest_deploy.record import atomic_file, stored_file
from pytest_deploy.record.event import Event, of_type, parse_line
from pytest_deploy.record.events import GateRefused, RequestMade, RequestVoided, RunOpened, given
from pytest_deploy.record.run_folder import REFUSED
from pytest_deploy.record.run_id import workspace_of
from pytest_deploy.reports.charts import HEIGHT, WIDTH, Mark
from pytest_deploy.reports.page import render
from pytest_deploy.reports.run_summary import OUTCOMES, summarize

RUNS_A_STORE: Final = 500
"""Runs of one store on the page: with more, making it would cost each closing run minutes; `pytest-deploy history` knows all."""
_INDEXED: Final = re.compile(
    rb'"type":"(?:run\.(?:opened|decided|abandoned|closed)|request\.(?:made|voided)|gate\.refused)"'
)
"""The types a row is made of; an event of another type need not be parsed."""
_STORES: Final = ("*", "rehearsal/*", "archive/*")
_FAULTS: Final = (DeployError, OSError, ValueError, KeyError, TypeError)
"""What a log that is not what it should be may lead to."""

# One row a run.


@dataclass(frozen=True)
class IndexRow:
    run: str
    environment: str
    rehearsal: bool
    pipeline: str
    release: str
    deployer: str
    opened: datetime
    """UTC, of `run.opened`; of its newest refusal where a request never ran."""
    outcome: str
    """As decided; `abandoned`, or `in progress` where the log holds no decision yet; of a request `refused` or `voided`."""
    duration_s: float | None
    sla_s: float | None
    link: str | None
    """Of its report, relative to the index; None where there is no report."""

    @property
    def heading(self) -> str:
        return OUTCOMES[self.outcome][0]

    @property
    def within_sla(self) -> bool:
        """Whether it took no longer than policy allows; true where policy sets nothing."""
        return self.duration_s is None or not self.sla_s or self.duration_s <= self.sla_s


def index_row(events: Sequence[Event], link: str | None) -> IndexRow | None:
    """The index's row of one run, from its own events; None where it was never opened, and no start of it refused."""
    if all(event.type != RunOpened.type for event in events):
        return _refused_row(events, link)
    summary = summarize(events)
    opened, decided = summary.opened, summary.decided
    return IndexRow(
        run=summary.run,
        environment=opened.environment,
        rehearsal=opened.rehearsal,
        pipeline=opened.pipeline,
        release=opened.version,
        deployer=opened.deployer,
        opened=summary.of("run.opened")[0].time,
        outcome=summary.outcome,
        duration_s=decided.duration_s if decided is not None else None,
        sla_s=decided.sla_s if decided is not None else None,
        link=link,
    )


def _refused_row(events: Sequence[Event], link: str | None) -> IndexRow | None:
    """The row of a request whose start was refused and that never ran; None of one that waits, or that a plan voided."""
    refusals = [event for event in events if _refuses(event)]
    made = next((made for _, made in of_type(events, RequestMade)), None)
    # A request that no plan made is a run's own: that run was opened, further back than was read.
    if made is None or given(made.plan) is None or not refusals:
        return None
    workspace = workspace_of(refusals[0].run)
    return IndexRow(
        run=refusals[0].run,
        environment=workspace.environment,
        rehearsal=workspace.rehearsal,
        pipeline=given(made.pipeline) or "deploy",
        release=given(made.version) or "",
        deployer=made.requested_by,
        opened=refusals[-1].time,
        outcome="voided" if any(event.type == RequestVoided.type for event in events) else "refused",
        duration_s=None,
        sla_s=None,
        link=link,
    )


def _refuses(event: Event) -> bool:
    """Whether it refuses a start: a gate at the lease, or drift that the start itself found. A run never opened has no other gates."""
    match event.content:
        case GateRefused(point="lease"):
            return True
        case RequestVoided(by=by):
            return by == event.run
    return False


# Trends: how long deployments took, how many were rolled back, how many kept the SLA.

_ROLLED_BACK: Final = frozenset({"rolled-back", "rollback-failed"})
_DRAWN: Final = 100
"""The newest runs, which are drawn; the figures count all."""


@dataclass(frozen=True)
class Trend:
    """The decided deployments of one environment, oldest first."""

    environment: str
    rehearsal: bool
    runs: tuple[IndexRow, ...]

    @property
    def deployed(self) -> int:
        return sum(run.outcome == "deployed" for run in self.runs)

    @property
    def rolled_back(self) -> int:
        """How many were undone, or should have been."""
        return sum(run.outcome in _ROLLED_BACK for run in self.runs)

    @property
    def with_sla(self) -> tuple[IndexRow, ...]:
        return tuple(run for run in self.runs if run.sla_s)

    @property
    def within_sla(self) -> int:
        """How many of these kept it."""
        return sum(run.within_sla for run in self.with_sla)

    @property
    def median_s(self) -> float | None:
        """Of those that deployed; None where none did."""
        took = [run.duration_s for run in self.runs if run.outcome == "deployed" and run.duration_s is not None]
        return statistics.median(took) if took else None

    @property
    def scale_s(self) -> float:
        """Seconds at the full height of the drawing."""
        return max(run.duration_s or 0.0 for run in self._drawn) or 1.0

    @property
    def columns(self) -> tuple[Mark, ...]:
        """The newest runs, drawn from the left, each as high as it took."""
        width = WIDTH / max(len(self._drawn), 20)
        heights = (round(max((run.duration_s or 0.0) / self.scale_s * HEIGHT, 2.0), 2) for run in self._drawn)
        return tuple(
            Mark(round(at * width, 2), round(width * 0.7, 2), run.outcome, run.run, round(HEIGHT - height, 2), height)
            for at, (run, height) in enumerate(zip(self._drawn, heights, strict=True))
        )

    @property
    def limit_at(self) -> float | None:
        """How far down the newest run's SLA lies in the drawing; None where there is none, or it lies above."""
        limit = self.runs[-1].sla_s
        return round(HEIGHT - limit / self.scale_s * HEIGHT, 2) if limit and limit <= self.scale_s else None

    @property
    def _drawn(self) -> tuple[IndexRow, ...]:
        return self.runs[-_DRAWN:]


def trends(rows: Sequence[IndexRow]) -> tuple[Trend, ...]:
    """One trend an environment that has decided deployments, its rehearsals apart; by name, the real ones first."""
    deployments: dict[tuple[bool, str], list[IndexRow]] = {}
    for row in sorted(rows, key=lambda row: (row.opened, row.run)):
        if row.pipeline == "deploy" and row.duration_s is not None:
            deployments.setdefault((row.rehearsal, row.environment), []).append(row)
    return tuple(Trend(name, rehearsal, tuple(runs)) for (rehearsal, name), runs in sorted(deployments.items()))


# The page.


def render_index(
    rows: Sequence[IndexRow],
    *,
    made: datetime | None = None,
    older: Mapping[str, int] | None = None,
    unread: Mapping[str, str] | None = None,
) -> str:
    """The index, newest run first; a self-contained HTML page.

    `made`: when, UTC. `older`: by store, the number of the event before which its runs are not on the page. `unread`: by
    store, why its log could not be read.
    """
    newest_first = sorted(rows, key=lambda row: (row.opened, row.run), reverse=True)
    values = {"runs": newest_first, "trends": trends(rows), "made": made, "older": older or {}, "unread": unread or {}}
    return render("index.html", values)


def write(reports: Path) -> tuple[str, ...]:
    """Write the index; returns what could not be shown, in a line each.

    It is made when a run has closed, and raises nothing: no other environment's damaged log, and no full disk, undoes that run.
    """
    rows: list[IndexRow] = []
    older: dict[str, int] = {}
    unread: dict[str, str] = {}
    try:
        for store in sorted(log.parent for place in _STORES for log in reports.glob(f"{place}/log")):
            name = store.relative_to(reports).as_posix()
            try:
                runs, stopped_at = newest_runs(store)
                found = [index_row(events, _link(reports, store / "runs" / run)) for run, events in runs.items()]
            except _FAULTS as error:
                unread[name] = f"{type(error).__name__}: {error}"
                continue
            rows += [row for row in found if row is not None]
            if stopped_at:
                older[name] = stopped_at
        page = render_index(rows, made=datetime.now(UTC), older=older, unread=unread)
        atomic_file.overwrite(reports / "index.html", page.encode())
    except _FAULTS as error:
        return (f"reports/index.html was not written: {type(error).__name__}: {error}",)
    return tuple(f"not in reports/index.html: {name}, whose log cannot be read ({why})" for name, why in unread.items())


def newest_runs(store: Path, most: int = RUNS_A_STORE) -> tuple[dict[str, list[Event]], int]:
    """The newest runs of a store with the events a row is made of, and the number of the event where reading stopped.

    The log is read from its end: what a page costs does not grow with the record.
    """
    runs: dict[str, list[Event]] = {}
    rows = 0
    with os.scandir(stored_file.folder_of(store, "log")) as items:
        names = sorted(
            (i.name for i in items if i.name.endswith(".event") and i.is_file(follow_symlinks=False)), reverse=True
        )
    for name in names:
        try:
            stored = stored_file.read(store / "log" / name, stored_file.LARGEST["log"])
        except stored_file.NotOfARecord:  # no event: the verifiers name it, and the page shows the others
            continue
        line = stored[: stored.find(b"\n") + 1 or None]
        if _INDEXED.search(line) is None:
            continue
        event = parse_line(line)
        runs.setdefault(event.run, []).insert(0, event)
        rows += _begins_row(runs[event.run])
        if rows == most:
            return runs, event.seq
    return runs, 0


def _begins_row(events: Sequence[Event]) -> bool:
    """Whether the first of these is where a row's events begin: its run opens, or its request is made, which then never ran."""
    if events[0].type == RequestMade.type:
        return all(event.type != RunOpened.type for event in events) and _refused_row(events, None) is not None
    return events[0].type == RunOpened.type


def _link(reports: Path, run_folder: Path) -> str | None:
    """Of a run its report, else the page of its newest refused start."""
    report = run_folder / "report.html"
    page = report if report.exists() else max((run_folder / REFUSED).glob("*.html"), default=None)
    return page.relative_to(reports).as_posix() if page is not None else None
