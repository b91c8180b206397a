"""What ran at an instant, who allowed it, what was passed over. Traffic decides what served, not what a run claimed.

Instants are the record's own, UTC: a rehearsal whose clock was shifted is looked for at its real time.
"""

from __future__ import annotations

from dataclasses import dataclass

from pytest_deploy.history.answers import History
from pytest_deploy.history.index import Index
from pytest_deploy.history.row import Fact, Row
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event


@dataclass(frozen=True)
class Serving:
    """A revision that answered."""

    revision: str
    """The platform's name of it; empty where the record tells of no traffic, only of a run that deployed."""
    percent: float
    run: str
    """The run that made it; empty where none did: the platform's placeholder."""
    events: tuple[Event, ...]
    """Of that run, all of them."""

    @property
    def row(self) -> Row | None:
        """The run as a listing tells it."""
        return Row.of(self.events) if self.events else None


@dataclass(frozen=True)
class Moment:
    """One environment at one instant."""

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

    @property
    def events(self) -> tuple[int, ...]:
        """Positions of the events it rests on."""
        rows = [one.row for one in self.serving]
        known = {seq for row in rows if row is not None for seq in row.events}
        return tuple(sorted(known | ({self.moved.seq} if self.moved is not None else set())))


def at(history: History, source: str, instant: str) -> Moment:
    """The environment of a store at an instant (a stamp). Raises RecordTampered."""
    return history.ask(source, lambda index: _moment(index, source, instant))


def _moment(index: Index, source: str, instant: str) -> Moment:
    seq = index.last_move(instant)
    moved = None if seq is None else index.event(seq)
    open_then = index.at(instant)
    last = index.event(index.state.size - 1)
    newest = last if stamp(last.time) < instant else None
    if moved is not None and stamp(moved.time) <= instant:
        shares = sorted(moved.data["after"].items(), key=lambda share: -share[1])
        serving = tuple(_serving(index, revision, percent, moved) for revision, percent in shares if percent)
        return Moment(source, instant, serving, moved, open_then, newest)
    run = index.last_deployed(instant)
    found = () if run is None else (Serving("", 100, run, _events(index, run)),)
    return Moment(source, instant, found, None, open_then, newest)


def _serving(index: Index, revision: str, percent: float, moved: Event) -> Serving:
    made = index.last_with(Fact("revision", revision), moved.seq)
    if made is None:
        return Serving(revision, percent, "", ())
    return Serving(revision, percent, made[0], _events(index, made[0]))


def _events(index: Index, run: str) -> tuple[Event, ...]:
    return tuple(index.event(seq) for seq in index.positions(run))
