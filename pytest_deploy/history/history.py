"""The indexes asked, and every answer held against the log's own events: an index can be slow or gone, never wrong.

Where the two differ the index is built again, once; if they still differ, the log changed under the reader's eyes.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from pytest_deploy.errors import RecordTampered, UsageError
from pytest_deploy.history.index import Index, Stale
from pytest_deploy.history.runs import ABANDONED, CLAIMED, EXERCISED, Fact, Row, RunQuery, facts
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import TrafficMoved, TrailReviewed
from pytest_deploy.record.run_id import NO_RUN
from pytest_deploy.workspace import verify_command

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Listed:
    source: str
    """The store's name: the environment, or `rehearsal/<environment>`."""
    row: Row
    events: tuple[int, ...]
    """Positions of all events the answer rests on."""
    results: tuple[tuple[str, str], ...] = ()
    """Of the assertions that were asked for: each that the run exercised, and whether it is verified or failed."""


@dataclass(frozen=True)
class Exercise:
    """When an assertion was exercised last, with what result."""

    assertion: str
    source: str
    result: str
    """verified or failed: in one run a step that failed counts before one that verified."""
    event: Event
    """The step's."""


@dataclass(frozen=True)
class Listing:
    """Runs, newest first."""

    total: int
    """How many there are, listed or not."""
    runs: tuple[Listed, ...]


@dataclass(frozen=True)
class RunEvents:
    source: str
    events: tuple[Event, ...]
    """Its own, in order."""
    anchors: tuple[Event, ...]
    """The first anchor that was made of a log that holds all of them, where there is one."""
    checkpoint: str
    """The anchor line of the log up to its last event: `tlog <origin> <size> <root>`."""


@dataclass(frozen=True)
class Serving:
    revision: str
    """The platform's name of it; empty where the record tells of no traffic, only of a run that deployed."""
    percent: float
    events: tuple[Event, ...]
    """All of the run that made it; empty where none did: the platform's placeholder."""

    @property
    def row(self) -> Row | None:
        return Row.of(self.events) if self.events else None


@dataclass(frozen=True)
class AsOf:
    """One environment at one instant. Traffic decides what served, not what a run claimed.

    Instants are the record's own, UTC: a rehearsal whose clock was shifted is looked for at its real time.
    """

    source: str
    instant: str
    serving: tuple[Serving, ...]
    """Most traffic first; empty where nothing had been deployed."""
    moved: Event | None
    """The traffic.moved that brought it about."""
    in_progress: tuple[str, ...]
    """Runs that were open then: what served may have been on its way."""
    newest: Event | None = None
    """The record's last event, where it lies before the instant: of what came after it this record knows nothing."""


class History:
    """Several stores, asked as one. Use it as a context manager."""

    def __init__(self, stores: Mapping[str, Path], state: Path, *, rebuild: bool = False) -> None:
        """`stores` by name; indexes are kept in the folder `state`, and built again with `rebuild`, where nobody wants to rely on them."""
        self._stores = stores
        self._state = state
        self._rebuild = rebuild
        self._indexes: dict[str, Index] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for index in self._indexes.values():
            index.close()

    def runs(self, query: RunQuery, *, limit: int = 0) -> Listing:
        """The newest `limit` runs asked for (0: all). Raises RecordTampered where a log is not what it was."""
        total, listed = 0, []
        for name in self._stores:
            count, runs = self.ask(name, lambda index: _find(index, query, limit))
            total += count
            listed += [Listed(name, row, events, results) for row, events, results in runs]
        listed.sort(key=lambda one: one.row.began, reverse=True)
        return Listing(total, tuple(listed[: limit or None]))

    def assertions(self) -> frozenset[str]:
        """Every assertion that a step of these records could exercise. Raises RecordTampered."""
        named = (self.ask(name, lambda index: index.select(_NAMED, *_OF_ASSERTIONS)) for name in self._stores)
        return frozenset(name for rows in named for (name,) in rows)

    def last_exercise(self, assertion: str) -> Exercise | None:
        """The newest exercise of an assertion; None where these records hold none. Raises RecordTampered."""
        found = [self.ask(name, lambda index: _last_exercise(index, name, assertion)) for name in self._stores]  # noqa: B023 -- asked at once
        return max((one for one in found if one is not None), key=lambda one: one.event.time, default=None)

    def show(self, run: str) -> RunEvents:
        """One run. Raises UsageError where no store knows it, naming those whose name is like it; RecordTampered."""
        like: list[str] = []
        for name in self._stores:
            answer = self.ask(name, lambda index: _show(index, name, run))  # noqa: B023 -- asked at once
            if answer is not None:
                return answer
            like += [suggestions for (suggestions,) in self.ask(name, lambda index: index.select(_LIKE, run, NO_RUN))]
        suggestions = f"; like it: {', '.join(like[:5])}" if like and run else ""
        raise UsageError(f"no record of {', '.join(self._stores)} knows a run {run!r}{suggestions}")

    def as_of(self, source: str, instant: str) -> AsOf:
        """The environment of a store at an instant (a stamp). Raises RecordTampered."""
        return self.ask(source, lambda index: _as_of(index, source, instant))

    def last_review(self, source: str) -> tuple[Event | None, int]:
        """The newest review of a store's audit trail, and how many events the log holds. Raises RecordTampered."""
        return self.ask(source, _last_review)

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
            raise RecordTampered(
                f"{error}: the log of {name} changed while it was read: `{verify_command(self._stores[name])}`"
            ) from error

    def _index(self, name: str) -> Index:
        if name not in self._indexes:
            store = self._stores[name]
            mark = hashlib.sha256(str(store.resolve()).encode()).hexdigest()[:8]
            place = self._state / f"{name.replace('/', '-')}-{mark}.sqlite"
            self._indexes[name] = Index.open(store, place, rebuild=self._rebuild)
        return self._indexes[name]


_OVER: Final = "CASE WHEN ended != '' THEN ended WHEN opened != '' THEN '~' ELSE newest END"
"""The stamp from which on nothing of a run happened: its end; the newest of its request, where it never ran; after all while it goes on."""
_LIKE: Final = "SELECT run FROM runs WHERE instr(run, ?) AND run != ? ORDER BY began DESC LIMIT 5"
_DEPLOYED: Final = "SELECT run FROM runs WHERE outcome = 'deployed' AND ended <= ? ORDER BY ended DESC, id DESC LIMIT 1"
_NAMED: Final = "SELECT DISTINCT value FROM facts WHERE kind IN (?, ?, ?)"
_OF_ASSERTIONS: Final = (*EXERCISED, CLAIMED)
_EXERCISED: Final = (
    "SELECT kind, seq FROM facts WHERE kind IN (?, ?) AND value = ?"
    " AND run = (SELECT run FROM facts WHERE kind IN (?, ?) AND value = ? ORDER BY seq DESC LIMIT 1)"
)
_MADE: Final = "SELECT seq FROM facts WHERE kind = 'revision' AND value = ? AND seq <= ? ORDER BY seq DESC LIMIT 1"


_Found = tuple[Row, tuple[int, ...], tuple[tuple[str, str], ...]]
"""A row, the positions it rests on, and what it says of the assertions that were asked for."""


def _find(index: Index, query: RunQuery, limit: int) -> tuple[int, list[_Found]]:
    """How many runs are asked for, and the newest of them. Raises Stale."""
    fact_terms = _fact_terms(query)
    terms = [*_row_terms(query)]
    terms += [(f"id IN (SELECT run FROM facts WHERE {term})", values) for term, values in fact_terms]  # noqa: S608 -- as below
    where = " AND ".join(["began != ''", *(term for term, _ in terms)])
    given = [value for _, values in terms for value in values]
    ((total,),) = index.select(f"SELECT count(*) FROM runs WHERE {where}", *given)  # noqa: S608 -- constant words, values are bound
    because = " OR ".join(term for term, _ in fact_terms) or "0"
    looked_up = [value for _, values in fact_terms for value in values]
    matches = []
    for number, row in index.rows(where, given, limit=limit):
        # The condition holds of what the index says. Now: the log says the same, of the run and of each fact.
        if Row.of(index.event(seq) for seq in row.events) != row:
            raise Stale(f"{row.run} is not as it was indexed")
        positions = set(row.events)
        results: dict[str, str] = {}
        facts_of_run = f"SELECT seq, kind, value FROM facts WHERE run = ? AND ({because})"  # noqa: S608 -- as above
        for seq, *values in index.select(facts_of_run, number, *looked_up):
            event, fact = index.event(seq), Fact(*values)
            if event.run != row.run or fact not in facts(event):
                raise Stale(f"{row.run} is not as it was indexed")
            positions.add(seq)
            if fact.kind in EXERCISED:
                results[fact.value] = min(results.get(fact.value, fact.kind), fact.kind, key=EXERCISED.index)
        matches.append((row, tuple(sorted(positions)), tuple(sorted(results.items()))))
    return total, matches


def _row_terms(query: RunQuery) -> list[tuple[str, list[Any]]]:
    """What is asked of a run as a whole: conditions over `runs`, of constant words, each with its values."""
    terms: list[tuple[str, list[Any]]] = [
        (term, [value])
        for term, value in (
            (f"{_OVER} >= ?", query.since),
            ("began < ?", query.until),
            ("version = ?", query.version),
            ("instr(casefold(deployer), ?)", query.deployer.casefold()),
        )
        if value
    ]
    for column, prefix in (('"commit"', query.commit), ("digest", query.digest)):
        if prefix:
            after = prefix[:-1] + chr(ord(prefix[-1]) + 1)  # the least text after every text that begins so
            terms.append((f"{column} >= ? AND {column} < ?", [prefix, after]))
    if query.unreviewed:
        terms.append(("ended != '' AND outcome != ? AND reviews = '[]'", [ABANDONED]))
    for column, words in (("outcome", query.outcomes), ("pipeline", query.pipelines)):
        if words:
            terms.append((f"{column} IN ({', '.join('?' for _ in words)})", list(words)))
    return terms


def _fact_terms(query: RunQuery) -> list[tuple[str, list[Any]]]:
    """What is asked of single events: conditions over `facts`."""
    terms: list[tuple[str, list[Any]]] = []
    if query.approver:
        terms.append(("kind = 'signer' AND instr(value, ?)", [query.approver.casefold()]))
    if query.migration:
        terms.append(("kind = 'migration' AND value = ?", [query.migration]))
    if name := query.requirement:
        # The requirement, or a part of it: `-` or `.` and what follows.
        terms.append(
            (
                "kind IN (?, ?) AND (value = ? OR value >= ? AND value < ?)",
                [*EXERCISED, name, f"{name}-", f"{name}/"],
            )
        )
    return terms


def _last_exercise(index: Index, source: str, assertion: str) -> Exercise | None:
    """The newest in one store. Raises Stale."""
    rows = index.select(_EXERCISED, *EXERCISED, assertion, *EXERCISED, assertion)
    if not rows:
        return None
    kind, seq = min(rows, key=lambda row: (EXERCISED.index(row[0]), -row[1]))
    event = index.event(seq)
    if Fact(kind, assertion) not in facts(event):
        raise Stale(f"event {seq} is not as it was indexed")
    return Exercise(assertion, source, kind, event)


def _last_review(index: Index) -> tuple[Event | None, int]:
    """Raises Stale."""
    rows = index.select("SELECT seq FROM events WHERE type = ? ORDER BY seq DESC LIMIT 1", TrailReviewed.type)
    event = index.event(rows[0][0]) if rows else None
    if event is not None and event.type != TrailReviewed.type:
        raise Stale(f"event {event.seq} is not as it was indexed")
    return event, index.state.size


def _show(index: Index, source: str, run: str) -> RunEvents | None:
    events = index.events(run)
    if not events:
        return None
    last = events[-1].seq
    after = index.select("SELECT seq FROM events WHERE type = 'anchor.made' AND seq > ? ORDER BY seq LIMIT 1", last)
    anchors = tuple(index.event(seq) for (seq,) in after)
    return RunEvents(source, events, anchors, index.entry(last).signed.checkpoint.anchor)


def _as_of(index: Index, source: str, instant: str) -> AsOf:
    open_then = index.select(
        "SELECT run FROM runs WHERE opened != '' AND opened <= ? AND (ended = '' OR ended > ?) ORDER BY id",
        *(instant, instant),
    )
    moves = index.select(
        "SELECT seq FROM events WHERE type = 'traffic.moved' AND time <= ? ORDER BY seq DESC LIMIT 1", instant
    )
    moved = index.event(moves[0][0]) if moves else None
    serving: list[Serving] = []
    if moved is not None and stamp(moved.time) <= instant and isinstance(moved.content, TrafficMoved):
        # Traffic was moved: each revision that gets some, and the run that made it.
        for revision, percent in sorted(moved.content.after.items(), key=lambda share: -share[1]):
            if percent:
                serving.append(Serving(revision, percent, _events_of_maker(index, revision, moved.seq)))
    else:
        # The record tells of no traffic: the run that had deployed last.
        moved = None
        serving += [Serving("", 100, index.events(run)) for (run,) in index.select(_DEPLOYED, instant)]
    last = index.event(index.state.size - 1)
    newest = last if stamp(last.time) < instant else None
    return AsOf(source, instant, tuple(serving), moved, tuple(run for (run,) in open_then), newest)


def _events_of_maker(index: Index, revision: str, until: int) -> tuple[Event, ...]:
    """All events of the run that made a revision last, up to a position; none where none did. Raises Stale."""
    for (seq,) in index.select(_MADE, revision, until):
        event = index.event(seq)
        if Fact("revision", revision) not in facts(event):
            raise Stale(f"event {seq} is not as it was indexed")
        return index.events(event.run)
    return ()
