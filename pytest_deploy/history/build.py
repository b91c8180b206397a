"""How an index is filled from the log: every event held against the one before it, runs folded into their rows."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from pytest_deploy.errors import RecordTampered
from pytest_deploy.history.row import Row, facts
from pytest_deploy.history.tables import VERSION
from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event, line_hash
from pytest_deploy.record.run_id import NO_RUN
from pytest_deploy.verify.segment import WorkerPool, read_entry, read_segments

_LOOKS: Final = (*range(1, 64), *(2**power for power in range(6, 24)))
"""How far beyond the end of a log one looks for what would make it a gap."""


class State(NamedTuple):
    """What the index was built to."""

    version: int
    origin: str
    size: int
    """Events."""
    root: str
    """Base64."""
    head: str
    """SHA-256 of the newest event's line, hex."""


NOTHING: Final = State(VERSION, "", 0, "", "")


def build(connection: sqlite3.Connection, store: Path, start: int, size: int) -> State:
    """Take in the events from `start` on, until there are `size`. Raises RecordTampered at the first that does not follow."""
    rows: dict[str, Row] = {}
    ids: dict[str, int] = {}
    with WorkerPool(size - start) as pool:
        for segment in read_segments(pool, store, start, size, signed_from=size):
            _take_in(connection, [event for event, _ in segment.events], rows, ids)
            if segment.fault is not None:
                raise RecordTampered(f"{segment.fault}: deploy.py verify {store} tells more")
    connection.executemany(
        "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (_columns(ids[row.run], row) for row in rows.values()),
    )
    newest = read_entry(store, size - 1)
    root = base64.b64encode(newest.root).decode()
    state = State(VERSION, newest.signed.checkpoint.origin, size, root, line_hash(newest.line))
    connection.execute("DELETE FROM state")
    connection.execute("INSERT INTO state VALUES (?, ?, ?, ?, ?)", state)
    return state


def _take_in(
    connection: sqlite3.Connection, events: Sequence[Event], rows: dict[str, Row], ids: dict[str, int]
) -> None:
    for event in events:
        if event.run not in ids:
            ids[event.run], rows[event.run] = _known(connection, event.run, len(ids))
        if event.run != NO_RUN:
            rows[event.run].take_in(event)
    connection.executemany(
        "INSERT INTO events VALUES (?, ?, ?, ?, ?)",
        ((e.seq, ids[e.run], e.type, stamp(e.time), bytes.fromhex(e.prev)) for e in events),
    )
    found = ((*fact, ids[event.run], event.seq) for event in events for fact in facts(event))
    connection.executemany("INSERT INTO facts VALUES (?, ?, ?, ?)", found)


def _known(connection: sqlite3.Connection, run: str, new: int) -> tuple[int, Row]:
    """The number and the row of a run, so far."""
    found = connection.execute("SELECT id, body FROM runs WHERE run = ?", [run]).fetchone()
    if found is not None:
        return int(found[0]), Row.of_json(json.loads(found[1]))
    (most,) = connection.execute("SELECT ifnull(max(id), 0) FROM runs").fetchone()
    return int(most) + new + 1, Row(run)


def _columns(number: int, row: Row) -> tuple[Any, ...]:
    body = json.dumps(row.to_json())
    return (
        *(number, row.run, row.began, row.opened, row.ended, row.outcome, row.pipeline),
        *(row.commit, row.digest, row.version, row.deployer.casefold(), body),
    )


def log_size(store: Path, known: int) -> int:
    """How many events lie there, of which `known` do: a few looks, however long the log.

    Raises RecordTampered where one is missing though later ones lie there. These looks may miss a long gap with little after
    it; `check_names` finds any.
    """

    def there(seq: int) -> bool:
        return (store / entries.name(seq)).is_file()

    low, step = known - 1, 1
    while there(low + step):
        low, step = low + step, step * 2
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if there(middle) else (low, middle)
    size = low + 1
    later = next((size + step for step in _LOOKS if there(size + step)), None)
    if later is not None and not there(size):  # a writer may have been at work between the looks
        raise _gap(store, size, later)
    return size


def check_names(store: Path, size: int) -> None:
    """Hold a log's size against the names of all that lies in it. Raises RecordTampered where an event lies beyond it."""
    with os.scandir(store / "log") as names:
        numbers = (name.name.removesuffix(".event") for name in names if name.name.endswith(".event"))
        later = [int(number) for number in numbers if number.isdecimal()]
    if max(later, default=-1) > size and not (store / entries.name(size)).is_file():
        raise _gap(store, size, max(later))


def _gap(store: Path, seq: int, later: int) -> RecordTampered:
    return RecordTampered(
        f"{entries.name(seq)} is missing though {entries.name(later)} lies there: deploy.py verify {store} tells more"
    )
