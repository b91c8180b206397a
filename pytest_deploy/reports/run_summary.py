"""A run as its events state it: phases, steps and facts in order, and each event in a sentence. Pure: events in, values out.

Nothing here is computed that an event does not state, but counts, differences of times and words for what it states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from pytest_deploy.pipeline.steps_lock import title_of
from pytest_deploy.policy.phases import PHASES
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import (
    UNSET,
    AnchorMade,
    ApprovalRefused,
    ApprovalSigned,
    BackupCreated,
    EventContent,
    GateRefused,
    LeaseTaken,
    MigrationApplied,
    MigrationRolledBack,
    OverrideSigned,
    PhaseFinished,
    PhaseStarted,
    RecordRead,
    RequestMade,
    RevisionDeployed,
    RollbackFinished,
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
    """One step."""

    nodeid: str
    phase: str
    title: str
    outcome: str
    """passed, failed, error, skipped; not-run; unfinished."""
    changes: bool
    started: datetime | None = None
    """UTC; None where it never began."""
    duration_s: float | None = None
    verifies: tuple[str, ...] = ()
    attempts: int = 0
    message: str = ""
    expected: Any = None
    actual: Any = None
    warnings: tuple[str, ...] = ()
    attachments: Mapping[str, str] | None = None
    """Name -> SHA-256."""
    cause: str = ""
    """Why it was not run."""
    measured: Mapping[str, Any] | None = None
    """How fast the environment answered it, as pipeline/timings.py records it."""
    ended_by: int | None = None
    """The position of the event that says how it ended; None where none does."""

    @property
    def watched_s(self) -> float:
        """Seconds it watched over what serves."""
        return float((self.measured or {}).get("watch_s", 0.0))


@dataclass(frozen=True)
class PhaseSummary:
    """One phase with its steps, in order of their beginning; those not run last."""

    name: str
    outcome: str
    steps: tuple[StepSummary, ...]
    started: datetime | None = None
    duration_s: float | None = None
    cause: str = ""

    @property
    def watched_s(self) -> float:
        """Seconds of it that were a watch."""
        return sum(step.watched_s for step in self.steps)

    @property
    def unwatched_s(self) -> float | None:
        """How long it lasted without the watch."""
        return None if self.duration_s is None else max(0.0, self.duration_s - self.watched_s)


@dataclass(frozen=True)
class RunSummary:
    """One run."""

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
        """From `began` to `ended`."""
        return (self.ended - self.began).total_seconds()

    @property
    def steps(self) -> tuple[StepSummary, ...]:
        """Every step of every phase."""
        return tuple(step for phase in self.phases for step in phase.steps)

    @property
    def image(self) -> str | None:
        """The artefact the run is about: approved, built, or found serving; None where no event names one."""
        named = [
            self.opened.image,
            *(
                given(event.content.image)
                for event in self.events
                if isinstance(event.content, RequestMade | StepFinished)
            ),
            (given(self.opened.target) or {}).get("image"),
        ]
        return next((image for image in named if image), None)

    @property
    def watched_s(self) -> float:
        """Seconds of the run that were a watch over what serves."""
        return sum(phase.watched_s for phase in self.phases)

    @property
    def unwatched_s(self) -> float:
        """How long the run lasted without the watch."""
        return max(0.0, self.seconds - self.watched_s)

    def of(self, *types: str) -> tuple[Event, ...]:
        """Its events of these types, in order."""
        return tuple(event for event in self.events if event.type in types)

    def contents(self, content_type: type[ContentT]) -> tuple[ContentT, ...]:
        """The content of its events of one type, in order."""
        return tuple(event.content for event in self.events if isinstance(event.content, content_type))


def summarize(events: Sequence[Event]) -> RunSummary:
    """One run from its own events. Raises ValueError where none of them opens the run."""
    opened = next((event for event in events if event.type == "run.opened"), None)
    if opened is None or not isinstance(opened.content, RunOpened):
        raise ValueError("no run.opened among the events: there is no run to tell of")
    ended, decided = events[-1].time, None
    for event in events:
        if isinstance(event.content, RunDecided):
            ended, decided = event.time, event.content
            break
    took = timedelta(seconds=decided.duration_s) if decided is not None else ended - events[0].time
    return RunSummary(
        run=opened.run,
        opened=opened.content,
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
                phases[name] = PhaseSummary(name, UNFINISHED, (), started=event.time)
            case PhaseFinished(phase=name) as finished:
                begun = phases.get(name, PhaseSummary(name, UNFINISHED, ()))
                cause = given(finished.cause) or ""
                phases[name] = replace(begun, outcome=finished.outcome, duration_s=finished.duration_s, cause=cause)
    for step in steps:
        phases.setdefault(step.phase, PhaseSummary(step.phase, NOT_RUN, ()))
    order = list(PHASES)
    known = sorted((name for name in phases if name in PHASES), key=order.index)
    names = [*known, *(name for name in phases if name not in PHASES)]
    return tuple(replace(phases[name], steps=tuple(step for step in steps if step.phase == name)) for name in names)


def _steps(events: Sequence[Event]) -> tuple[StepSummary, ...]:
    steps: dict[str, StepSummary] = {}
    for event in events:
        match event.content:
            case StepStarted(nodeid=nodeid) as begun:
                title = given(begun.title) or title_of(nodeid)
                steps[nodeid] = StepSummary(nodeid, begun.phase, title, UNFINISHED, begun.changes, started=event.time)
            case StepFinished(nodeid=nodeid) as finished:
                steps[nodeid] = _finished(steps.get(nodeid), finished, event.seq)
            case StepNotRun(nodeid=nodeid) as not_run:
                steps[nodeid] = StepSummary(
                    nodeid=nodeid,
                    phase=not_run.phase,
                    title=given(not_run.title) or title_of(nodeid),
                    outcome=NOT_RUN,
                    changes=bool(given(not_run.changes)),
                    verifies=tuple(given(not_run.verifies, ())),
                    cause=not_run.cause,
                    ended_by=event.seq,
                )
    return tuple(steps.values())


def _finished(begun: StepSummary | None, finished: StepFinished, seq: int) -> StepSummary:
    title = title_of(finished.nodeid)
    begun = begun or StepSummary(finished.nodeid, finished.phase, title, UNFINISHED, changes=False)
    return replace(
        begun,
        phase=finished.phase,
        title=given(finished.title) or begun.title,
        outcome=finished.outcome,
        duration_s=finished.duration_s,
        verifies=tuple(finished.verifies),
        attempts=finished.attempts,
        message=finished.message or "",
        expected=finished.expected,
        actual=finished.actual,
        warnings=tuple(map(str, finished.warnings)),
        attachments=finished.attachments,
        measured=given(finished.measured),
        ended_by=seq,
    )


OUTCOME_HEADINGS: Final[Mapping[str, str]] = {
    "deployed": "Deployed",
    "refused": "Refused",
    "failed": "Failed, nothing was changed",
    "rolled-back": "Rolled back",
    "rollback-failed": "Rollback failed",
    "passed": "Passed",
    "not-passed": "Not passed",
    "abandoned": "Abandoned",
    "in progress": "In progress",
}
"""The outcome of a run as its heading says it."""
_OUTCOME_MEANINGS: Final[Mapping[str, str]] = {
    "deployed": "{release} serves in {environment}.",
    "refused": "{release} was not deployed to {environment}: it may not go now. Nothing was changed.",
    "failed": "{release} was not deployed to {environment}. Nothing had been changed.",
    "rolled-back": "{release} was not kept in {environment}: what had been changed was undone. {now}",
    "rollback-failed": "{release} failed in {environment}, and undoing it failed too. A person is needed.",
    "passed": "{pipeline} of {release} in {environment}: every step passed.",
    "not-passed": "{pipeline} of {release} in {environment}: not every step passed.",
    "": "The events end before the run was decided.",
}

_PIPELINE_NAMES: Final = {"iq": "IQ", "oq": "OQ", "pq": "PQ"}


def describe_outcome(summary: RunSummary) -> str:
    """What the outcome of a run means, in one or two sentences."""
    started = summary.contents(RollbackStarted)
    target = started[-1].target if started else None
    nothing = target in {None, "none"}
    now = (
        "No release had been deployed before; none serves now." if nothing else f"{escape_hidden(target)} serves again."
    )
    pipeline = summary.opened.pipeline
    return _OUTCOME_MEANINGS[summary.decided.outcome if summary.decided is not None else ""].format(
        release=f"Release {summary.opened.version}",
        environment=summary.opened.environment,
        pipeline=_PIPELINE_NAMES.get(pipeline, pipeline.capitalize()),
        now=now,
    )


_NOT_DESCRIBED: Final = frozenset(
    {"run.planned", "phase.started", "step.started", "step.not-run", "lease.renewed", "gate.passed"}
)
"""The phase, or a table of its own, says enough of these."""


def describe_event(event: Event) -> str | None:
    """The event in one sentence; None where its phase, or a table of its own, says enough."""
    if event.type in _NOT_DESCRIBED or (isinstance(event.content, StepFinished) and event.content.outcome == "passed"):
        return None
    return escape_hidden(_sentence(event.content))


def _sentence(content: EventContent) -> str:  # noqa: C901, PLR0912 -- one case a type
    match content:
        case RequestMade():
            text = f"Request made by {content.requested_by}, SHA-256 {content.request_sha256[:16]}…"
        case LeaseTaken():
            text = f"Lease {content.name} taken by {content.holder}"
        case RunOpened():
            text = f"Run opened by {content.deployer}: {content.pipeline} of {content.version}"
        case GateRefused():
            text = f"Gate {content.gate} refused: {content.reason}"
        case ApprovalSigned():
            text = f"Signed by {content.signer} as {content.role}: {content.meaning}"
        case ApprovalRefused():
            text = f"A signature was refused: {content.reason}"
        case OverrideSigned():
            text = f"Override signed by {content.signer}: {content.reason}"
        case BackupCreated():
            text = f"Backup {content.kind} made, {content.bytes} bytes"
        case MigrationApplied():
            text = f"Migration {content.version} applied in {seconds(content.duration_s)}"
        case MigrationRolledBack():
            text = f"Migration {content.version} rolled back in {seconds(content.duration_s)}"
        case RevisionDeployed():
            text = f"Revision {content.revision} made, no traffic yet"
        case TrafficMoved():
            text = f"Traffic moved: {_traffic(content.after)}; before: {_traffic(content.before)}"
        case RollbackStarted():
            text = f"Rollback started, back to {content.target or 'none'}: {content.cause}"
        case RollbackFinished():
            text = f"Rollback finished in {seconds(content.duration_s)}: {content.outcome}"
        case PhaseFinished():
            text = f"Phase {content.phase}: {content.outcome} in {seconds(content.duration_s)}"
        case StepFinished():
            text = f"Step {content.outcome} in {content.phase}: {title_of(content.nodeid)}"
        case AnchorMade():
            place = given(content.place)
            text = f"Anchored at {content.size} events: {content.kind}" + (f", {place}" if place else "")
        case RecordRead():
            purpose = given(content.purpose)
            text = f"Read by {content.reader}" + (f": {purpose}" if purpose else "")
        case RunDecided():
            text = f"Decided: {content.outcome}" + (f", {content.cause}" if content.cause else "")
        case _:
            stated = (given(getattr(content, key, UNSET)) for key in ("detail", "reason", "cause"))
            reason = next((value for value in stated if value), "")
            text = content.type.replace(".", " ").capitalize() + (f": {reason}" if reason else "")
    return text


def _traffic(shares: Mapping[str, Any]) -> str:
    texts = (f"{escape_hidden(revision)} {escape_hidden(percent)} %" for revision, percent in shares.items())
    return ", ".join(texts) or "nothing"
