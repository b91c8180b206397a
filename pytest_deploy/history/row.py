"""One run as a listing tells it: a fold over its events, the same whether they come from an index's builder or the log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import (
    ApprovalSigned,
    DeviationAccepted,
    MigrationApplied,
    MigrationRolledBack,
    OverrideSigned,
    RecordAmended,
    RequestMade,
    RequestVoided,
    RevisionDeployed,
    RunAbandoned,
    RunClosed,
    RunDecided,
    RunOpened,
    SignoffSigned,
    StepFinished,
)

REQUESTED: Final = "requested"
VOIDED: Final = "voided"
IN_PROGRESS: Final = "in-progress"
ABANDONED: Final = "abandoned"
OUTCOMES: Final = (
    *("deployed", "refused", "failed", "rolled-back", "rollback-failed", "passed", "not-passed"),
    *(ABANDONED, IN_PROGRESS, REQUESTED, VOIDED),
)
"""What a row's outcome may be: a run's, or how far it has come."""

_TELLING: Final = frozenset(
    kind.type
    for kind in (
        *(RequestMade, RequestVoided, RunOpened, RevisionDeployed, ApprovalSigned, OverrideSigned),
        *(DeviationAccepted, RecordAmended, RunDecided, RunClosed, RunAbandoned),
    )
)
"""Types that say something of a run as a whole; most do not."""


@dataclass
class Row:
    """One run."""

    run: str
    environment: str = ""
    pipeline: str = ""
    commit: str = ""
    version: str = ""
    digest: str = ""
    """`sha256:<64 hex>` of the artefact; empty until it is known."""
    deployer: str = ""
    """Empty until the run opens."""
    requested_by: str = ""
    approvers: tuple[str, ...] = ()
    """Who signed, once each, in order."""
    bypassed: tuple[str, ...] = ()
    """Gates that were overridden, deviations that were accepted."""
    amended: tuple[str, ...] = ()
    """What was corrected since, by the keys of its events; what a row says is what the events say."""
    outcome: str = REQUESTED
    """One of OUTCOMES."""
    cause: str = ""
    began: str = ""
    """UTC stamp of its first event here."""
    opened: str = ""
    """UTC stamp of its run.opened; empty for a request that waits, or was voided."""
    ended: str = ""
    """UTC stamp of its closing; empty while it is open."""
    duration_s: float | None = None
    events: tuple[int, ...] = ()
    """Positions of the events this rests on."""

    @classmethod
    def of(cls, events: Iterable[Event]) -> Self:
        """The row of one run's events, in order. Raises ValueError where there is none."""
        row: Self | None = None
        for event in events:
            row = row or cls(event.run)
            row.apply(event)
        if row is None:
            raise ValueError("no event, no run")
        return row

    def apply(self, event: Event) -> None:  # noqa: C901 - one arm a type
        """Take in the next event of this run."""
        if event.type not in _TELLING:
            return
        time = stamp(event.time)
        self.began = self.began or time
        self.events = (*self.events, event.seq)
        match event.content:
            case RequestMade() as made:
                self.requested_by = made.requested_by
                self.environment = self.environment or made.environment or ""
                self.pipeline = self.pipeline or made.pipeline or ""
                self.commit = self.commit or made.commit or ""
                self.version = self.version or made.version or ""
                self._note_image(made.image or "")
            case RequestVoided(cause=cause):
                self.outcome, self.cause = VOIDED, cause
            case RunOpened() as opened:
                self.environment, self.pipeline = opened.environment, opened.pipeline
                self.commit, self.version, self.deployer = opened.commit, opened.version, opened.deployer
                self.outcome, self.opened = IN_PROGRESS, time
                self._note_image(opened.image or "")
            case RevisionDeployed(image=image):
                self._note_image(image or "")
            case ApprovalSigned(signer=signer):
                self.approvers = _with(self.approvers, signer)
            case OverrideSigned(gate=gate):
                self.bypassed = _with(self.bypassed, gate or event.type)
            case DeviationAccepted(deviation=deviation):
                self.bypassed = _with(self.bypassed, deviation or event.type)
            case RecordAmended(key=key):
                self.amended = _with(self.amended, key or "")
            case RunDecided(cause=why, duration_s=duration_s):
                self.cause, self.duration_s = why or "", duration_s
            case RunClosed(outcome=outcome):
                self.outcome, self.ended = outcome, time
            case RunAbandoned(cause=cause):
                self.outcome, self.cause, self.ended = ABANDONED, cause, time

    def _note_image(self, image: str) -> None:
        self.digest = image.partition("@")[2] or self.digest


class Fact(NamedTuple):
    """Something an event says that runs are looked up by."""

    kind: str
    """signer, migration, requirement or revision."""
    value: str


def facts(event: Event) -> tuple[Fact, ...]:
    """What runs are looked up by, of one event; signers in lower case."""
    if event.type not in _FACTUAL:
        return ()
    match event.content:
        case (
            ApprovalSigned(signer=signer, printed_name=name)
            | OverrideSigned(signer=signer, printed_name=name)
            | SignoffSigned(signer=signer, printed_name=name)
            | DeviationAccepted(signer=signer, printed_name=name)
            | RecordAmended(signer=signer, printed_name=name)
        ):
            return tuple(Fact("signer", known.casefold()) for known in (signer, name) if known)
        case MigrationApplied(version=version) | MigrationRolledBack(version=version):
            return (Fact("migration", version),)
        case StepFinished(verifies=verifies):
            return tuple(Fact("requirement", str(name)) for name in dict.fromkeys(verifies))
        case RevisionDeployed(revision=revision):
            return (Fact("revision", revision),)
        case _:
            return ()


_FACTUAL: Final = frozenset(
    kind.type
    for kind in (
        *(ApprovalSigned, OverrideSigned, SignoffSigned, DeviationAccepted, RecordAmended),
        *(MigrationApplied, MigrationRolledBack, StepFinished, RevisionDeployed),
    )
)


def _with(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return names if name in names else (*names, name)
