"""What departed from the plan, each with the event that says so: what QA reads first, and accepts or does not.

A deviation is no failure: a run may be deployed with some. What policy leaves out and what a good run needs not do (its rollback) are none.
Overrides are told apart: people passed over a gate, by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_deploy.pipeline.run import NOT_IN_POLICY
from pytest_deploy.pipeline.step import title_of
from pytest_deploy.record.event import Event
from pytest_deploy.reports.run_summary import RunStory
from pytest_deploy.record.plain_text import escape_hidden
from pytest_deploy.reports.wording import seconds

PLAN = "plan"


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


def deviations(story: RunStory) -> tuple[Deviation, ...]:
    """The deviations of a run, in the order of its events; steps that were not run count once a phase and cause."""
    found: list[Deviation] = []
    left: dict[tuple[str, str], list[Event]] = {}
    begun = False
    for event in story.events:
        begun |= event.type == "run.opened"
        if event.type == "step.not-run":
            left.setdefault((event.data["phase"], event.data["cause"]), []).append(event)
        elif begun:
            found += _of(event, story)
    for (phase, cause), events in left.items():
        if phase != "rollback" and cause != NOT_IN_POLICY:
            steps = "1 step" if len(events) == 1 else f"{len(events)} steps"
            nodeids = tuple(event.data["nodeid"] for event in events)
            found.append(Deviation("not run", escape_hidden(f"{phase}: {steps} not run: {cause}"), events[0].seq, nodeids))
    return tuple(sorted(found, key=lambda one: one.seq))


def overridden(events: Sequence[Event]) -> tuple[str, ...]:
    """The gates that somebody signed an override for, each once."""
    signed = (event.data.get("gate", "a gate") for event in events if event.type == "override.signed")
    return tuple(dict.fromkeys(signed))


def _of(event: Event, story: RunStory) -> Iterator[Deviation]:
    if event.type == "run.opened":
        yield from _opened(event)
    elif event.type == "step.finished":
        yield from _step(event)
    elif event.type == "gate.refused" and story.opened["pipeline"] == PLAN:
        return  # a plan asks what is still owed: a refusal is its answer
    elif (told := _TOLD.get(event.type)) is not None and (found := told(event.data)) is not None:
        yield _one(event, *found)


def _budget(data: Mapping[str, Any]) -> tuple[str, str] | None:
    if not data.get("budget_s") or data["duration_s"] <= data["budget_s"]:
        return None
    return "over budget", f"{data['phase']}: {data.get('cause') or seconds(data['duration_s'])}"


def _sla(data: Mapping[str, Any]) -> tuple[str, str] | None:
    if data["sla_s"] is None or data["duration_s"] <= data["sla_s"]:
        return None
    return "over the SLA", f"took {seconds(data['duration_s'])}, policy allows {seconds(data['sla_s'])}"


def _recovered(data: Mapping[str, Any]) -> tuple[str, str] | None:
    if not data.get("recovers"):
        return None
    return "recovered", f"its process was gone; {data['holder']} finished what it had begun"


_TOLD: Mapping[str, Callable[[Mapping[str, Any]], tuple[str, str] | None]] = {
    "gate.refused": lambda data: ("gate refused", f"{data['gate']}: {data['reason']}"),
    "phase.finished": _budget,
    "alert.raised": lambda data: ("alert", f"{data['alert']}: {data['detail']}"),
    "clock.skewed": lambda data: ("clock", f"{data['skew_s']} s off, by {data['source']}"),
    "approval.refused": lambda data: ("signature refused", data["reason"]),
    "lease.taken": _recovered,
    "rollback.started": lambda data: ("rolled back", data["cause"]),
    "run.decided": _sla,
}


def _opened(event: Event) -> Iterator[Deviation]:
    if event.data["dirty"]:
        what = "the tree differed from the commit: it cannot be made again from it alone"
        yield _one(event, "uncommitted changes", what, key="dirty")
    for key, value in event.data.get("sets", {}).items():
        yield _one(event, "setting changed", f"{key}={value} for this run", key="sets")


def _step(event: Event) -> Iterator[Deviation]:
    data = event.data
    title = f"{data['phase']}, {title_of(data['nodeid'])}"
    if data["outcome"] != "passed":
        because = (data["message"] or "").strip().splitlines()[:1]
        yield _one(event, f"step {data['outcome']}", ": ".join([title, *because]), (data["nodeid"],))
    if data["attempts"] > 1:
        yield _one(event, "repeated", f"{title}: needed {data['attempts']} attempts")
    for warning in data["warnings"]:
        yield _one(event, "warning", f"{title}: {warning}")


def _one(event: Event, kind: str, text: str, steps: tuple[str, ...] = (), *, key: str = "") -> Deviation:
    return Deviation(kind, escape_hidden(text), event.seq, steps, key)
