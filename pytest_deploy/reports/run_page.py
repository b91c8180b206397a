"""report.html: one run for people, each value from its events up to `run.decided`.

A current report says besides what was recorded of the run afterwards, apart and marked as such; the sealed one does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytest_deploy.record.event import Event
from pytest_deploy.record.events import GateRefused, GateVerdict, RevisionDeployed, TrafficMoved
from pytest_deploy.reports.charts import response_times, sla_bars, timeline
from pytest_deploy.reports.evidence import PageFiles
from pytest_deploy.reports.page import render
from pytest_deploy.reports.run_summary import (
    OUTCOME_HEADINGS,
    RunSummary,
    describe_event,
    describe_outcome,
    summarize,
)
from pytest_deploy.reports.signatures import PostRun, deviations, manifest, overridden_gates
from pytest_deploy.traceability.matrix import assertions

GATE_POINTS: Final[Mapping[str, str]] = {
    "plan": "Plan",
    "lease": "Lease",
    "preflight": "Preflight",
    "change": "First change",
}
"""The points where gates are checked, in order, and how a page heads them. Preflight checks again, inside the run, what was checked at the lease."""


def render_run(
    events: Sequence[Event], *, checkpoint: str, files: PageFiles | None = None, after: Sequence[Event] | None = None
) -> str:
    """The report of one run, a self-contained HTML page.

    Args:
        events: The run's own, up to `run.decided`, in order.
        checkpoint: The log's anchor line at the time of rendering, `tlog <origin> <size> <root>`.
        files: What the page shows of the run's files.
        after: In a current report, the run's events since its decision.

    Raises:
        ValueError: No event opens the run, or the anchor line is none.
    """
    summary = summarize(events)
    files = files or PageFiles()
    origin, size, root = _anchor(checkpoint)
    post_run, departed = PostRun(after or ()), deviations(summary)
    return render(
        "run.html",
        {
            "summary": summary,
            "opened": summary.opened,
            "outcome": summary.outcome,
            "heading": OUTCOME_HEADINGS[summary.outcome],
            "meaning": describe_outcome(summary),
            "phase_rows": timeline(summary),
            "sla_bars": sla_bars(summary),
            "counts": _counts(summary),
            "deviations": departed,
            "overridden": overridden_gates(summary.events),
            "signatures": manifest(summary.events),
            "gates": gate_rows(summary.events, files.plan),
            "gate_points": GATE_POINTS,
            "chronology": [(event, text) for event in summary.events if (text := describe_event(event)) is not None],
            "serving": _serving(summary),
            "newest": next((made.revision for made in summary.contents(RevisionDeployed)), None),
            "planned_migrations": (files.request or {}).get("migrations", []),
            "schema_diff": files.diff,
            "response_times": response_times(summary, files.texts),
            "assertions": assertions(summary.steps),
            "raw": [(event, _json(event)) for event in summary.events],
            "after": None if after is None else [(event, _json(event)) for event in after],
            "signing_namespace": f"deploy-approval@{origin.partition('/')[0]}",
            "after_signatures": manifest(after or ()),
            "post_run": post_run,
            "accepted": sum(bool(post_run.acceptances(deviation)) for deviation in departed),
            "opened_seq": summary.of("run.opened")[0].seq,
            "decided_seq": next((event.seq for event in summary.of("run.decided")), None),
            "checkpoint": checkpoint,
            "origin": origin,
            "size": size,
            "root": root,
            "last_event": f"{int(size) - 1:08d}.event",
        },
        running_foot=summary.run,
    )


def _anchor(line: str) -> tuple[str, str, str]:
    words = line.split()
    if len(words) != 4 or words[0] != "tlog" or not words[2].isdecimal():  # noqa: PLR2004  the words of an anchor line
        raise ValueError(f"{line!r} is no anchor line; right is: tlog <origin> <size> <root>")
    return words[1], words[2], words[3]


def _counts(summary: RunSummary) -> list[tuple[str, int]]:
    """How many steps ended how, most wanted first; outcomes that did not occur are left out but for passed."""
    order = ("passed", "failed", "error", "skipped", "unfinished", "not-run")
    counted = [(outcome, sum(step.outcome == outcome for step in summary.steps)) for outcome in order]
    return [(outcome, number) for outcome, number in counted if number or outcome == "passed"]


def _serving(summary: RunSummary) -> Mapping[str, Any]:
    """The traffic after the last move; empty where none moved."""
    moves = summary.contents(TrafficMoved)
    return moves[-1].after if moves else {}


def _json(event: Event) -> str:
    return json.dumps(event.content.as_data(), sort_keys=True, ensure_ascii=True)


@dataclass(frozen=True)
class GateResult:
    """One verdict of one gate."""

    point: str
    """A key of GATE_POINTS."""
    event: Event
    content: GateVerdict
    """The event's."""

    @property
    def verdict(self) -> str:
        """passed, overridden or refused."""
        if isinstance(self.content, GateRefused):
            return "refused"
        return "overridden" if "override" in self.content.inputs else "passed"


@dataclass(frozen=True)
class GateRow:
    """One gate, with every verdict it gave."""

    gate: str
    results: tuple[GateResult, ...]

    def at(self, point: str) -> GateResult | None:
        """Its last verdict at a point; None where it was not checked there."""
        return next((result for result in reversed(self.results) if result.point == point), None)

    @property
    def last(self) -> GateResult:
        """What it said in the end."""
        return self.results[-1]


def gate_rows(events: Sequence[Event], plan: Sequence[Event] = ()) -> tuple[GateRow, ...]:
    """One row a gate, in the order first checked. `plan`: the events of the plan that made this run's request."""
    rows: dict[str, list[GateResult]] = {}
    for result in (*_gate_results(plan), *_gate_results(events)):
        rows.setdefault(result.content.gate, []).append(result)
    return tuple(GateRow(gate, tuple(results)) for gate, results in rows.items())


def _gate_results(events: Sequence[Event]) -> Iterator[GateResult]:
    opened = False
    for event in events:
        opened |= event.type == "run.opened"
        if isinstance(event.content, GateVerdict):
            point = event.content.point
            yield GateResult("preflight" if opened and point == "lease" else point, event, event.content)
