"""The log: append an event, durably, in its place, once; read it back.

Head -> build -> create. The newest object authenticates itself and carries all that the next one needs, so an append
reads what others wrote since and creates one object: no index, no lock, no listing. Where the name exists, stored bytes
equal to mine are my own write whose reply was lost; anything else means that another writer won, and all is rebuilt on
the new head, conditions and legality included. A loser's checkpoint never leaves the process.
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, pairwise, takewhile
from typing import Final

from pytest_deploy.errors import IllegalEvent, RecordError, RecordTampered, StoreUnavailable
from pytest_deploy.record import events as event_types
from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.clock import Clock, stamp, whole_milliseconds
from pytest_deploy.record.event import FIRST_PREV, Event, canonical, line_hash
from pytest_deploy.record.events import AlertRaised, ClockSkewed, EventContent, Json
from pytest_deploy.record.key import LogKey, Signer
from pytest_deploy.record.log_entry import Entry, SignedCheckpoint, check_follows, check_signed
from pytest_deploy.record.redaction import redacted
from pytest_deploy.record.run_id import NO_RUN, earliest_event_time
from pytest_deploy.record.run_state import LogState
from pytest_deploy.record.store import Exists, Missing, Store
from pytest_deploy.record.transitions import check_transition
from pytest_deploy.workspace import Workspace, verify_command

SKEW_ALERT: Final = timedelta(seconds=2)
SKEW_LIMIT: Final = timedelta(seconds=60)
_SKEW_GROWTH: Final = timedelta(seconds=1)  # a skew is noted again when it has grown by this much
_ACTOR: Final = "system:record"


@dataclass(frozen=True)
class LogView:
    """What a condition is evaluated against: the log up to its head, right before the event that it is for."""

    time: datetime
    """UTC; the time the event will carry."""
    state: LogState
    """Covers the newest lease and every open run that took it; `LogState.of(reversed(list(log.backwards())))` the whole log."""
    log: Log


AppendCondition = Callable[[LogView], None]
"""Raises (LeaseHeld, ManualInterventionRequired, Refused …) where the event may not be appended; called again on every rebuild."""


class Log:
    """One environment's log. Safe to share between threads; other processes append to the same store with their own."""

    def __init__(
        self,
        store: Store,
        signer: Signer,
        origin: str,
        clock: Clock,
        *,
        shift: timedelta | None = None,
        redact: Callable[[str], str] | None = None,
    ) -> None:
        """`clock` is the real one; in a rehearsal `shift` is what its own clock is ahead: each event carries both.

        `redact` is asked about every text of an event's data, before it is written.
        """
        self.store = store
        self.clock = clock
        self.key = LogKey(origin, signer.public)
        self._signer = signer
        self._shift = shift
        self._redact = redact
        self._history: list[Event] = []
        self._lock = threading.RLock()
        self._tail: deque[Entry] = deque()  # without gaps, up to the head
        self._state = LogState()
        self._state_range = range(0)  # the positions _state covers
        self._lease_reached = False  # whether _tail reaches back to a lease taken for a run that was not open
        self._reported_skew = timedelta()
        self._retired_by: Event | None = None  # the key.rotated that retired this process's key

    def append(self, content: EventContent, *, run: str, actor: str, condition: AppendCondition | None = None) -> Event:
        """Add an event; when this returns it is durable.

        `run` is a run's name or `-`. Raises IllegalEvent where the data or its turn is wrong; whatever
        `condition` raises; RecordError where the clock is more than 60 s behind the log; StoreUnavailable; RecordTampered
        where the head is not what the log's key signed. After any of these nothing was added; after StoreUnavailable a
        write all of whose replies were lost may be there all the same, once: whoever reads the log finds it.
        """
        said = content.as_data()
        data = self._checked(content.type, said if self._redact is None else redacted(said, self._redact))
        with self._lock:
            while True:
                self._read_back_to(run, leases=condition is not None or content.type == "lease.taken")
                self._refuse_retired()
                now = whole_milliseconds(self.clock.now())
                earliest = self._earliest_time()
                behind = max(earliest - now, timedelta())
                if behind > SKEW_LIMIT:
                    raise RecordError(
                        f"this machine's clock ({stamp(now)}) is {behind.total_seconds():.0f} s behind the log's newest event "
                        f"({stamp(earliest)}): set the clock; if the log is what is wrong: "
                        f"`{Workspace.of_store(self.store.path).command_line('recover', '--clock')}`"
                    )
                time = max(now, earliest)
                if condition is not None:
                    condition(LogView(time, self._state, self))
                event = self._draft(content.type, data, run, actor, time)
                check_transition(self._state, event)
                if behind > self._reported_skew:
                    self._note_skew(behind, now, run)
                elif (appended := self._try_append(event)) is not None:
                    return appended

    def check(self, content: EventContent, *, run: str, actor: str) -> None:
        """Refuse what `append` would refuse now, and what it would not write as it stands. Raises as it; adds nothing."""
        said = content.as_data()
        if self._redact is not None and canonical(redacted(said, self._redact)) != canonical(said):
            raise IllegalEvent(
                f"{content.type} holds a known secret, or what a database says of a row: write it without"
            )
        data = self._checked(content.type, said)
        with self._lock:
            self._read_back_to(run, leases=False)
            self._refuse_retired()
            time = max(whole_milliseconds(self.clock.now()), self._earliest_time())
            event = self._draft(content.type, data, run, actor, time)
            check_transition(self._state, event)
            event.line()

    def mend_clock(self, *, actor: str) -> Event:
        """Let time start again at this machine's, where the head lies over 60 s in the future: a signed `clock.skewed`.

        Raises RecordError where the head does not.
        """
        with self._lock:
            while True:
                self._advance()
                now, earliest = whole_milliseconds(self.clock.now()), self._earliest_time()
                if earliest - now <= SKEW_LIMIT:
                    raise RecordError(
                        f"the log's newest event ({stamp(earliest)}) is not in the future; nothing to mend"
                    )
                skewed = ClockSkewed(skew_s=(earliest - now).total_seconds(), source="recover --clock", restart=now)
                event = self._draft(skewed.type, skewed.as_data(), NO_RUN, actor, self._tail[-1].event.time)
                if (appended := self._try_append(event)) is not None:
                    return appended

    def use_signer(self, signer: Signer) -> None:
        """Let another key sign from now on: the one that the log's newest key event names."""
        with self._lock:
            self._signer = signer
            self.key = LogKey(self.key.origin, signer.public)
            self._retired_by = None

    def head(self) -> Event | None:
        """The newest event, authenticated against the log's key; None where the log is empty."""
        with self._lock:
            self._advance()
            return self._tail[-1].event if self._tail else None

    def checkpoint(self) -> str:
        """The line that goes outside: `tlog <origin> <size> <root>`. Raises RecordError where the log is empty."""
        return self.signed().checkpoint.anchor

    def signed(self) -> SignedCheckpoint:
        """The newest checkpoint, signed. Raises RecordError where the log is empty."""
        with self._lock:
            self._advance()
            if not self._tail:
                raise RecordError("an empty log has nothing to anchor")
            return self._tail[-1].signed

    def root(self, size: int) -> bytes:
        """The root at an earlier size, at most the log's, as that event's line and path give it."""
        return self._read(size - 1).root

    def events(self, start: int = 0) -> Iterator[Event]:
        """The events from `start` to the head, in order; each only once the next, or the signed head, vouches for it.

        Raises RecordTampered at the first that does not follow.
        """
        with self._lock:
            self._advance()
            head = self._tail[-1] if self._tail else None
        if head is None or start > head.event.seq:
            return
        for before, entry in pairwise(chain(map(self._read, range(start, head.event.seq)), (head,))):
            check_follows(before, entry)
            yield before.event
        yield head.event

    def history(self) -> tuple[Event, ...]:
        """Every event so far, in order; what this process has read once it does not read again. Raises RecordTampered."""
        with self._lock:
            # From the last one known, so that the first new one is held against it.
            known = self._history[:-1]
            self._history = [*known, *self.events(len(known))]
            return tuple(self._history)

    def run(self, run: str) -> list[Event]:
        """Every event of a run so far, in order."""
        with self._lock:
            self._read_back_to(run, leases=False)
            return self.run_in_memory(run)

    def run_in_memory(self, run: str) -> list[Event]:
        """The events of a run that this process wrote or read: the store, which may be down, is not asked."""
        with self._lock:
            return [entry.event for entry in self._tail if entry.event.run == run]

    def backwards(self) -> Iterator[Event]:
        """The events from the head down to 0, newest first; read only as far as asked."""
        with self._lock:
            tail = list(self._tail)
        yield from (entry.event for entry in reversed(tail))
        for seq in range(tail[0].event.seq - 1 if tail else -1, -1, -1):
            yield self._read(seq).event

    def _try_append(self, event: Event) -> Event | None:
        """Create the next object; None where another writer was faster (what it wrote is read by the next _advance)."""
        path = self._tail[-1].path_after if self._tail else ()
        entry, stored = entries.build(event, path, self.key.origin, self._signer)
        if not self._create(entries.name(event.seq), stored):
            return None
        self._add_to_tail(entry)
        return entry.event

    def _checked(self, event_type: str, data: Mapping[str, Json]) -> Mapping[str, Json]:
        if self._shift is not None:
            data = {**data, "clock": stamp(self.clock.now() + self._shift)}
        event_types.parse(event_type, data)
        return data

    def _draft(self, event_type: str, data: Mapping[str, Json], run: str, actor: str, time: datetime) -> Event:
        head = self._tail[-1] if self._tail else None
        return Event(
            seq=0 if head is None else head.event.seq + 1,
            prev=FIRST_PREV if head is None else line_hash(head.line),
            time=time,
            id=secrets.token_hex(8),
            type=event_type,
            run=run,
            actor=actor,
            data=data,
        )

    def _create(self, name: str, stored: bytes) -> bool:
        """Whether the object under `name` is mine."""
        try:
            self.store.create(name, stored)
        except Exists:
            return False
        except StoreUnavailable:
            # It may have been stored and only the reply lost: the same bytes again tell.
            try:
                self.store.create(name, stored)
            except Exists:
                return self.store.get(name) == stored
        return True

    def _add_to_tail(self, entry: Entry) -> None:
        self._tail.append(entry)
        self._lease_reached |= _begins_lease(entry.event)

    def _apply_tail(self) -> None:
        """Bring the state up to the tail. A signal's exception may cut it short anywhere: again is no change."""
        if not self._tail:
            return
        if self._tail[0].event.seq != self._state_range.start:
            self._state, self._state_range = LogState(), range(self._tail[0].event.seq, self._tail[0].event.seq)
        pending = takewhile(lambda entry: entry.event.seq >= self._state_range.stop, reversed(self._tail))
        for entry in reversed(list(pending)):
            self._state.apply(entry.event)
            self._state_range = range(self._state_range.start, entry.event.seq + 1)

    def _advance(self) -> None:
        """Read what others wrote since; authenticate the newest."""
        known = self._tail[-1].event.seq if self._tail else -1
        newest = entries.count(self._has, known + 1) - 1
        if newest == known:
            return
        read = [self._read(seq) for seq in range(known + 1 if self._tail else newest, newest + 1)]
        # What follows a rotation is signed by another key: it cannot be authenticated with the one this process holds.
        rotations = (entry.event for entry in read if entry.event.type == "key.rotated")
        retired_by = next((event for event in rotations if event.data.get("vkey") != self.key.vkey), None)
        self._retired_by = self._retired_by or retired_by
        if self._retired_by is not None and self._retired_by is not read[-1].event:
            self._refuse_retired()
        check_signed(read[-1], self.key)
        for before, entry in pairwise([*([self._tail[-1]] if self._tail else []), *read]):
            check_follows(before, entry)
        for entry in read:
            self._add_to_tail(entry)

    def _refuse_retired(self) -> None:
        if self._retired_by is not None:
            rotated = self._retired_by.data
            raise RecordError(
                f"event {self._retired_by.seq} rotated the log's key to {rotated.get('vkey')} ({rotated.get('signer')}), and this process "
                "holds the one before it: run the command again; with keys in Cloud KMS finish the rotation first "
                "(keys rotate ENV --to VERSION), then set record.key to that version"
            )

    def _has(self, seq: int) -> bool:
        try:
            self.store.get(entries.name(seq))
        except Missing:
            return False
        return True

    def _read_back_to(self, run: str, *, leases: bool) -> None:
        """Know the log up to its head, back to before `run` was named, and to the newest lease where asked.

        A lease is taken only where no leased run is in progress, so nothing before the newest one can still be open.
        """
        self._advance()
        since = earliest_event_time(run, self.clock.now())
        while self._tail and self._tail[0].event.seq > 0:
            oldest = self._tail[0]
            if (self._lease_reached or not leases) and (since is None or oldest.event.time < since):
                break
            before = self._read(oldest.event.seq - 1)
            check_follows(before, oldest)
            self._tail.appendleft(before)
            self._lease_reached |= _begins_lease(before.event)
        self._apply_tail()

    def _read(self, seq: int) -> Entry:
        name = entries.name(seq)
        try:
            entry = entries.parse(self.store.get(name))
        except Missing as error:
            raise RecordTampered(
                f"{name} is missing, yet later events exist: `{verify_command(self.store.path)}`"
            ) from error
        except IllegalEvent as error:
            raise RecordTampered(f"{name} is not as it was written: {error}") from error
        if entry.event.seq != seq:
            raise RecordTampered(f"{name} holds event {entry.event.seq}: it was renamed or swapped")
        return entry

    def _earliest_time(self) -> datetime:
        """The earliest time the next event may carry."""
        if not self._tail:
            return datetime.min.replace(tzinfo=UTC)
        return self._tail[-1].event.earliest_next

    def _note_skew(self, behind: timedelta, now: datetime, run: str) -> None:
        self._reported_skew = behind + _SKEW_GROWTH
        place = run if run != NO_RUN and self._state.run(run).known else NO_RUN
        seconds = behind.total_seconds()
        skewed = ClockSkewed(skew_s=seconds, source="the event before", observed=now)
        self.append(skewed, run=place, actor=_ACTOR)
        if behind > SKEW_ALERT:
            detail = (
                f"a writer's clock is {seconds:.3f} s behind the log; over {SKEW_LIMIT.seconds} s nothing is written"
            )
            self.append(AlertRaised(alert="clock", detail=detail), run=place, actor=_ACTOR)


def _begins_lease(event: Event) -> bool:
    return event.type == "lease.taken" and not event.data.get("recovers", False)
