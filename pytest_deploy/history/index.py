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
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, NamedTuple

from pytest_deploy.errors import IllegalEvent, RecordTampered
from pytest_deploy.history.runs import Row, facts
from pytest_deploy.record import log_entry as entries
from pytest_deploy.record import stored_file
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event, line_hash
from pytest_deploy.record.run_id import NO_RUN
from pytest_deploy.verify.segment import WorkerPool, read_entry, read_segments
from pytest_deploy.workspace import verify_command

VERSION: Final = 9
"""Of the tables and of what they are filled with: another version is built anew."""
_COLUMNS: Final = tuple(field.name for field in fields(Row))
_LISTS: Final = frozenset({"approvers", "bypassed", "amended", "reviews", "refused_by", "events"})
"""Fields of a row that are written as JSON."""
_TABLES: Final = f"""
CREATE TABLE state (version INTEGER, origin TEXT, size INTEGER, root TEXT, head TEXT);
CREATE TABLE runs (id INTEGER PRIMARY KEY, {", ".join(f'"{name}"' for name in _COLUMNS)});
CREATE UNIQUE INDEX runs_run ON runs (run);
CREATE INDEX runs_began ON runs (began, opened, ended);
CREATE INDEX runs_commit ON runs ("commit");
CREATE INDEX runs_digest ON runs (digest);
CREATE INDEX runs_version ON runs (version);
CREATE TABLE events (seq INTEGER PRIMARY KEY, run INTEGER, type TEXT, time TEXT, prev BLOB);
CREATE INDEX events_run ON events (run);
CREATE INDEX events_moved ON events (seq, time) WHERE type = 'traffic.moved';
CREATE INDEX events_anchor ON events (seq) WHERE type = 'anchor.made';
CREATE TABLE facts (kind TEXT, value TEXT, run INTEGER, seq INTEGER);
CREATE INDEX facts_value ON facts (kind, value, run);
CREATE INDEX facts_run ON facts (run);
"""
_WAIT_S: Final = 60
"""How long one reader waits for another that brings the same index up to date."""
_AHEAD: Final = (*range(1, 64), *(2**power for power in range(6, 24)))
"""How far beyond the end of a log one looks for what would make it a gap."""


class Stale(Exception):
    """The index says something else than the log."""


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


_NOTHING: Final = State(VERSION, "", 0, "", "")


class Index:
    """An index that is current. Use `open`."""

    def __init__(self, store: Path, place: Path) -> None:
        self.store = store
        self.state = _NOTHING
        self._place = place
        self._connection = sqlite3.connect(":memory:")

    @classmethod
    def open(cls, store: Path, place: Path, *, rebuild: bool = False) -> Index:
        """The index of the log in `store`, kept in the file `place`; built again with `rebuild`.

        Raises RecordTampered where the log breaks, naming the first bad event.
        """
        try:
            stored_file.folder_of(store, "log")
        except stored_file.NotOfARecord as error:
            raise RecordTampered(f"log/ {error.strerror}: `{verify_command(store)}`") from error
        index = cls(store, place)
        try:
            index._connection = _connect(place)
            current = not rebuild and index._is_usable()
            if current:
                index._grow()
        except (sqlite3.Error, TypeError):  # whatever a damaged file may hold
            current = False
        if not current:
            index.rebuild()
        return index

    def close(self) -> None:
        self._connection.close()

    def select(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the index finds; `casefold` may be used as a function."""
        return self._connection.execute(sql, values).fetchall()

    def rows(self, where: str, values: Sequence[Any], *, limit: int = 0) -> list[tuple[int, Row]]:
        """The newest `limit` runs (0: all) under a condition over `runs`, newest first, each with its number."""
        sql = f"SELECT * FROM runs WHERE {where} ORDER BY began DESC, id DESC LIMIT ?"  # noqa: S608 -- constant words
        rows = self.select(sql, *values, limit or -1)
        return [(number, _row(values)) for number, *values in rows]

    def entry(self, seq: int) -> entries.Entry:
        """An event as it lies in the log. Raises Stale where it is not the one that was indexed."""
        try:
            entry = read_entry(self.store, seq)
        except (IllegalEvent, OSError) as error:
            raise Stale(f"{entries.name(seq)}: {error}") from error
        after = self.select("SELECT prev FROM events WHERE seq = ?", seq + 1)
        line_sha256 = bytes(after[0][0]).hex() if after else self.state.head
        if line_hash(entry.line) != line_sha256 or entry.event.seq != seq:
            raise Stale(f"{entries.name(seq)} is not the event it was")
        return entry

    def event(self, seq: int) -> Event:
        """Raises Stale as `entry`."""
        return self.entry(seq).event

    def events(self, run: str) -> tuple[Event, ...]:
        """All events of a run, from the log itself. Raises Stale."""
        rows = self.select("SELECT seq FROM events WHERE run = (SELECT id FROM runs WHERE run = ?) ORDER BY seq", run)
        events = tuple(self.event(seq) for (seq,) in rows)
        if any(event.run != run for event in events):
            raise Stale(f"{run} is not as it was indexed")
        return events

    # --- being current

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
            self._connection = _connect(None)
            self._build()
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def _is_usable(self) -> bool:
        """Whether it is of this log, as the log is now."""
        self.state = self._stored_state()
        ((held,),) = self.select("SELECT count(*) FROM events")
        if self.state.version != VERSION or held != self.state.size or not held:
            return False
        try:
            newest = read_entry(self.store, self.state.size - 1)
        except (IllegalEvent, OSError):
            return False
        return self.state == _state_at(newest)

    def _stored_state(self) -> State:
        rows = self.select("SELECT version, origin, size, root, head FROM state")
        return State(*rows[0]) if rows else _NOTHING

    def _build(self) -> None:
        self._connection.executescript(_TABLES)
        self.state = _NOTHING
        self._grow()
        # The looks of `log_size` may miss a long gap with little after it; the names of all that lies there show any.
        with os.scandir(self.store / "log") as names:
            numbers = (name.name.removesuffix(".event") for name in names if name.name.endswith(".event"))
            newest = max((int(number) for number in numbers if number.isdecimal()), default=-1)
        if newest > self.state.size and not _is_there(self.store, self.state.size):
            raise _gap(self.store, self.state.size, newest)

    def _grow(self) -> None:
        """Take in what is new in the log. Raises RecordTampered at the first event that does not follow."""
        size = log_size(self.store, self.state.size)
        if size == self.state.size:
            return
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self.state = self._stored_state()  # another reader may have been faster
            if self.state.size < size:
                self._take_in(self.state.size, size)

    def _take_in(self, start: int, size: int) -> None:
        numbers: dict[str, int] = {}
        rows: dict[str, Row] = {}
        with WorkerPool(size - start) as pool:
            for segment in read_segments(pool, self.store, start, size, signed_from=size):
                events = [event for event, _ in segment.events]
                for event in events:
                    if event.run not in numbers:
                        numbers[event.run], rows[event.run] = self._known(event.run, len(numbers))
                    if event.run != NO_RUN:
                        rows[event.run].apply(event)
                self._connection.executemany(
                    "INSERT INTO events VALUES (?, ?, ?, ?, ?)",
                    ((e.seq, numbers[e.run], e.type, stamp(e.time), bytes.fromhex(e.prev)) for e in events),
                )
                self._connection.executemany(
                    "INSERT INTO facts VALUES (?, ?, ?, ?)",
                    ((*fact, numbers[e.run], e.seq) for e in events for fact in facts(e)),
                )
                if segment.fault is not None:
                    raise RecordTampered(f"{segment.fault}: `{verify_command(self.store)}`")
        self._connection.executemany(
            f"INSERT OR REPLACE INTO runs VALUES (?{', ?' * len(_COLUMNS)})",  # noqa: S608 -- question marks
            ((numbers[run], *_columns(row)) for run, row in rows.items()),
        )
        self.state = _state_at(read_entry(self.store, size - 1))
        self._connection.execute("DELETE FROM state")
        self._connection.execute("INSERT INTO state VALUES (?, ?, ?, ?, ?)", self.state)

    def _known(self, run: str, new: int) -> tuple[int, Row]:
        """The number and the row of a run, so far; of one that is new, after `new` others, the next number."""
        for known in self.rows("run = ?", [run]):
            return known
        ((most,),) = self.select("SELECT ifnull(max(id), 0) FROM runs")
        return int(most) + new + 1, Row(run)


def _columns(row: Row) -> list[Any]:
    return [json.dumps(getattr(row, name)) if name in _LISTS else getattr(row, name) for name in _COLUMNS]


def _row(columns: Sequence[Any]) -> Row:
    values = dict(zip(_COLUMNS, columns, strict=True))
    return Row(**{**values, **{name: tuple(json.loads(values[name])) for name in _LISTS}})


def _state_at(newest: entries.Entry) -> State:
    """The state of an index whose newest event this is."""
    root = base64.b64encode(newest.root).decode()
    checkpoint = newest.signed.checkpoint
    return State(VERSION, checkpoint.origin, checkpoint.size, root, line_hash(newest.line))


def log_size(store: Path, known: int) -> int:
    """How many events lie there, of which `known` do: a few looks, however long the log.

    Raises RecordTampered where one is missing though later ones lie there.
    """
    size = entries.count(lambda seq: _is_there(store, seq), known)
    later = next((size + step for step in _AHEAD if _is_there(store, size + step)), None)
    if later is not None and not _is_there(store, size):  # a writer may have been at work between the looks
        raise _gap(store, size, later)
    return size


def _is_there(store: Path, seq: int) -> bool:
    """Raises RecordTampered where what lies there is no file: it must not pass for the end of the log."""
    try:
        mode = (store / entries.name(seq)).lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(mode):
        raise RecordTampered(f"{entries.name(seq)} {stored_file.NO_FILE}: `{verify_command(store)}`")
    return True


def _gap(store: Path, seq: int, later: int) -> RecordTampered:
    return RecordTampered(
        f"{entries.name(seq)} is missing though {entries.name(later)} lies there: `{verify_command(store)}`"
    )


def _connect(place: Path | None) -> sqlite3.Connection:
    """An existing file (none is made here, where its mode could not be said), or memory. Raises sqlite3.Error for a link or a FIFO."""
    if place is not None and not (place.is_file() and not place.is_symlink()):
        raise sqlite3.OperationalError(f"{place} {stored_file.NO_FILE}")
    name = f"{place.absolute().as_uri()}?mode=rw" if place is not None else ":memory:"
    connection = sqlite3.connect(name, uri=True, timeout=_WAIT_S, isolation_level=None)
    connection.create_function("casefold", 1, str.casefold, deterministic=True)
    return connection
