"""One clock, injected: instants for the record, a steady count of seconds for durations.

Instants are aware UTC datetimes and stand in records as `2026-11-22T20:25:07.951Z`, milliseconds cut, not rounded: an
event is never stamped later than it was made.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol

_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)


class Clock(Protocol):
    """What the pipeline asks of a clock."""

    def now(self) -> datetime:
        """The instant, aware, UTC."""

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean anything."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class ShiftedClock:
    """Another clock, a fixed time ahead or behind: the one clock of a rehearsal (`--deploy-at`). It goes on running."""

    def __init__(self, clock: Clock, shift: timedelta) -> None:
        self._clock = clock
        self._shift = shift

    def now(self) -> datetime:
        return self._clock.now() + self._shift

    def monotonic(self) -> float:
        """The other clock's steady count of seconds: durations are real."""
        return self._clock.monotonic()


def whole_milliseconds(instant: datetime) -> datetime:
    """An aware instant as the record keeps it: UTC, milliseconds cut, not rounded."""
    return instant.astimezone(UTC).replace(microsecond=instant.microsecond // 1000 * 1000)


def stamp(instant: datetime) -> str:
    """An aware instant as the record writes it: `2026-11-22T20:25:07.951Z`.

    Raises ValueError for an instant without a zone.
    """
    if instant.tzinfo is None:
        raise ValueError(f"{instant!r} has no zone; the record holds UTC only")
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@lru_cache(maxsize=256)  # each stamp of a log is looked at more than once
def parse_stamp(text: str) -> datetime:
    """The instant of a stamp, aware UTC; exactly the form `stamp` writes.

    Raises ValueError for any other form.
    """
    if _STAMP.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no UTC time like 2026-11-22T20:25:07.951Z")
    return datetime.fromisoformat(text)
