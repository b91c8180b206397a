"""What departed from the plan, each with the event that says so: what QA reads first, and accepts or does not.

A deviation is no failure: a run may be deployed with some. What policy leaves out and what a good run needs not do (its
rollback) are none. Overrides are apart: people answered for a gate, by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytest_deploy.pipeline.run import NOT_IN_POLICY
from pytest_deploy.pipeline.steps_lock import title_of
from pytest_deploy.record.event import Event
from pytest_deploy.record.plain_text import escape_hidden
from pytest_deploy.reports.format import seconds
from pytest_deploy.reports.run_summary import RunSummary


@dataclass(frozen=True)
class Deviation:
    """One thing that was not as planned."""

    kind: str
    text: str
    seq: int
    """The event that says so."""
    steps: tuple[str, ...] = ()
    """The node ids whose ending it tells: what a person names who accepts it. A warning or a repetition is no ending."""
    key: str = ""
    """The key of the event that says it, where the event says much else."""


def deviations(summary: RunSummary) -> tuple[Deviation, ...]:
    """The deviations of a run, in the order of its events; steps that were not run count once a phase and cause."""
    departed: list[Deviation] = []
    not_run: dict[tuple[str, str], list[Event]] = {}
    opened = False
    for event in summary.events:
        opened |= event.type == "run.opened"
        if event.type == "step.not-run":
            not_run.setdefault((event.data["phase"], event.data["cause"]), []).append(event)
        elif opened:
            departed += _of_event(event, summary)
    for (phase, cause), events in not_run.items():
        if phase != "rollback" and cause != NOT_IN_POLICY:
            steps = "1 step" if len(events) == 1 else f"{len(events)} steps"
            nodeids = tuple(event.data["nodeid"] for event in events)
            departed.append(
                Deviation("not run", escape_hidden(f"{phase}: {steps} not run: {cause}"), events[0].seq, nodeids)
            )
    return tuple(sorted(departed, key=lambda one: one.seq))


def overridden_gates(events: Sequence[Event]) -> tuple[str, ...]:
    """The gates that somebody signed an override for, each once."""
    signed = (event.data.get("gate", "a gate") for event in events if event.type == "override.signed")
    return tuple(dict.fromkeys(signed))


def _of_event(event: Event, summary: RunSummary) -> Iterator[Deviation]:
    if event.type == "run.opened":
        yield from _of_opening(event)
    elif event.type == "step.finished":
        yield from _of_step(event)
    elif event.type == "gate.refused" and summary.opened["pipeline"] == "plan":
        return  # a plan asks what is still needed: a refusal is its answer
    elif (describe := _KINDS.get(event.type)) is not None and (departure := describe(event.data)) is not None:
        yield _deviation(event, *departure)


def _over_budget(data: Mapping[str, Any]) -> tuple[str, str] | None:
    if not data.get("budget_s") or data["duration_s"] <= data["budget_s"]:
        return None
    return "over budget", f"{data['phase']}: {data.get('cause') or seconds(data['duration_s'])}"


def _over_sla(data: Mapping[str, Any]) -> tuple[str, str] | None:
    if data["sla_s"] is None or data["duration_s"] <= data["sla_s"]:
        return None
    return "over the SLA", f"took {seconds(data['duration_s'])}, policy allows {seconds(data['sla_s'])}"


def _recovered(data: Mapping[str, Any]) -> tuple[str, str] | None:
    if not data.get("recovers"):
        return None
    return "recovered", f"its process was gone; {data['holder']} finished what it had begun"


_KINDS: Final[Mapping[str, Callable[[Mapping[str, Any]], tuple[str, str] | None]]] = {
    "gate.refused": lambda data: ("gate refused", f"{data['gate']}: {data['reason']}"),
    "phase.finished": _over_budget,
    "alert.raised": lambda data: ("alert", f"{data['alert']}: {data['detail']}"),
    "clock.skewed": lambda data: ("clock", f"{data['skew_s']} s off, by {data['source']}"),
    "approval.refused": lambda data: ("signature refused", data["reason"]),
    "lease.taken": _recovered,
    "rollback.started": lambda data: ("rolled back", data["cause"]),
    "run.decided": _over_sla,
}
"""By event type: the deviation's kind and text, or None where the event tells of none."""


def _of_opening(event: Event) -> Iterator[Deviation]:
    if event.data["dirty"]:
        what = "the tree differed from the commit: it cannot be made again from it alone"
        yield _deviation(event, "uncommitted changes", what, key="dirty")
    for key, value in event.data.get("sets", {}).items():
        yield _deviation(event, "setting changed", f"{key}={value} for this run", key="sets")


def _of_step(event: Event) -> Iterator[Deviation]:
    data = event.data
    title = f"{data['phase']}, {title_of(data['nodeid'])}"
    if data["outcome"] != "passed":
        first_line = (data["message"] or "").strip().splitlines()[:1]
        yield _deviation(event, f"step {data['outcome']}", ": ".join([title, *first_line]), (data["nodeid"],))
    if data["attempts"] > 1:
        yield _deviation(event, "repeated", f"{title}: needed {data['attempts']} attempts")
    for warning in data["warnings"]:
        yield _deviation(event, "warning", f"{title}: {warning}")


def _deviation(event: Event, kind: str, text: str, steps: tuple[str, ...] = (), *, key: str = "") -> Deviation:
    return Deviation(kind, escape_hidden(text), event.seq, steps, key)
