"""What counts only once two people have signed the same: one asks, another confirms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import Json, OverrideSigned, RecordAmended, given

SIGNERS: Final = 2
"""Different people."""


def countersigned_overrides(events: Iterable[Event]) -> frozenset[int]:
    """The positions of those `override.signed` of a run that another person's, for the same gate and incident, completes."""
    parts: dict[tuple[str | None, str | None], list[tuple[int, str]]] = {}
    for event, signed in of_type(events, OverrideSigned):
        parts.setdefault((given(signed.gate), given(signed.incident)), []).append((event.seq, signed.signer))
    complete = (part for part in parts.values() if len({signer.casefold() for _, signer in part}) >= SIGNERS)
    return frozenset(seq for part in complete for seq, _ in part)


def countersigned_amendments(events: Iterable[Event]) -> frozenset[int]:
    """The positions of those `record.amended` that count: each that confirms another person's, and the one it confirms."""
    amendments = {event.seq: amended for event, amended in of_type(events, RecordAmended)}
    counting: set[int] = set()
    for seq, amended in amendments.items():
        first = given(amended.countersigns)
        if first is not None and first < seq and first in amendments and confirms(amended, amendments[first]):
            counting |= {first, seq}
    return frozenset(counting)


def confirms(second: RecordAmended, first: RecordAmended) -> bool:
    """Whether an amendment is another person's of the same value, from and to the same, whatever it says it confirms."""
    same = all(getattr(second, name) == getattr(first, name) for name in ("amends", "key", "old", "new"))
    return same and second.signer.casefold() != first.signer.casefold()


def as_amended(events: Sequence[Event], event: Event, key: str) -> Json:
    """The value of an event as it stands: its own, or that of the newest amendment that counts."""
    counting = countersigned_amendments(events)
    value = event.content.as_data()[key]
    for each, amended in of_type(events, RecordAmended):
        if each.seq in counting and (amended.amends, amended.key) == (event.seq, key):
            value = amended.new
    return value


def amendments_awaiting(events: Sequence[Event], seq: int, key: str, new: Json) -> list[tuple[Event, RecordAmended]]:
    """The amendments of a value to `new` since it last changed that nobody has confirmed."""
    counting = countersigned_amendments(events)
    awaiting: list[tuple[Event, RecordAmended]] = []
    for event, amended in of_type(events, RecordAmended):
        if (amended.amends, amended.key) != (seq, key):
            continue
        if event.seq in counting:
            awaiting = []
        elif amended.new == new:
            awaiting.append((event, amended))
    return awaiting
