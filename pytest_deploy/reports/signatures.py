"""What people signed of a run: the signature manifest (21 CFR 11.50), and what was signed about its events since it was decided.

Each signature is told as its event states it. The signed file and its signature are bound to the event by digest; the
verifiers hold both against stock ssh-keygen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from pytest_deploy.pipeline.steps_lock import title_of
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import (
    UNSET,
    DeviationAccepted,
    EnvironmentReleased,
    OverrideSigned,
    RecordAmended,
    Signed,
    given,
)
from pytest_deploy.reports.deviations import Deviation


@dataclass(frozen=True)
class Signature:
    """One signature, as it is shown wherever the record is."""

    printed_name: str
    """As signed; a dash where the event leaves it to the signed file."""
    signer: str
    role: str
    meaning: str
    comment: str
    """What the signer added, as signed; empty where they added nothing."""
    signed_at: str
    """UTC, as the signer states it; else the record's own time."""
    recorded: str
    """UTC; the record's time of the event that counts it."""
    file: str
    """Path in the store; the signature lies beside it, `.sig`."""
    sha256: str
    verify_time: str
    """When its key must have been valid, as `ssh-keygen -O verify-time` takes it: the record's time, never the signer's."""
    seq: int


def manifest(events: Sequence[Event]) -> tuple[Signature, ...]:
    """The signatures that these events count, in order."""
    return tuple(_signature(event, event.content) for event in events if isinstance(event.content, Signed))


def _signature(event: Event, signed: Signed) -> Signature:
    signed_at = given(getattr(signed, "signed_at", UNSET))
    return Signature(
        printed_name=given(getattr(signed, "printed_name", UNSET)) or "—",
        signer=signed.signer,
        role=given(getattr(signed, "role", UNSET)) or "—",
        meaning=given(getattr(signed, "meaning", UNSET)) or _meaning(signed),
        comment=given(getattr(signed, "comment", UNSET)) or "",
        signed_at=stamp(signed_at or event.time),
        recorded=stamp(event.time),
        file=signed.file,
        sha256=signed.sha256,
        verify_time=f"{event.time:%Y%m%d%H%M%SZ}",
        seq=event.seq,
    )


def _meaning(signed: Signed) -> str:
    """What a signature means where the event does not carry the signed words."""
    match signed:
        case OverrideSigned():
            return f"answers for passing over the gate {given(signed.gate, 'a gate')}: {signed.reason}"
        case RecordAmended():
            return f"amends event {given(signed.amends, '—')}: {signed.reason}"
        case DeviationAccepted():
            return f"accepts this deviation: {given(signed.deviation, '—')}: {signed.reason}"
        case EnvironmentReleased():
            return f"releases the environment: {signed.reason}"
    return ""


@dataclass(frozen=True)
class Acceptance:
    """A deviation of the run that somebody answers for."""

    by: Signature
    accepted: DeviationAccepted

    @property
    def step_title(self) -> str:
        """The step of the deviation, in words."""
        return title_of(given(self.accepted.nodeid, ""))


@dataclass(frozen=True)
class Amendment:
    """A value of an event of the run that somebody corrected."""

    by: Signature
    amended: RecordAmended


@dataclass(frozen=True)
class PostRun:
    """What was signed about a run after it was decided. A current report shows it; for a sealed one there is none."""

    events: Sequence[Event] = field(default_factory=tuple)
    """The run's events since its decision, in order."""

    @cached_property
    def amended(self) -> Mapping[int, Sequence[Amendment]]:
        """The amendments by the position of the event they amend; each begins at the value the one before it gave."""
        amendments: dict[int, list[Amendment]] = defaultdict(list)
        for event in self.events:
            if isinstance(event.content, RecordAmended) and (seq := given(event.content.amends)) is not None:
                amendments[seq].append(Amendment(_signature(event, event.content), event.content))
        return dict(amendments)

    @cached_property
    def accepted(self) -> Mapping[str, Sequence[Acceptance]]:
        """The accepted deviations by the node id of their step."""
        acceptances: dict[str, list[Acceptance]] = defaultdict(list)
        for event in self.events:
            if isinstance(event.content, DeviationAccepted) and (nodeid := given(event.content.nodeid)) is not None:
                acceptances[nodeid].append(Acceptance(_signature(event, event.content), event.content))
        return dict(acceptances)

    def amendments(self, seq: int | None, key: str = "") -> tuple[Amendment, ...]:
        """The amendments of an event, or of one key of it."""
        amendments = self.amended.get(seq, ()) if seq is not None else ()
        return tuple(one for one in amendments if key in {"", given(one.amended.key)})

    def acceptances(self, deviation: Deviation) -> tuple[Acceptance, ...]:
        """Who accepted a deviation: for each step whose ending it tells."""
        return tuple(one for nodeid in deviation.steps for one in self.accepted.get(nodeid, ()))
