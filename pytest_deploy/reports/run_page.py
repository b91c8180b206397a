"""report.html: one run for people, each value from its events up to `run.decided`, or from a file of its folder that they name.

A current report says besides what was recorded of the run afterwards, apart and marked as such; the sealed one does not.
What it shows of the folder is held against the digest that the record states for it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pytest_deploy.errors import RecordTampered
from pytest_deploy.pipeline.plan import PLANNED_DIFF
from pytest_deploy.record import stored_file
from pytest_deploy.record.countersigned import countersigned_overrides
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import (
    GatePassed,
    GateVerdict,
    RequestMade,
    RevisionDeployed,
    RunDecided,
    RunOpened,
    StepFinished,
    TrafficMoved,
    given,
)
from pytest_deploy.record.log_entry import parse_anchor
from pytest_deploy.reports.charts import response_times, sla_bars, timeline
from pytest_deploy.reports.page import render
from pytest_deploy.reports.run_summary import (
    OUTCOMES,
    RunSummary,
    StepSummary,
    describe_event,
    describe_outcome,
    summarize,
)
from pytest_deploy.reports.signatures import PostRun, deviations, manifest
from pytest_deploy.traceability import register
from pytest_deploy.traceability.matrix import FAILED, assertions

GATE_POINTS: Final[Mapping[str, str]] = {
    "plan": "Plan",
    "lease": "Lease",
    "preflight": "Preflight",
    "change": "First change",
}
"""The points where gates are checked, in order, and how a page heads them. Preflight checks again, inside the run, what was checked at the lease."""


@dataclass(frozen=True)
class SchemaDiff:
    """What a run did to the schema, or would have done."""

    what: str
    """applied: found by comparing before and after. planned: what the plan's dry run showed."""
    file: str
    """Path in the store."""
    sha256: str
    text: str
    """Its first lines; the file holds them all."""
    more: int
    """How many lines the file holds besides."""


@dataclass(frozen=True)
class PageFiles:
    """What a run's page shows besides its events."""

    request: Mapping[str, Any] | None = None
    """request.json, where the run has one."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Attachments that a page draws, by name."""
    diff: SchemaDiff | None = None
    plan: tuple[Event, ...] = ()
    """The events of the plan that made the request."""
    register: register.Register = field(default_factory=dict)
    """The requirements that the run was held against; empty where their text is not at hand, or none are named."""


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
    post_run, departed = PostRun(after or ()), deviations(summary)
    return render(
        "run.html",
        {
            "summary": summary,
            "never_opened": False,
            "opened": summary.opened,
            "heading": OUTCOMES[summary.outcome][0],
            "meaning": describe_outcome(summary),
            "phase_rows": timeline(summary),
            "sla_bars": sla_bars(summary),
            "counts": _counts(summary),
            "failed_steps": _failed_steps(summary),
            "deviations": departed,
            "overridden": list(
                dict.fromkeys(gate.gate for gate in summary.contents(GatePassed) if "override" in gate.inputs)
            ),
            "countersigned": countersigned_overrides(summary.events),
            "signatures": manifest(summary.events),
            "gates": gate_results(files.plan, summary.events),
            "gate_points": GATE_POINTS,
            "chronology": [(event, text) for event in summary.events if (text := describe_event(event)) is not None],
            "serving": next((moved.after for moved in reversed(summary.contents(TrafficMoved))), {}),
            "newest": next((made.revision for made in summary.contents(RevisionDeployed)), None),
            "planned_migrations": (files.request or {}).get("migrations", []),
            "schema_diff": files.diff,
            "response_times": response_times(summary, files.texts),
            "assertions": assertions(summary.steps, files.register),
            "registered": files.register,
            "after": after,
            "after_signatures": manifest(after or ()),
            "post_run": post_run,
            "accepted": sum(bool(post_run.acceptances(deviation.steps)) for deviation in departed),
            "opened_seq": summary.of("run.opened")[0].seq,
            "decided_seq": next((event.seq for event in summary.of("run.decided")), None),
            "checkpoint": parse_anchor(checkpoint),
        },
        running_foot=summary.run,
    )


def _failed_steps(summary: RunSummary) -> list[StepSummary]:
    """Those of a rollback first: where it failed, a person is needed."""
    failed = [step for step in summary.steps if step.outcome in FAILED]
    return sorted(failed, key=lambda step: step.phase != "rollback")


def _counts(summary: RunSummary) -> list[tuple[str, int]]:
    """How many steps ended how, most wanted first; outcomes that did not occur are left out but for passed."""
    counted = Counter(step.outcome for step in summary.steps)
    order = ("passed", "failed", "error", "skipped", "still-needed", "not-applicable", "unfinished", "not-run")
    return [(outcome, counted[outcome]) for outcome in order if counted[outcome] or outcome == "passed"]


@dataclass(frozen=True)
class GateResult:
    point: str
    """A key of GATE_POINTS."""
    event: Event
    content: GateVerdict

    @property
    def verdict(self) -> str:
        """One of the four results; `overridden` where it passed because people answered for it."""
        overridden = isinstance(self.content, GatePassed) and "override" in self.content.inputs
        return "overridden" if overridden else self.content.verdict


def gate_results(*runs: Sequence[Event]) -> Mapping[str, Sequence[GateResult]]:
    """Every verdict of each gate, in order. `runs`: the events of the plan that made a run's request, then the run's own."""
    results: dict[str, list[GateResult]] = {}
    for events in runs:
        opened_seq = next((event.seq for event in events if event.type == "run.opened"), math.inf)
        for event, verdict in of_type(events, GateVerdict):
            point = "preflight" if verdict.point == "lease" and event.seq > opened_seq else verdict.point
            results.setdefault(verdict.gate, []).append(GateResult(point, event, verdict))
    return results


# --- What a page shows of the run's folder.

APPLIED_DIFF: Final = "schema/diff.txt"
_SAMPLES: Final = "samples/"
_DIFF_LINES: Final = 1500
"""Lines of a diff that a page shows; the file holds the rest."""

RunEvents = Callable[[str], Sequence[Event]]
"""The events of any run of the same log, by its name."""


def page_files(folder: Path, events: Sequence[Event], of_run: RunEvents, *, root: Path | None = None) -> PageFiles:
    """Read what the page of a run shows besides its events. `folder`: runs/<run> of the store; `root`: a checkout.

    The register of requirements is the checkout's where it is the one the run was held against. A request was planned by another run, and a plan asks for another: their events come from `of_run`. Raises RecordTampered
    where a file is not what the record says of it, or is gone.
    """
    attached: dict[str, str] = {}
    for _, finished in of_type(events, StepFinished):
        attached |= finished.attachments
    texts = {name: _text(folder / name, sha256) for name, sha256 in attached.items() if name.startswith(_SAMPLES)}
    request = _request(folder, events) or _requested_by_plan(folder, events, of_run)
    plan = (request or {}).get("plan")
    # A plan's own page shows its events already.
    own = {event.run for event in events}
    planned = tuple(of_run(plan["run"])) if plan is not None and plan["run"] not in own else ()
    return PageFiles(request, texts, _schema_diff(folder, attached, plan), planned, _register(events, root))


def _register(events: Sequence[Event], root: Path | None) -> register.Register:
    digests = [opened.spec_sha256 for _, opened in of_type(events, RunOpened)]
    return register.of_checkout(root, digests[0]) if root is not None and digests and digests[0] else {}


def _request(folder: Path, events: Sequence[Event]) -> Mapping[str, Any] | None:
    for _, made in of_type(events, RequestMade):
        request: Mapping[str, Any] = json.loads(_text(folder / "request.json", made.request_sha256))
        return request
    return None


def _requested_by_plan(folder: Path, events: Sequence[Event], of_run: RunEvents) -> Mapping[str, Any] | None:
    """The request that a plan asks for; it lies in the folder of the run that people approve."""
    run = next((given(decided.request) for _, decided in of_type(events, RunDecided)), None)
    return None if run is None else _request(folder.parent / run, of_run(run))


def _schema_diff(folder: Path, attached: Mapping[str, str], plan: Mapping[str, Any] | None) -> SchemaDiff | None:
    """What was applied, else what was planned."""
    if APPLIED_DIFF in attached:
        what, path, sha256 = "applied", folder / APPLIED_DIFF, attached[APPLIED_DIFF]
    elif plan is not None:
        what, path, sha256 = "planned", folder.parent / plan["run"] / PLANNED_DIFF, plan["schema_diff_sha256"]
    else:
        return None
    lines = _text(path, sha256).splitlines()
    name = path.relative_to(path.parents[3]).as_posix()
    return SchemaDiff(what, name, sha256, "\n".join(lines[:_DIFF_LINES]), max(0, len(lines) - _DIFF_LINES))


def _text(path: Path, sha256: str) -> str:
    """The file's text. Raises RecordTampered where it is gone or another."""
    try:
        content = stored_file.read(path)
    except OSError as error:
        raise RecordTampered(f"{path} cannot be read, though the record names it: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise RecordTampered(f"{path} is not the file the record names: its SHA-256 is not {sha256}")
    return content.decode("utf-8", "replace")
