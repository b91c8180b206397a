"""The signature manifest: who signed, in which role, what it means, when (21 CFR 11.50), each as its event states it.

The signed file and its signature are bound to the event by digest; the verifiers hold both against stock ssh-keygen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event

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
    said = {"gate": "a gate", "amends": "—", "deviation": "—", **event.data}
    return Signature(
        printed_name=said.get("printed_name") or "—",
        signer=said["signer"],
        role=said.get("role") or "—",
        meaning=said.get("meaning") or _MEANINGS[event.type].format(**said),
        comment=said.get("comment") or "",
        signed_at=said.get("signed_at") or stamp(event.time),
        recorded=stamp(event.time),
        file=said["file"],
        sha256=said["sha256"],
        verify_time=f"{event.time:%Y%m%d%H%M%SZ}",
        seq=event.seq,
    )
