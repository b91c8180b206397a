"""A run as its events state it: phases, steps and facts in order, and each event in a sentence. Pure: events in, values out.

Nothing here is computed that an event does not state, but counts, differences of times and words for what it states.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from msgspec.structs import asdict

from pytest_deploy.pipeline.steps_lock import title_of
from pytest_deploy.policy.phases import PHASES
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import (
    UNSET,
    AnchorMade,
    EventContent,
    GateRefused,
    PhaseFinished,
    PhaseStarted,
    RecordRead,
    RequestMade,
    RollbackStarted,
    RunDecided,
    RunOpened,
    StepFinished,
    StepNotRun,
    StepStarted,
    TrafficMoved,
    given,
)
from pytest_deploy.record.plain_text import escape_hidden
from pytest_deploy.reports.format import seconds
from pytest_deploy.traceability.matrix import NOT_RUN

ContentT = TypeVar("ContentT", bound=EventContent)

UNFINISHED: Final = "unfinished"
"""The outcome of what began and whose end is not in these events."""


@dataclass(frozen=True)
class StepSummary:
    nodeid: str
    phase: str
    title: str
    outcome: str = UNFINISHED
    """passed, failed, error, skipped, still-needed, not-applicable; not-run; unfinished."""
    changes: bool = False
    started: datetime | None = None
    """UTC; None where it never began."""
    duration_s: float | None = None
    verifies: Sequence[str] = ()
    """The assertions that it exercised."""
    claims: Sequence[str] = ()
    """The assertions that it can exercise."""
    attempts: int = 0
    message: str = ""
    expected: Any = None
    actual: Any = None
    warnings: Sequence[Any] = ()
    attachments: Mapping[str, str] | None = None
    """Name -> SHA-256."""
    cause: str = ""
    """Why it was not run."""
    measured: Mapping[str, Any] | None = None
    """How fast the environment answered it, as pipeline/timings.py records it."""
    ended_by: int | None = None
    """The position of the event that says how it ended; None where none does."""

    @property
    def anchor(self) -> str:
        """Of its row in a page."""
        return f"step-{hashlib.sha256(self.nodeid.encode()).hexdigest()[:8]}"

    @property
    def watched_s(self) -> float:
        """Seconds it watched over what serves."""
        return float((self.measured or {}).get("watch_s", 0.0))


@dataclass(frozen=True)
class PhaseSummary:
    """One phase with its steps, in order of their beginning; those not run last."""

    name: str
    outcome: str = UNFINISHED
    steps: tuple[StepSummary, ...] = ()
    started: datetime | None = None
    duration_s: float | None = None
    cause: str = ""

    @property
    def watched_s(self) -> float:
        """Seconds of it that were a watch."""
        return sum(step.watched_s for step in self.steps)

    @property
    def unwatched_s(self) -> float | None:
        return None if self.duration_s is None else max(0.0, self.duration_s - self.watched_s)


@dataclass(frozen=True)
class RunSummary:
    run: str
    opened: RunOpened
    decided: RunDecided | None
    """None where the events end before it."""
    began: datetime
    """UTC; what the duration counts from."""
    ended: datetime
    """UTC; of `run.decided`, or of the last event."""
    phases: tuple[PhaseSummary, ...]
    events: tuple[Event, ...]

    @property
    def outcome(self) -> str:
        """As decided; `abandoned`, or `in progress` where no event decides it."""
        if self.decided is not None:
            return self.decided.outcome
        return "abandoned" if self.of("run.abandoned") else "in progress"

    @property
    def seconds(self) -> float:
        return (self.ended - self.began).total_seconds()

    @property
    def steps(self) -> tuple[StepSummary, ...]:
        return tuple(step for phase in self.phases for step in phase.steps)

    @property
    def image(self) -> str | None:
        """The artefact the run is about: approved, built, or found serving; None where no event names one."""
        by_events = (e.content.image for e in self.events if isinstance(e.content, RequestMade | StepFinished))
        named = (self.opened.image, *map(given, by_events), (given(self.opened.target) or {}).get("image"))
        return next((image for image in named if image), None)

    @property
    def watched_s(self) -> float:
        """Seconds of the run that were a watch over what serves."""
        return sum(phase.watched_s for phase in self.phases)

    @property
    def unwatched_s(self) -> float:
        return max(0.0, self.seconds - self.watched_s)

    def of(self, *types: str) -> tuple[Event, ...]:
        return tuple(event for event in self.events if event.type in types)

    def contents(self, content_type: type[ContentT]) -> tuple[ContentT, ...]:
        return tuple(content for _, content in of_type(self.events, content_type))


def summarize(events: Sequence[Event]) -> RunSummary:
    """One run from its own events. Raises ValueError where none of them opens the run."""
    opening = next(of_type(events, RunOpened), None)
    if opening is None:
        raise ValueError("no run.opened among the events: there is no run to tell of")
    decision = next(of_type(events, RunDecided), None)
    ended, decided = (decision[0].time, decision[1]) if decision is not None else (events[-1].time, None)
    took = timedelta(seconds=decided.duration_s) if decided is not None else ended - events[0].time
    return RunSummary(
        run=opening[0].run,
        opened=opening[1],
        decided=decided,
        began=ended - took,
        ended=ended,
        phases=_phases(events),
        events=tuple(events),
    )


def _phases(events: Sequence[Event]) -> tuple[PhaseSummary, ...]:
    steps = _steps(events)
    phases: dict[str, PhaseSummary] = {}
    for event in events:
        match event.content:
            case PhaseStarted(phase=name):
                phases[name] = PhaseSummary(name, started=event.time)
            case PhaseFinished(phase=name, outcome=outcome, duration_s=took) as finished:
                begun = phases.get(name, PhaseSummary(name))
                cause = given(finished.cause) or ""
                phases[name] = replace(begun, outcome=outcome, duration_s=took, cause=cause)
    for step in steps:
        phases.setdefault(step.phase, PhaseSummary(step.phase, NOT_RUN))
    names = [*(name for name in PHASES if name in phases), *(name for name in phases if name not in PHASES)]
    return tuple(replace(phases[name], steps=tuple(step for step in steps if step.phase == name)) for name in names)


def _steps(events: Sequence[Event]) -> tuple[StepSummary, ...]:
    """Each step as its last event leaves it: what an event states of it replaces what one before it did."""
    steps: dict[str, dict[str, Any]] = {}
    for event in events:
        if isinstance(content := event.content, StepStarted | StepFinished | StepNotRun):
            step = steps.setdefault(content.nodeid, {"title": title_of(content.nodeid)})
            stated = asdict(content)
            step |= {name: stated[name] for name in _OF_STEP & stated.keys() if given(stated[name]) is not None}
            step |= {"started": event.time} if isinstance(content, StepStarted) else {"ended_by": event.seq}
            if isinstance(content, StepNotRun):
                step["outcome"] = NOT_RUN
    return tuple(StepSummary(**step) for step in steps.values())


_OF_STEP: Final = frozenset(field.name for field in fields(StepSummary))


OUTCOMES: Final[Mapping[str, tuple[str, str]]] = {
    "deployed": ("Deployed", "{release} serves in {environment}."),
    "refused": ("Refused", "{release} was not deployed to {environment}: it may not go now. Nothing was changed."),
    "failed": ("Failed, nothing was changed", "{release} was not deployed to {environment}. Nothing had been changed."),
    "rolled-back": ("Rolled back", "{release} was not kept in {environment}: what had been changed was undone. {now}"),
    "rollback-failed": (
        "Rollback failed",
        "{release} failed in {environment}, and undoing it failed too. A person is needed.",
    ),
    "still-needed": ("Still needed", "{pipeline} of {release} in {environment}: {steps}."),
    "passed": ("Passed", "{pipeline} of {release} in {environment}: {steps}."),
    "not-passed": ("Not passed", "{pipeline} of {release} in {environment}: not every step passed."),
    "voided": (
        "Request void",
        "{release} was not deployed to {environment}: what was approved is not what would run now. Nothing was changed.",
    ),
    "abandoned": ("Abandoned", "The events end before the run was decided."),
    "in progress": ("In progress", "The events end before the run was decided."),
}
"""The outcome of a run as its heading says it, and what it means."""

_BY_HAND: Final[Mapping[str, str]] = {
    "refused": "{environment} did not go back to {release}: it may not now. Nothing was changed.",
    "failed": "{environment} did not go back to {release}. Nothing had been changed.",
    "rolled-back": "{environment} went back to {release}, as was asked. {now}",
    "rollback-failed": "{environment} was to go back to {release}, and that failed. A person is needed.",
}
"""What the outcome of a rollback that somebody asked for means."""


def describe_outcome(summary: RunSummary) -> str:
    started = summary.contents(RollbackStarted)
    target = started[-1].target if started else None
    now = f"{escape_hidden(target)} serves again."
    if target in {None, "none"}:
        now = "No release had been deployed before; none serves now."
    pipeline = summary.opened.pipeline
    counted = Counter(step.outcome for step in summary.steps)
    neither = [f"{counted[end]} {end.replace('-', ' ')}" for end in ("still-needed", "not-applicable") if counted[end]]
    meaning = _BY_HAND.get(summary.outcome) if pipeline == "rollback" else None
    return (meaning or OUTCOMES[summary.outcome][1]).format(
        release=f"Release {summary.opened.version}",
        environment=summary.opened.environment,
        pipeline=pipeline.upper() if pipeline in {"iq", "oq", "pq"} else pipeline.capitalize(),
        now=now,
        steps=f"no step failed; {', '.join(neither)}" if neither else "every step passed",
    )


_NOT_DESCRIBED: Final = frozenset(
    {
        "run.planned",
        "phase.started",
        "step.started",
        "step.not-run",
        "lease.renewed",
        "gate.passed",
        "gate.not-applicable",
    }
)
"""The phase, or a table of its own, says enough of these."""
_SENTENCES: Final[Mapping[str, str]] = {
    "approval.refused": "A signature was refused: {of.reason}",
    "approval.signed": "Signed by {of.signer} as {of.role}: {of.meaning}",
    "backup.created": "Backup {of.kind} made, {of.bytes} bytes",
    "lease.taken": "Lease {of.name} taken by {of.holder}",
    "migration.applied": "Migration {of.version} applied in {took}",
    "migration.rolled-back": "Migration {of.version} rolled back in {took}",
    "override.signed": "Override signed by {of.signer}: {of.reason}",
    "request.rejected": "Request rejected by {of.signer} as {of.role}: {of.reason}",
    "request.made": "Request made by {of.requested_by}, SHA-256 {of.request_sha256:.16}…",
    "revision.deployed": "Revision {of.revision} made, no traffic yet",
    "rollback.finished": "Rollback finished in {took}: {of.outcome}",
    "run.opened": "Run opened by {of.deployer}: {of.pipeline} of {of.version}",
}
"""`of`: the event's content. `took`: how long it says it lasted."""


def describe_event(event: Event) -> str | None:
    """The event in one sentence; None where its phase, or a table of its own, says enough."""
    ordinary = isinstance(event.content, StepFinished) and event.content.outcome in {"passed", "not-applicable"}
    if event.type in _NOT_DESCRIBED or ordinary:
        return None
    return escape_hidden(_sentence(event.content))


def _sentence(content: EventContent) -> str:  # noqa: PLR0911 -- one case a type
    match content:
        case TrafficMoved(after=after, before=before):
            return f"Traffic moved: {_traffic(after)}; before: {_traffic(before)}"
        case RollbackStarted(target=target, cause=cause):
            return f"Rollback started, back to {target or 'none'}: {cause}"
        case StepFinished(outcome=outcome, phase=phase, nodeid=nodeid):
            return f"Step {outcome} in {phase}: {title_of(nodeid)}"
        case AnchorMade(place=place):
            return f"Anchored at {content.size} events: {content.kind}" + (f", {place}" if place else "")
        case RecordRead(purpose=purpose):
            return f"Read by {content.reader}" + (f": {purpose}" if purpose else "")
        case PhaseFinished(phase=phase, outcome=ended):
            return f"Phase {phase}: {ended.replace('-', ' ')} in {seconds(content.duration_s)}"
        case GateRefused(gate=gate, verdict=verdict, reason=reason):
            return f"Gate {gate} {verdict.replace('-', ' ')}: {reason}"
        case RunDecided(cause=why):
            return f"Decided: {content.outcome}" + (f", {why}" if why else "")
    if template := _SENTENCES.get(content.type):
        return template.format(of=content, took=seconds(given(getattr(content, "duration_s", UNSET))))
    stated = (given(getattr(content, key, UNSET)) for key in ("detail", "reason", "cause"))
    reason = next((value for value in stated if value), "")
    return content.type.replace(".", " ").capitalize() + (f": {reason}" if reason else "")


def _traffic(shares: Mapping[str, Any]) -> str:
    texts = (f"{escape_hidden(revision)} {escape_hidden(percent)} %" for revision, percent in shares.items())
    return ", ".join(texts) or "nothing"
