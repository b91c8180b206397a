"""A stretch of the log, read and held against itself: what one event's own bytes, and the event before it, can show.

Steps 1 to 5 and the form of step 7 need no more than that, so that stretches can be read by several processes. What needs
the whole log before an event (its turn, the key in force) is the chain's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_deploy.audit.checks import Finding
from pytest_deploy.audit.keys import is_key_event
from pytest_deploy.errors import IllegalEvent
from pytest_deploy.record import entry as entries
from pytest_deploy.record import schema
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.entry import Entry, SignedCheckpoint
from pytest_deploy.record.event import FIRST_PREV, Event, line_hash

_MOST: Final = 131_072
"""Bytes of an object at most: a line has 65,535, a proof a few thousand. More is not read."""


@dataclass(frozen=True)
class Range:
    """Which events to read."""

    store: Path
    start: int
    stop: int
    """The first that is not read."""
    signed_from: int
    """Events from here on come with their checkpoint, key events always."""


@dataclass(frozen=True)
class Stretch:
    """What was read, as far as it holds."""

    links: tuple[tuple[Event, SignedCheckpoint | None], ...]
    fault: Finding | None
    """What is wrong with the event after the last link; None where all were read."""


def read(wanted: Range) -> Stretch:
    """Read a stretch; nothing is raised for a bad event."""
    links: list[tuple[Event, SignedCheckpoint | None]] = []
    before: Entry | None = None
    for seq in range(max(wanted.start - 1, 0), wanted.stop):
        try:
            entry = read_entry(wanted.store, seq)
        except OSError as error:
            return Stretch(tuple(links), Finding(2, entries.name(seq), f"cannot be read: {error.strerror}"))
        except IllegalEvent as error:
            return Stretch(tuple(links), Finding(2, entries.name(seq), str(error)))
        if seq >= wanted.start:
            if (found := _fault(entry, before, seq)) is not None:
                return Stretch(tuple(links), Finding(found[0], entries.name(seq), found[1]))
            carried = seq >= wanted.signed_from or is_key_event(entry.event)
            links.append((entry.event, entry.signed if carried else None))
        before = entry
    return Stretch(tuple(links), None)


def read_entry(store: Path, seq: int) -> Entry:
    """One event as it lies in a store. Raises IllegalEvent; OSError, for a symbolic link too."""
    # A million times: open() and a stream cost three times as much.
    descriptor = os.open(f"{store}/{entries.name(seq)}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        data = os.read(descriptor, _MOST + 1)
    finally:
        os.close(descriptor)
    if len(data) > _MOST:
        raise IllegalEvent(f"is no event: it has more than {_MOST} bytes")
    return entries.parse(data)


def _fault(entry: Entry, before: Entry | None, seq: int) -> tuple[int, str] | None:
    """The first step the event fails, and how; None where it stands."""
    event, checkpoint = entry.event, entry.signed.checkpoint
    found: tuple[int, str] | None = None
    if event.seq != seq:
        found = 1, f"holds event {event.seq}: renamed or swapped"
    elif event.prev != (FIRST_PREV if before is None else line_hash(before.line)):
        found = 3, f"its prev is not the hash of event {seq - 1}"
    elif before is not None and event.time < before.event.earliest_next:
        found = 4, f"its time {stamp(event.time)} is before {stamp(before.event.earliest_next)}"
    elif entry.path != (() if before is None else before.path_after):
        found = 5, "its inclusion path does not continue the tree before it"
    elif checkpoint.size != seq + 1:
        found = 5, f"its checkpoint is of size {checkpoint.size}"
    elif checkpoint.root != entry.root:
        found = 5, "its root is not that of the tree"
    elif (wrong := schema.fault(event.type, event.data)) is not None:
        found = 7, wrong
    return found
