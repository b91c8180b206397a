"""A run as its events state it: phases, steps and facts in order, and each event in a sentence. Pure: events in, values out.

Nothing here is computed that an event does not state, but counts, differences of times and words for what it states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from pytest_deploy.pipeline.steps_lock import title_of
from pytest_deploy.policy.phases import PHASES
from pytest_deploy.record.event import Event
from pytest_deploy.record.plain_text import escape_hidden
from pytest_deploy.reports.format import seconds
from pytest_deploy.traceability.matrix import NOT_RUN

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
    opened: Mapping[str, Any]
    """`run.opened`'s data."""
    decided: Mapping[str, Any]
    """`run.decided`'s data; empty where the events end before it."""
    began: datetime
    """UTC; what the duration counts from."""
    ended: datetime
    """UTC; of `run.decided`, or of the last event."""
    phases: tuple[PhaseSummary, ...]
    events: tuple[Event, ...]

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
        stated = [
            self.opened["image"],
            *(event.data.get("image") for event in self.of("request.made", "step.finished")),
            (self.opened.get("target") or {}).get("image"),
        ]
        return next((image for image in stated if image), None)

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


def summarize(events: Sequence[Event]) -> RunSummary:
    """One run from its own events. Raises ValueError where none of them opens the run."""
    opened = next((event for event in events if event.type == "run.opened"), None)
    if opened is None:
        raise ValueError("no run.opened among the events: there is no run to tell of")
    decided = next((event for event in events if event.type == "run.decided"), None)
    ended = decided.time if decided is not None else events[-1].time
    took = timedelta(seconds=decided.data["duration_s"]) if decided is not None else ended - events[0].time
    return RunSummary(
        run=opened.run,
        opened=opened.data,
        decided=decided.data if decided is not None else {},
        began=ended - took,
        ended=ended,
        phases=_phases(events),
        events=tuple(events),
    )


def _phases(events: Sequence[Event]) -> tuple[PhaseSummary, ...]:
    steps = _steps(events)
    phases: dict[str, PhaseSummary] = {}
    for event in events:
        if event.type == "phase.started":
            name = event.data["phase"]
            phases[name] = PhaseSummary(name, UNFINISHED, (), started=event.time)
        elif event.type == "phase.finished":
            name, data = event.data["phase"], event.data
            begun = phases.get(name, PhaseSummary(name, UNFINISHED, ()))
            cause = data.get("cause") or ""
            phases[name] = replace(begun, outcome=data["outcome"], duration_s=data["duration_s"], cause=cause)
    for step in steps:
        phases.setdefault(step.phase, PhaseSummary(step.phase, NOT_RUN, ()))
    order = list(PHASES)
    known = sorted((name for name in phases if name in PHASES), key=order.index)
    names = [*known, *(name for name in phases if name not in PHASES)]
    return tuple(replace(phases[name], steps=tuple(step for step in steps if step.phase == name)) for name in names)


def _steps(events: Sequence[Event]) -> tuple[StepSummary, ...]:
    steps: dict[str, StepSummary] = {}
    for event in events:
        data = event.data
        if event.type == "step.started":
            title = data.get("title") or title_of(data["nodeid"])
            begun = StepSummary(data["nodeid"], data["phase"], title, UNFINISHED, data["changes"], started=event.time)
            steps[data["nodeid"]] = begun
        elif event.type == "step.finished":
            steps[data["nodeid"]] = _finished(steps.get(data["nodeid"]), event)
        elif event.type == "step.not-run":
            title = data.get("title") or title_of(data["nodeid"])
            steps[data["nodeid"]] = StepSummary(
                nodeid=data["nodeid"],
                phase=data["phase"],
                title=title,
                outcome=NOT_RUN,
                changes=bool(data.get("changes")),
                verifies=tuple(data.get("verifies", ())),
                cause=data["cause"],
                ended_by=event.seq,
            )
    return tuple(steps.values())


def _finished(begun: StepSummary | None, event: Event) -> StepSummary:
    data = event.data
    title = data.get("title") or (begun.title if begun is not None else title_of(data["nodeid"]))
    return StepSummary(
        nodeid=data["nodeid"],
        phase=data["phase"],
        title=title,
        outcome=data["outcome"],
        changes=begun.changes if begun is not None else False,
        started=begun.started if begun is not None else None,
        duration_s=data["duration_s"],
        verifies=tuple(data["verifies"]),
        attempts=data["attempts"],
        message=data["message"] or "",
        expected=data["expected"],
        actual=data["actual"],
        warnings=tuple(map(str, data["warnings"])),
        attachments=data["attachments"],
        measured=data.get("measured"),
        ended_by=event.seq,
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
    started = summary.of("rollback.started")
    target = started[-1].data["target"] if started else None
    nothing = target in {None, "none"}
    now = (
        "No release had been deployed before; none serves now." if nothing else f"{escape_hidden(target)} serves again."
    )
    return _OUTCOME_MEANINGS[summary.decided.get("outcome", "")].format(
        release=f"Release {summary.opened['version']}",
        environment=summary.opened["environment"],
        pipeline=_PIPELINE_NAMES.get(summary.opened["pipeline"], summary.opened["pipeline"].capitalize()),
        now=now,
    )


def _traffic(shares: Mapping[str, Any]) -> str:
    return (
        ", ".join(f"{escape_hidden(revision)} {escape_hidden(percent)} %" for revision, percent in shares.items())
        or "nothing"
    )


_SENTENCES: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "request.made": lambda data: f"Request made by {data['requested_by']}, SHA-256 {data['request_sha256'][:16]}…",
    "lease.taken": lambda data: f"Lease {data['name']} taken by {data['holder']}",
    "run.opened": lambda data: f"Run opened by {data['deployer']}: {data['pipeline']} of {data['version']}",
    "gate.refused": lambda data: f"Gate {data['gate']} refused: {data['reason']}",
    "approval.signed": lambda data: f"Signed by {data['signer']} as {data['role']}: {data['meaning']}",
    "approval.refused": lambda data: f"A signature was refused: {data['reason']}",
    "override.signed": lambda data: f"Override signed by {data['signer']}: {data['reason']}",
    "backup.created": lambda data: f"Backup {data['kind']} made, {data['bytes']} bytes",
    "migration.applied": lambda data: f"Migration {data['version']} applied in {seconds(data['duration_s'])}",
    "migration.rolled-back": lambda data: f"Migration {data['version']} rolled back in {seconds(data['duration_s'])}",
    "revision.deployed": lambda data: f"Revision {data['revision']} made, no traffic yet",
    "traffic.moved": lambda data: f"Traffic moved: {_traffic(data['after'])}; before: {_traffic(data['before'])}",
    "rollback.started": lambda data: f"Rollback started, back to {data['target'] or 'none'}: {data['cause']}",
    "rollback.finished": lambda data: f"Rollback finished in {seconds(data['duration_s'])}: {data['outcome']}",
    "phase.finished": lambda data: f"Phase {data['phase']}: {data['outcome']} in {seconds(data['duration_s'])}",
    "anchor.made": lambda data: ", ".join(
        [f"Anchored at {data['size']} events: {data['kind']}", *([data["place"]] if data.get("place") else [])]
    ),
    "record.read": lambda data: f"Read by {data['reader']}" + (f": {data['purpose']}" if data.get("purpose") else ""),
    "run.decided": lambda data: f"Decided: {data['outcome']}" + (f", {data['cause']}" if data["cause"] else ""),
}
_NOT_DESCRIBED: Final = frozenset(
    {"run.planned", "phase.started", "step.started", "step.not-run", "lease.renewed", "gate.passed"}
)
"""The phase, or a table of its own, says enough of these."""


def describe_event(event: Event) -> str | None:
    """The event in one sentence; None where its phase, or a table of its own, says enough."""
    if event.type in _NOT_DESCRIBED:
        return None
    if event.type == "step.finished":
        if event.data["outcome"] == "passed":
            return None
        return escape_hidden(f"Step {event.data['outcome']} in {event.data['phase']}: {title_of(event.data['nodeid'])}")
    sentence = _SENTENCES.get(event.type)
    if sentence is not None:
        return escape_hidden(sentence(event.data))
    reason = next((event.data[key] for key in ("detail", "reason", "cause") if event.data.get(key)), "")
    return escape_hidden(f"{event.type.replace('.', ' ').capitalize()}" + (f": {reason}" if reason else ""))
