"""A stretch of the log, read and held against itself: what one event's own bytes, and the event before it, can show.

Steps 1 to 5 and the form of step 7 need no more than that, so that stretches can be read by several processes. What needs
the whole log before an event (its turn, the key in force) is the chain's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from pytest_deploy.errors import IllegalEvent
from pytest_deploy.record import events as event_types
from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import FIRST_PREV, Event, line_hash, parse_line
from pytest_deploy.record.log_entry import Entry, SignedCheckpoint
from pytest_deploy.record.tree import leaf_hash, newest_root, next_path
from pytest_deploy.verify.checks import Finding
from pytest_deploy.verify.keys import is_key_event

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


@dataclass(frozen=True)
class _Before:
    """What an event must continue."""

    line_sha256: str
    """Of the line before it, hex."""
    earliest: datetime | None
    """The earliest time it may carry; None for event 0."""
    path: tuple[bytes, ...]
    """Its inclusion path."""
    texts: tuple[str, ...]
    """The same in base64."""
    origin: str
    """Of the checkpoint before it."""


_NOTHING: Final = _Before(FIRST_PREV, None, (), (), "")


def read(wanted: Range) -> Stretch:
    """Read a stretch; nothing is raised for a bad event."""
    links: list[tuple[Event, SignedCheckpoint | None]] = []
    before: _Before | None = _NOTHING if wanted.start == 0 else None
    for seq in range(max(wanted.start - 1, 0), wanted.stop):
        try:
            data = _object(wanted.store, seq)
            quick = _as_it_must_be(data, seq, before) if before is not None and seq < wanted.signed_from else None
            if quick is not None:
                event, before = quick
                links.append((event, None))
                continue
            entry = entries.parse(data)
        except OSError as error:
            return Stretch(tuple(links), Finding(2, entries.name(seq), f"cannot be read: {error.strerror}"))
        except IllegalEvent as error:
            return Stretch(tuple(links), Finding(2, entries.name(seq), str(error)))
        if before is not None:
            if (found := _fault(entry, before, seq)) is not None:
                return Stretch(tuple(links), Finding(found[0], entries.name(seq), found[1]))
            carried = seq >= wanted.signed_from or is_key_event(entry.event)
            links.append((entry.event, entry.signed if carried else None))
        before = _after(entry)
    return Stretch(tuple(links), None)


def read_entry(store: Path, seq: int) -> Entry:
    """One event as it lies in a store. Raises IllegalEvent; OSError, for a symbolic link too."""
    return entries.parse(_object(store, seq))


def _object(store: Path, seq: int) -> bytes:
    # A million times: open() and a stream cost three times as much.
    descriptor = os.open(f"{store}/{entries.name(seq)}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        data = os.read(descriptor, _MOST + 1)
    finally:
        os.close(descriptor)
    if len(data) > _MOST:
        raise IllegalEvent(f"is no event: it has more than {_MOST} bytes")
    return data


def _after(entry: Entry) -> _Before:
    path = entry.path_after
    texts = tuple(map(entries.base64_of, path))
    origin = entry.signed.checkpoint.origin
    return _Before(line_hash(entry.line), entry.event.earliest_next, path, texts, origin)


def _as_it_must_be(data: bytes, seq: int, before: _Before) -> tuple[Event, _Before] | None:
    """The event, and what the next must continue, where the object is the one whose every byte but the signature is known.

    A third of the work of parsing the proof. None where it is another, and for a key's, whose signature is looked at: then
    it is parsed and looked at step by step. Raises IllegalEvent as parsing it would.
    """
    end = data.find(b"\n") + 1 or len(data)
    line = data[:end]
    event = parse_line(line)
    leaf = leaf_hash(line)
    proof = entries.unsigned(seq, before.texts, before.origin, newest_root(before.path, leaf))
    if (
        not data.startswith(proof, end)
        or not entries.is_signature(data[end + len(proof) :])
        or event.seq != seq
        or event.prev != before.line_sha256
        or (before.earliest is not None and event.time < before.earliest)
        or event_types.fault(event.type, event.data) is not None
        or is_key_event(event)
    ):
        return None
    path = next_path(seq, before.path, leaf)
    kept = before.texts[len(before.texts) - len(path) + 1 :]
    texts = (entries.base64_of(path[0]), *kept)
    return event, _Before(line_hash(line), event.earliest_next, path, texts, before.origin)


def _fault(entry: Entry, before: _Before, seq: int) -> tuple[int, str] | None:
    """The first step the event fails, and how; None where it stands."""
    event, checkpoint = entry.event, entry.signed.checkpoint
    found: tuple[int, str] | None = None
    if event.seq != seq:
        found = 1, f"holds event {event.seq}: renamed or swapped"
    elif event.prev != before.line_sha256:
        found = 3, f"its prev is not the hash of event {seq - 1}"
    elif before.earliest is not None and event.time < before.earliest:
        found = 4, f"its time {stamp(event.time)} is before {stamp(before.earliest)}"
    elif entry.path != before.path:
        found = 5, "its inclusion path does not continue the tree before it"
    elif before.origin and checkpoint.origin != before.origin:
        found = 6, f"its checkpoint is of another log, {checkpoint.origin}"
    elif checkpoint.size != seq + 1:
        found = 5, f"its checkpoint is of size {checkpoint.size}"
    elif checkpoint.root != entry.root:
        found = 5, "its root is not that of the tree"
    elif (wrong := event_types.fault(event.type, event.data)) is not None:
        found = 7, wrong
    return found
