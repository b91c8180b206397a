"""The indexes asked, and every answer told anew from the log's own events: an index can be slow or gone, never wrong.

Where the two differ the index is built again, once; if they still differ, the log changed under the reader's eyes.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from pytest_deploy.errors import RecordTampered, UsageError
from pytest_deploy.history.index import Found, Index, Stale
from pytest_deploy.history.query import Asked
from pytest_deploy.history.row import Row, facts
from pytest_deploy.record.event import Event
from pytest_deploy.record.log_entry import Checkpoint

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Listed:
    """One run that was asked for."""

    source: str
    """The store's name: the environment, or `rehearsal/<environment>`."""
    row: Row
    events: tuple[int, ...]
    """Positions of all events the answer rests on."""


@dataclass(frozen=True)
class Listing:
    """Runs, newest first."""

    total: int
    """How many there are, shown or not."""
    runs: tuple[Listed, ...]


@dataclass(frozen=True)
class Shown:
    """One run whole."""

    source: str
    events: tuple[Event, ...]
    """Its own, in order."""
    anchors: tuple[Event, ...]
    """The first anchor that was made of a log that holds all of them, where there is one."""
    checkpoint: str
    """The anchor line of the log up to its last event: `tlog <origin> <size> <root>`."""


class History:
    """Several stores, asked as one."""

    def __init__(self, stores: Mapping[str, Path], state: Path, *, anew: bool = False) -> None:
        """`stores` by name; indexes are kept in the folder `state`, and built `anew` where one does not want to rely on them."""
        self._stores = stores
        self._state = state
        self._anew = anew
        self._open: dict[str, Index] = {}
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the indexes."""
        self._closing.close()

    def runs(self, asked: Asked, *, limit: int = 0) -> Listing:
        """The newest `limit` runs asked for (0: all). Raises RecordTampered where a log is not what it was."""
        total, listed = 0, []
        for name in self._stores:
            count, found = self.ask(name, lambda index: _listed(index, asked, limit))
            total += count
            listed += [Listed(name, row, events) for row, events in found]
        listed.sort(key=lambda one: one.row.began, reverse=True)
        return Listing(total, tuple(listed[: limit or None]))

    def show(self, run: str) -> Shown:
        """One run. Raises UsageError where no store knows it, naming those whose name is like it; RecordTampered."""
        like: list[str] = []
        for name in self._stores:
            events = self.ask(name, lambda index: tuple(index.event(seq) for seq in index.positions(run)))
            if events:
                anchors, checkpoint = self.ask(name, lambda index: _outside(index, events[-1].seq))  # noqa: B023 -- asked at once
                return Shown(name, events, anchors, checkpoint)
            like += self.ask(name, lambda index: index.like(run))
        known = f"; like it: {', '.join(like[:5])}" if like and run else ""
        raise UsageError(f"no record of {', '.join(self._stores)} knows a run {run!r}{known}")

    def ask(self, name: str, question: Callable[[Index], Answer]) -> Answer:
        """One store's answer; built anew and asked again where the index and the log differ. Raises RecordTampered."""
        index = self._index(name)
        try:
            return question(index)
        except (Stale, sqlite3.Error, ValueError, KeyError, TypeError):  # whatever a damaged index may say
            index.rebuild()
        try:
            return question(index)
        except Stale as error:
            raise RecordTampered(f"{error}: the log of {name} changed while it was read; deploy.py verify") from error

    def _index(self, name: str) -> Index:
        if name not in self._open:
            store = self._stores[name]
            mark = hashlib.sha256(str(store.resolve()).encode()).hexdigest()[:8]
            place = self._state / f"{name.replace('/', '-')}-{mark}.sqlite"
            self._open[name] = Index.open(store, place, anew=self._anew)
            self._closing.callback(self._open[name].close)
        return self._open[name]


def _listed(index: Index, asked: Asked, limit: int) -> tuple[int, list[tuple[Row, tuple[int, ...]]]]:
    total, found = index.find(asked, limit=limit)
    return total, [_held(index, asked, one) for one in found]


def _held(index: Index, asked: Asked, found: Found) -> tuple[Row, tuple[int, ...]]:
    """What the index found, told by the log. Raises Stale where that is something else."""
    row = Row.of(index.event(seq) for seq in found.row.events)
    known = [fact for seq in found.because for fact in facts(index.event(seq))]
    if row != found.row or not asked.accepts(row, known):
        raise Stale(f"{row.run} is not as it was indexed")
    return row, tuple(sorted({*row.events, *found.because}))


def _outside(index: Index, seq: int) -> tuple[tuple[Event, ...], str]:
    anchor = index.next_anchor(seq)
    checkpoint: Checkpoint = index.checkpoint(seq)
    return () if anchor is None else (index.event(anchor),), checkpoint.anchor
