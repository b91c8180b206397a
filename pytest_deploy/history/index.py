"""The index of one log: an SQLite file beside the checkout, made from the log, thrown away when in doubt.

It remembers the size and root of the checkpoint it was built to. On opening, the log's own event at that size must still
have that root; then only what is new is read. Another log, a shorter or rewritten one, another version of these tables, or
a damaged file: it is built anew. While building, every event is held against the one before it (steps 1 to 5 of verifying).
"""

from __future__ import annotations

import base64
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_deploy.errors import IllegalEvent
from pytest_deploy.history.build import NOTHING, State, build, check_names, log_size
from pytest_deploy.history.query import Asked
from pytest_deploy.history.row import Fact, Row
from pytest_deploy.history.tables import TABLES, VERSION, condition
from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.event import Event, line_hash
from pytest_deploy.record.log_entry import Checkpoint
from pytest_deploy.record.run_id import NO_RUN
from pytest_deploy.verify.segment import read_entry

_WAIT_S: Final = 60
"""How long one reader waits for another that brings the same index up to date."""


class Stale(Exception):
    """The index says something else than the log."""


@dataclass(frozen=True)
class Found:
    """A run that the index takes for one of those asked for."""

    row: Row
    because: tuple[int, ...]
    """Positions of the events whose facts were asked for."""


class Index:
    """An index that is current. Use `open`."""

    def __init__(self, store: Path, place: Path) -> None:
        self.store = store
        self._place = place
        self._connection = sqlite3.connect(":memory:")
        self.state = NOTHING

    @classmethod
    def open(cls, store: Path, place: Path, *, anew: bool = False) -> Index:
        """The index of the log in `store`, kept in the file `place`; built `anew` on request.

        Raises RecordTampered where the log breaks, naming the first bad event.
        """
        index = cls(store, place)
        try:
            index._connection = _connect(place)
            current = not anew and index._usable()
            if current:
                index._grow()
        except (sqlite3.Error, TypeError):  # whatever a damaged file may hold
            current = False
        if not current:
            index.rebuild()
        return index

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def rebuild(self) -> None:
        """Build it anew from the log, in memory where the file cannot be written. Raises RecordTampered as `open`."""
        self.close()
        part = self._place.with_name(f".{self._place.name}.{os.getpid()}.part")
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            part.unlink(missing_ok=True)
            os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            self._connection = _connect(part)
            self._connection.execute("PRAGMA synchronous = OFF")  # a file that is thrown away unless it becomes whole
            self._build()
            self.close()
            part.replace(self._place)
            self._connection = _connect(self._place)
        except (OSError, sqlite3.Error):
            self.close()
            self._connection = sqlite3.connect(":memory:", isolation_level=None)
            self._build()
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)

    # --- questions

    def find(self, asked: Asked, *, limit: int = 0) -> tuple[int, list[Found]]:
        """How many runs are asked for, and the newest `limit` of them (0: all), newest first."""
        where, values = condition(asked)
        rows = f"FROM runs WHERE began != '' AND {where}"
        (total,) = self._connection.execute(f"SELECT count(*) {rows}", values).fetchone()
        listed = self._connection.execute(
            f"SELECT id, body {rows} ORDER BY began DESC, id DESC LIMIT ?", [*values, limit or -1]
        ).fetchall()
        return total, [Found(Row.of_json(json.loads(body)), self._because(asked, run)) for run, body in listed]

    def positions(self, run: str) -> tuple[int, ...]:
        """Every event of a run."""
        found = self._connection.execute(
            "SELECT seq FROM events WHERE run = (SELECT id FROM runs WHERE run = ?) ORDER BY seq", [run]
        )
        return tuple(seq for (seq,) in found)

    def like(self, run: str, limit: int = 5) -> tuple[str, ...]:
        """Runs whose name holds a text, newest first."""
        asked = "SELECT run FROM runs WHERE instr(run, ?) AND run != ? ORDER BY began DESC LIMIT ?"
        return tuple(name for (name,) in self._connection.execute(asked, [run, NO_RUN, limit]))

    def last_move(self, until: str) -> int | None:
        """Position of the last traffic.moved up to an instant."""
        return self._position(
            "SELECT seq FROM events WHERE type = 'traffic.moved' AND time <= ? ORDER BY seq DESC LIMIT 1", until
        )

    def next_anchor(self, after: int) -> int | None:
        """Position of the first anchor.made after a position."""
        return self._position(
            "SELECT seq FROM events WHERE type = 'anchor.made' AND seq > ? ORDER BY seq LIMIT 1", after
        )

    def last_deployed(self, until: str) -> str | None:
        """The last run that had deployed by an instant."""
        asked = "SELECT run FROM runs WHERE outcome = 'deployed' AND ended <= ? ORDER BY ended DESC, id DESC LIMIT 1"
        found = self._connection.execute(asked, [until]).fetchone()
        return None if found is None else str(found[0])

    def last_with(self, fact: Fact, until: int) -> tuple[str, int] | None:
        """The last run with a fact up to a position, and the position that says so."""
        found = self._connection.execute(
            "SELECT runs.run, seq FROM facts JOIN runs ON runs.id = facts.run WHERE kind = ? AND value = ? AND seq <= ?"
            " ORDER BY seq DESC LIMIT 1",
            [*fact, until],
        ).fetchone()
        return None if found is None else (str(found[0]), int(found[1]))

    def at(self, instant: str) -> tuple[str, ...]:
        """Runs that were in progress at an instant."""
        asked = "SELECT run FROM runs WHERE opened != '' AND opened <= ? AND (ended = '' OR ended > ?) ORDER BY id"
        return tuple(name for (name,) in self._connection.execute(asked, [instant, instant]))

    def event(self, seq: int) -> Event:
        """An event from the log itself. Raises Stale where it is not the one that was indexed."""
        try:
            entry = read_entry(self.store, seq)
        except (IllegalEvent, OSError) as error:
            raise Stale(f"{entries.name(seq)}: {error}") from error
        after = self._connection.execute("SELECT prev FROM events WHERE seq = ?", [seq + 1]).fetchone()
        known = self.state.head if after is None else bytes(after[0]).hex()
        if line_hash(entry.line) != known or entry.event.seq != seq:
            raise Stale(f"{entries.name(seq)} is not the event it was")
        return entry.event

    def checkpoint(self, seq: int) -> Checkpoint:
        """What the log's key said when an event was the newest. Raises Stale."""
        self.event(seq)
        return read_entry(self.store, seq).signed.checkpoint

    def _position(self, asked: str, value: str | int) -> int | None:
        found = self._connection.execute(asked, [value]).fetchone()
        return None if found is None else int(found[0])

    def _because(self, asked: Asked, run: int) -> tuple[int, ...]:
        if not asked.kinds:
            return ()
        marks = ", ".join("?" for _ in asked.kinds)
        found = self._connection.execute(
            f"SELECT seq, kind, value FROM facts WHERE run = ? AND kind IN ({marks}) ORDER BY seq",  # noqa: S608
            [run, *asked.kinds],
        )
        return tuple(dict.fromkeys(seq for seq, kind, value in found if asked.fits(Fact(kind, value))))

    # --- being current

    def _usable(self) -> bool:
        """Whether it is of this log, as the log is now."""
        found = self._connection.execute("SELECT version, origin, size, root, head FROM state").fetchone()
        if found is None:
            return False
        self.state = State(*found)
        (held,) = self._connection.execute("SELECT count(*) FROM events").fetchone()
        if self.state.version != VERSION or held != self.state.size or not self.state.size:
            return False
        try:
            newest = read_entry(self.store, self.state.size - 1)
        except (IllegalEvent, OSError):
            return False
        seen = newest.signed.checkpoint
        known = (self.state.origin, self.state.size, self.state.root)
        return known == (seen.origin, seen.size, base64.b64encode(newest.root).decode())

    def _build(self) -> None:
        self._connection.executescript(TABLES)
        self.state = NOTHING
        self._grow()
        check_names(self.store, self.state.size)

    def _grow(self) -> None:
        size = log_size(self.store, self.state.size)
        if size == self.state.size:
            return
        with _transaction(self._connection):
            held = self._connection.execute("SELECT version, origin, size, root, head FROM state").fetchone()
            self.state = self.state if held is None else State(*held)  # another reader may have been faster
            if self.state.size < size:
                self.state = build(self._connection, self.store, self.state.size, size)


def _connect(place: Path) -> sqlite3.Connection:
    """An existing file; none is made here, where its mode could not be said."""
    return sqlite3.connect(f"{place.resolve().as_uri()}?mode=rw", uri=True, timeout=_WAIT_S, isolation_level=None)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
