"""The audit trail as whoever reviews it periodically reads it: since the last review, what was passed over, refused, changed or undone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import (
    KeyChange,
    RecordAmended,
    RecordAnnotated,
    RunClosed,
    RunDecided,
    RunOpened,
    Signed,
    SignoffSigned,
    TrailReviewed,
    given,
)
from pytest_deploy.record.meanings import REJECTED
from pytest_deploy.record.run_id import NO_RUN
from pytest_deploy.reports.run_summary import describe_event
from pytest_deploy.workspace import NOT_SAID, Workspace

_ORDINARY: Final = frozenset(
    [
        "request.made",
        "lease.taken",
        "lease.renewed",
        "lease.released",
        "run.opened",
        "run.planned",
        "run.closed",
        "phase.started",
        "phase.finished",
        "step.started",
        "step.finished",
        "step.not-run",
        "gate.passed",
        "gate.not-applicable",
        "approval.signed",
        "migration.applied",
        "migration.rolled-back",
        "backup.created",
        "revision.deployed",
        "traffic.moved",
        "rollback.finished",
        "notification.sent",
        "anchor.made",
        "record.read",
        "signoff.signed",
        "trail.reviewed",
        "run.decided",
    ]
)
"""Types of which not each event is shown; a sign-off that rejects is, and a decision that is not as it should be."""
_AS_IT_SHOULD_BE: Final = frozenset({"deployed", "passed", "still-needed"})


@dataclass(frozen=True)
class Trail:
    """A log, and how far it was reviewed."""

    events: Sequence[Event]
    """All of them, from 0 on."""
    last: Event | None
    """The newest review."""

    @classmethod
    def of(cls, events: Sequence[Event]) -> Trail:
        return cls(events, next((event for event in reversed(events) if event.type == TrailReviewed.type), None))

    @property
    def first(self) -> int:
        """The first event that nobody reviewed."""
        return 0 if self.last is None else self.last.read(TrailReviewed).size

    def lines(self, size: int) -> Iterator[str]:
        """What a review of the events from `first` to before `size` covers, for a person to read."""
        events = self.events[self.first : size]
        counts = Counter(event.type for event in events if _asks_for_a_look(event))
        yield f"last      {last_review(self.last)}"
        yield f"covers    events {self.first} to {size - 1}, {stamp(events[0].time)} to {stamp(events[-1].time)}; of the log's {len(self.events)}"
        yield f"holds     {', '.join(f'{number} {kind}' for kind, number in sorted(counts.items())) or 'nothing that asks for a look'}"
        for event in events:
            if _asks_for_a_look(event):
                where = "" if event.run == NO_RUN else f" {event.run}"
                yield f"event {event.seq:>4}  {stamp(event.time)} {event.type}{where}: {_said(event)}"
        yield from (f"unsigned  {run}: closed, and nobody signed its record off" for run in self._unsigned(events))

    def deployed(self, size: int) -> Iterator[tuple[str, str]]:
        """Runs that were opened, closed or abandoned in what a review covers, each with who deployed it."""
        deployers = {event.run: opened.deployer for event, opened in of_type(self.events, RunOpened)}
        ends = {"run.opened", "run.closed", "run.abandoned"}
        for run in dict.fromkeys(event.run for event in self.events[self.first : size] if event.type in ends):
            yield run, deployers[run]

    def _unsigned(self, events: Sequence[Event]) -> Iterator[str]:
        signed = {event.run for event, _ in of_type(self.events, SignoffSigned)}
        yield from (event.run for event, _ in of_type(events, RunClosed) if event.run not in signed)


def last_review(event: Event | None) -> str:
    """The newest review in words."""
    if event is None:
        return "nobody reviewed this trail yet"
    review = event.read(TrailReviewed)
    return f"up to event {review.size - 1}, {stamp(event.time)}, by {review.printed_name} as {review.role} (event {event.seq})"


def unreviewed(workspace: Workspace, event: Event | None, size: int) -> str:
    """How far a log of `size` events was reviewed, and how to go on, in one line."""
    first = 0 if event is None else event.read(TrailReviewed).size
    command = workspace.command_line("review-trail", "--findings", NOT_SAID)
    return f"trail: {last_review(event)}; {size - first} events since: `{command}`"


def _asks_for_a_look(event: Event) -> bool:
    match event.content:
        case SignoffSigned(meaning=meaning):
            return meaning == REJECTED
        case RunDecided(outcome=outcome):
            return outcome not in _AS_IT_SHOULD_BE
    return event.type not in _ORDINARY


def _said(event: Event) -> str:
    """An event in words, with who signed it, and whom it is about."""
    said = describe_event(event)
    match event.content:
        case RecordAmended() | RecordAnnotated() as content:
            said = given(getattr(content, "reason", "")) or given(getattr(content, "note", ""))
        case SignoffSigned(comment=comment):
            said = f"rejected: {given(comment) or ''}"
        case KeyChange(person=person, reason=reason):
            said = f"{person or 'the log or its roster'}: {reason}"
    signer = f" ({event.content.signer})" if isinstance(event.content, Signed) else ""
    return f"{said or event.type}{signer}"
