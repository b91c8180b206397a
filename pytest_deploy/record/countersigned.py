"""What counts only once two people have signed the same: one asks, another confirms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import OverrideSigned, given

SIGNERS: Final = 2
"""Different people."""


def countersigned_overrides(events: Iterable[Event]) -> frozenset[int]:
    """The positions of those `override.signed` of a run that another person's, for the same gate and incident, completes."""
    parts: dict[tuple[str | None, str | None], list[tuple[int, str]]] = {}
    for event, signed in of_type(events, OverrideSigned):
        parts.setdefault((given(signed.gate), given(signed.incident)), []).append((event.seq, signed.signer))
    complete = (part for part in parts.values() if len({signer.casefold() for _, signer in part}) >= SIGNERS)
    return frozenset(seq for part in complete for seq, _ in part)
