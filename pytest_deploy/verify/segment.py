"""The log read in segments, by this process or, where it is long, by one process a core; the findings are the same.

A segment is held against itself: what one event's own bytes, and the event before it, can show. Steps 1 to 5 and the form of
step 7 need no more. What needs the whole log before an event (whether it is legal now, which key is in force) is in chain.py.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Self, TypeVar

from pytest_deploy.errors import IllegalEvent
from pytest_deploy.record import log_entry as entries
from pytest_deploy.record import stored_file
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import FIRST_PREV, Event, line_hash, parse_line
from pytest_deploy.record.log_entry import Entry, SignedCheckpoint, leaf_hash, newest_root, next_path
from pytest_deploy.verify.findings import Finding

SEGMENT: Final = 2048
"""Events that are read at a time."""
LONG: Final = 20_000
"""Events from which on starting processes (half a second) pays."""
_AHEAD: Final = 3
"""Jobs a process is given before their answers are fetched: it never waits, and few answers lie in memory."""
_OBJECT_LIMIT: Final = stored_file.LARGEST["log"]
"""Bytes of an object at most. More is not read."""
_KEY_EVENTS: Final = frozenset({"key.enrolled", "key.revoked", "key.rotated"})

Job = TypeVar("Job")
Answer = TypeVar("Answer")


class WorkerPool:
    """Runs jobs that need nothing of each other; answers come in the order of the jobs. Use it as a context manager."""

    def __init__(self, events: int, *, processes: int | None = None) -> None:
        """`events`: how long the log is. `processes`: how many to start, else one a core for a long log, none for a short."""
        cores = len(os.sched_getaffinity(0))
        self._processes = processes if processes is not None else cores if events >= LONG and cores > 1 else 0
        # Spawned, not forked: the caller may have threads (a lease, a client of the platform) whose locks a fork copies.
        context = multiprocessing.get_context("spawn")
        self._executor = (
            ProcessPoolExecutor(self._processes, mp_context=context, initializer=gc.disable)
            if self._processes
            else None
        )

    def __enter__(self) -> Self:
        self._collecting = gc.isenabled()
        if self._executor is not None:
            # Events hold no cycles: what is read and forgotten a million times need not be searched for them.
            gc.disable()
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes; what was not begun is not done."""
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
        if self._collecting:
            gc.enable()

    def map(self, function: Callable[[Job], Answer], jobs: Iterable[Job]) -> Iterator[Answer]:
        """`function(job)` for each. It stands at the top of a module; jobs, answers and exceptions can be pickled."""
        if self._executor is None:
            yield from map(function, jobs)
            return
        waiting: deque[tuple[Job, Future[Answer]]] = deque()
        for job in jobs:
            waiting.append((job, self._executor.submit(function, job)))
            if len(waiting) > _AHEAD * self._processes:
                yield _result(function, *waiting.popleft())
        while waiting:
            yield _result(function, *waiting.popleft())


def _result(function: Callable[[Job], Answer], job: Job, future: Future[Answer]) -> Answer:
    try:
        return future.result()
    except BrokenProcessPool:  # a process was killed: its work is done here
        return function(job)


def batched(items: Sequence[Job], size: int = 256) -> Iterator[Sequence[Job]]:
    """Pieces of a sequence, in order: one is a job worth handing to a process."""
    return (items[start : start + size] for start in range(0, len(items), size))


@dataclass(frozen=True)
class Range:
    store: Path
    start: int
    stop: int
    """The first that is not read."""
    signed_from: int
    """Events from here on come with their checkpoint, key events always."""


@dataclass(frozen=True)
class Segment:
    """What was read, as far as it holds."""

    events: tuple[tuple[Event, SignedCheckpoint | None], ...]
    fault: Finding | None
    """What is wrong with the event after the last one; None where all were read."""


def read_segments(pool: WorkerPool, store: Path, start: int, stop: int, *, signed_from: int) -> Iterator[Segment]:
    ranges = (Range(store, at, min(at + SEGMENT, stop), signed_from) for at in range(start, stop, SEGMENT))
    return pool.map(read_segment, ranges)


def read_segment(wanted: Range) -> Segment:
    """Read one segment; nothing is raised for a bad event."""
    events: list[tuple[Event, SignedCheckpoint | None]] = []
    before: _Predecessor | None = _NOTHING if wanted.start == 0 else None
    for seq in range(max(wanted.start - 1, 0), wanted.stop):
        try:
            data = _read_object(wanted.store, seq)
            expected = _compare(data, seq, before) if before is not None and seq < wanted.signed_from else None
            if expected is not None:
                event, before = expected
                events.append((event, None))
                continue
            entry = entries.parse(data)
        except OSError as error:
            return Segment(tuple(events), Finding.unreadable(2, wanted.store, error))
        except IllegalEvent as error:
            return Segment(tuple(events), Finding(2, entries.name(seq), str(error)))
        if before is not None:
            if (fault := _fault(entry, before, seq)) is not None:
                return Segment(tuple(events), Finding(fault[0], entries.name(seq), fault[1]))
            carried = seq >= wanted.signed_from or is_key_event(entry.event)
            events.append((entry.event, entry.signed if carried else None))
        before = _Predecessor.of(entry)
    return Segment(tuple(events), None)


def read_entry(store: Path, seq: int) -> Entry:
    """One event as it lies in a store. Raises IllegalEvent; OSError, for a symbolic link too."""
    return entries.parse(_read_object(store, seq))


def is_key_event(event: Event) -> bool:
    return event.type in _KEY_EVENTS


@dataclass(frozen=True)
class _Predecessor:
    """The event before: what the next one must continue."""

    line_sha256: str
    """Of its line, hex."""
    earliest: datetime | None
    """The earliest time the next may carry; None for event 0."""
    path: tuple[bytes, ...]
    """The inclusion path of the next."""
    texts: tuple[str, ...]
    """The same in base64."""
    origin: str

    @classmethod
    def of(cls, entry: Entry) -> Self:
        path = entry.path_after
        texts = tuple(map(entries.base64_of, path))
        return cls(line_hash(entry.line), entry.event.earliest_next, path, texts, entry.signed.checkpoint.origin)


_NOTHING: Final = _Predecessor(FIRST_PREV, None, (), (), "")


def _read_object(store: Path, seq: int) -> bytes:
    # A million times: a stream costs three times as much.
    descriptor = stored_file.open_regular(f"{store}/{entries.name(seq)}", _OBJECT_LIMIT)
    try:
        return os.read(descriptor, _OBJECT_LIMIT + 1)
    finally:
        os.close(descriptor)


def _compare(data: bytes, seq: int, before: _Predecessor) -> tuple[Event, _Predecessor] | None:
    """The event and what follows from it, where every byte of its proof but the signature is the one it must be.

    The short way for old events, whose signature is not looked at: 1.2 times as fast as parsing the proof. None where
    anything is otherwise: then the proof is parsed, and `_fault` says what. Raises IllegalEvent as parsing it would.
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
        or event.fault is not None
        or is_key_event(event)
    ):
        return None
    path = next_path(seq, before.path, leaf)
    kept = before.texts[len(before.texts) - len(path) + 1 :]
    texts = (entries.base64_of(path[0]), *kept)
    return event, _Predecessor(line_hash(line), event.earliest_next, path, texts, before.origin)


def _fault(entry: Entry, before: _Predecessor, seq: int) -> tuple[int, str] | None:
    """The number of the first step that the event fails, and how; None where it stands. Step 2 was parsing it."""
    event, checkpoint = entry.event, entry.signed.checkpoint
    fault: tuple[int, str] | None = None
    # 1. It holds the position that its name says.
    if event.seq != seq:
        fault = 1, f"holds event {event.seq}: renamed or swapped"
    # 3. It continues the line before it.
    elif event.prev != before.line_sha256:
        fault = 3, f"its prev is not the hash of event {seq - 1}"
    # 4. Time does not go back.
    elif before.earliest is not None and event.time < before.earliest:
        fault = 4, f"its time {stamp(event.time)} is before {stamp(before.earliest)}"
    # 5. Its inclusion path continues the tree before it, and its checkpoint is of the tree that it leads to;
    #    6. of the same log.
    elif entry.path != before.path:
        fault = 5, "its inclusion path does not continue the tree before it"
    elif before.origin and checkpoint.origin != before.origin:
        fault = 6, f"its checkpoint is of another log, {checkpoint.origin}"
    elif checkpoint.size != seq + 1:
        fault = 5, f"its checkpoint is of size {checkpoint.size}"
    elif checkpoint.root != entry.root:
        fault = 5, "its root is not that of the tree"
    # 7. Its data has the form of its type. (Whether the type is legal now: chain.py.)
    elif event.fault is not None:
        fault = 7, event.fault
    return fault
