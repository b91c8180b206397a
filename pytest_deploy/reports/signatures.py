"""What people signed of a run: the signature manifest (21 CFR 11.50), and what was signed about its events since it was decided.

Each signature is told as its event states it. The signed file and its signature are bound to the event by digest; the
verifiers hold both against stock ssh-keygen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from pytest_deploy.pipeline.steps_lock import title_of
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event
from pytest_deploy.reports.deviations import Deviation

_MEANINGS: Final[Mapping[str, str]] = {
    "approval.signed": "",
    "override.signed": "answers for passing over the gate {gate}: {reason}",
    "signoff.signed": "",
    "record.amended": "amends event {amends}: {reason}",
    "deviation.accepted": "accepts this deviation: {deviation}: {reason}",
    "environment.released": "releases the environment: {reason}",
}
"""The types that count a signature, and what one means where the event does not carry the signed words."""


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
    return tuple(_signature(event) for event in events if event.type in _MEANINGS)


def _signature(event: Event) -> Signature:
    stated = {"gate": "a gate", "amends": "—", "deviation": "—", **event.data}
    return Signature(
        printed_name=stated.get("printed_name") or "—",
        signer=stated["signer"],
        role=stated.get("role") or "—",
        meaning=stated.get("meaning") or _MEANINGS[event.type].format(**stated),
        comment=stated.get("comment") or "",
        signed_at=stated.get("signed_at") or stamp(event.time),
        recorded=stamp(event.time),
        file=stated["file"],
        sha256=stated["sha256"],
        verify_time=f"{event.time:%Y%m%d%H%M%SZ}",
        seq=event.seq,
    )


@dataclass(frozen=True)
class Remark:
    """One signed event about something of the run: an amendment, or the acceptance of a deviation."""

    by: Signature
    event: Event

    @property
    def step_title(self) -> str:
        """The step of an accepted deviation, in words."""
        return title_of(self.event.data["nodeid"])


@dataclass(frozen=True)
class PostRun:
    """What was signed about a run after it was decided. A current report shows it; for a sealed one there is none."""

    events: Sequence[Event] = field(default_factory=tuple)
    """The run's events since its decision, in order."""

    @cached_property
    def amended(self) -> Mapping[int, Sequence[Remark]]:
        """The amendments by the position of the event they amend; each begins at the value the one before it gave."""
        return self._by("record.amended", "amends")

    @cached_property
    def accepted(self) -> Mapping[str, Sequence[Remark]]:
        """The accepted deviations by the node id of their step."""
        return self._by("deviation.accepted", "nodeid")

    def amendments(self, seq: int | None, key: str = "") -> tuple[Remark, ...]:
        """The amendments of an event, or of one key of it."""
        remarks = self.amended.get(seq, ()) if seq is not None else ()
        return tuple(one for one in remarks if key in {"", one.event.data.get("key")})

    def acceptances(self, deviation: Deviation) -> tuple[Remark, ...]:
        """Who accepted a deviation: for each step whose ending it tells."""
        return tuple(one for nodeid in deviation.steps for one in self.accepted.get(nodeid, ()))

    def _by(self, event_type: str, key: str) -> dict[Any, list[Remark]]:
        remarks: dict[Any, list[Remark]] = defaultdict(list)
        for event in self.events:
            if event.type == event_type and key in event.data:
                (signature,) = manifest([event])
                remarks[event.data[key]].append(Remark(signature, event))
        return dict(remarks)
