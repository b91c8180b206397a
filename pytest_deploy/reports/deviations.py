"""What departed from the plan, each with the event that says so: what QA reads first, and accepts or does not.

A deviation is no failure: a run may be deployed with some. What policy leaves out and what a good run needs not do (its
rollback) are none. Overrides are apart: people answered for a gate, by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_deploy.pipeline.run import NOT_IN_POLICY
from pytest_deploy.pipeline.steps_lock import title_of
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import (
    AlertRaised,
    ApprovalRefused,
    ClockSkewed,
    GateRefused,
    LeaseTaken,
    OverrideSigned,
    PhaseFinished,
    RollbackStarted,
    RunDecided,
    RunOpened,
    StepFinished,
    StepNotRun,
    given,
)
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
    not_run: dict[tuple[str, str], list[tuple[int, str]]] = {}
    opened = False
    for event in summary.events:
        opened |= event.type == "run.opened"
        if isinstance(event.content, StepNotRun):
            not_run.setdefault((event.content.phase, event.content.cause), []).append((event.seq, event.content.nodeid))
        elif opened:
            departed += _of_event(event, summary)
    for (phase, cause), steps in not_run.items():
        if phase != "rollback" and cause != NOT_IN_POLICY:
            number = "1 step" if len(steps) == 1 else f"{len(steps)} steps"
            text = escape_hidden(f"{phase}: {number} not run: {cause}")
            departed.append(Deviation("not run", text, steps[0][0], tuple(nodeid for _, nodeid in steps)))
    return tuple(sorted(departed, key=lambda one: one.seq))


def overridden_gates(events: Sequence[Event]) -> tuple[str, ...]:
    """The gates that somebody signed an override for, each once."""
    overrides = (event.content for event in events if isinstance(event.content, OverrideSigned))
    return tuple(dict.fromkeys(given(override.gate, "a gate") for override in overrides))


def _of_event(event: Event, summary: RunSummary) -> Iterator[Deviation]:  # noqa: C901 -- one case a type
    match event.content:
        case RunOpened() as opened:
            yield from _of_opening(event, opened)
        case StepFinished() as finished:
            yield from _of_step(event, finished)
        case GateRefused(gate=gate, reason=reason):
            if summary.opened.pipeline != "plan":  # a plan asks what is still needed: a refusal is its answer
                yield _deviation(event, "gate refused", f"{gate}: {reason}")
        case PhaseFinished(phase=phase, duration_s=duration_s) as ended:
            budget_s = given(ended.budget_s)
            if budget_s and duration_s > budget_s:
                yield _deviation(event, "over budget", f"{phase}: {given(ended.cause) or seconds(duration_s)}")
        case AlertRaised(alert=alert, detail=detail):
            yield _deviation(event, "alert", f"{alert}: {detail}")
        case ClockSkewed(skew_s=skew_s, source=source):
            yield _deviation(event, "clock", f"{skew_s} s off, by {source}")
        case ApprovalRefused(reason=reason):
            yield _deviation(event, "signature refused", reason)
        case LeaseTaken(recovers=True, holder=holder):
            yield _deviation(event, "recovered", f"its process was gone; {holder} finished what it had begun")
        case RollbackStarted(cause=cause):
            yield _deviation(event, "rolled back", cause)
        case RunDecided(duration_s=duration_s, sla_s=sla_s) if sla_s is not None and duration_s > sla_s:
            text = f"took {seconds(duration_s)}, policy allows {seconds(sla_s)}"
            yield _deviation(event, "over the SLA", text)


def _of_opening(event: Event, opened: RunOpened) -> Iterator[Deviation]:
    if opened.dirty:
        what = "the tree differed from the commit: it cannot be made again from it alone"
        yield _deviation(event, "uncommitted changes", what, key="dirty")
    for key, value in given(opened.sets, {}).items():
        yield _deviation(event, "setting changed", f"{key}={value} for this run", key="sets")


def _of_step(event: Event, finished: StepFinished) -> Iterator[Deviation]:
    title = f"{finished.phase}, {title_of(finished.nodeid)}"
    if finished.outcome != "passed":
        first_line = (finished.message or "").strip().splitlines()[:1]
        yield _deviation(event, f"step {finished.outcome}", ": ".join([title, *first_line]), (finished.nodeid,))
    if finished.attempts > 1:
        yield _deviation(event, "repeated", f"{title}: needed {finished.attempts} attempts")
    for warning in finished.warnings:
        yield _deviation(event, "warning", f"{title}: {warning}")


def _deviation(event: Event, kind: str, text: str, steps: tuple[str, ...] = (), *, key: str = "") -> Deviation:
    return Deviation(kind, escape_hidden(text), event.seq, steps, key)
