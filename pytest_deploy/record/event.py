"""One event: the first line of its object, canonical JSON, hashed and signed as these bytes and never re-serialised.

    {"actor":"system:pipeline","data":{"gate":"staging-smoke"},"id":"e6c91302f390b416","prev":"0ec1…","run":"production-
    20261122T201500Z-4f1c","seq":6,"time":"2026-11-22T20:25:07.951Z","type":"gate.passed","v":2}

Canonical: keys sorted, no spaces, ASCII only, no NaN, one newline at the end. A line is accepted only if writing what
was read gives the same bytes, so that one event has one form. What JSON cannot hold is an error, never its `str()`.
"""

from __future__ import annotations

import builtins
import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final, TypeVar

from pytest_deploy.errors import IllegalEvent
from pytest_deploy.record import events
from pytest_deploy.record.clock import parse_stamp, stamp
from pytest_deploy.record.events import TYPES, EventContent, Json
from pytest_deploy.record.run_id import NO_RUN, named_at

Content = TypeVar("Content", bound=EventContent)

LIMIT: Final = 65_535
"""Bytes of a line with its newline, at most; longer lists go into a file, its digest into the event."""

DEEPEST: Final = 64
"""Objects and lists inside one another, at most: what reads JSON by recursion reads it everywhere."""
_TOO_DEEP: Final = f"objects and lists lie more than {DEEPEST} deep in one another"

FIRST_PREV: Final = "0" * 64
"""`prev` of event 0."""

VERSION: Final = 2

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_BRACKET = re.compile(r"[][{}]")
_DECODER = json.JSONDecoder()
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


@dataclass(frozen=True)
class Event:
    """What happened, when, by whom. `content` says what, as an object of the event's type."""

    seq: int
    """Position in the log, from 0, without gaps."""
    prev: str
    """SHA-256 (hex) of the line before this one; 64 zeros for event 0."""
    time: datetime
    """UTC, to the millisecond; never before the event before it."""
    id: str
    """16 random hex digits: tells a writer its own event from another's."""
    type: str
    run: str
    """A run's name, or `-` where the event belongs to none."""
    actor: str
    """`github:<id>:<login>`, an e-mail, `system:<part>` or `local:<uid>:<user>@<host>`."""
    data: Mapping[str, Json]
    """The content as it stands in the record; read by this folder alone, everybody else reads `content`."""

    @cached_property
    def content(self) -> EventContent:
        """What happened, typed: `isinstance` or `match` tells the type. Raises IllegalEvent where the data does not fit it."""
        return events.parse(self.type, self.data)

    def read(self, content_type: builtins.type[Content]) -> Content:
        """The content of an event that is known to be of this type. Raises IllegalEvent where it is of another."""
        content = self.content
        if not isinstance(content, content_type):
            raise IllegalEvent(f"event {self.seq} is {self.type}, which {content_type.__name__} does not read")
        return content

    @property
    def fault(self) -> str | None:
        """The first thing about the data that the type does not allow, or None."""
        try:
            events.parse(self.type, self.data)
        except IllegalEvent as error:
            return str(error)
        return None

    def __getstate__(self) -> dict[str, Json]:
        """The fields, without `content`: another process makes it again where it needs it."""
        return {name: value for name, value in self.__dict__.items() if name != "content"}

    @property
    def instant(self) -> datetime:
        """When it happened by the clock that gates, claims and expiry go by: a rehearsal's may be shifted (`data.clock`)."""
        return parse_stamp(self.data["clock"]) if "clock" in self.data else self.time

    @property
    def earliest_next(self) -> datetime:
        """The earliest time the event after this one may carry: its own, or the restart a mended clock announced."""
        if self.type == "clock.skewed" and "restart" in self.data:
            return parse_stamp(self.data["restart"])
        return self.time

    def line(self) -> bytes:
        """The event's canonical bytes, with the newline.

        Raises IllegalEvent for what JSON cannot hold, a field out of form, or a line over 65,535 bytes.
        """
        _check_json(self.data, "data")
        line = canonical({**self.__getstate__(), "time": stamp(self.time), "v": VERSION})
        if len(line) > LIMIT:
            raise IllegalEvent(f"{self.type} has {len(line)} bytes, {LIMIT} at most: put the long part into a file")
        if fault := _fault(json.loads(line)):
            raise IllegalEvent(f"{self.type}: {fault}")
        return line


def of_type(events: Iterable[Event], content_type: type[Content]) -> Iterator[tuple[Event, Content]]:
    """The events of one type, or of all that share a base class, each with its content. No other's content is parsed."""
    for event in events:
        if issubclass(TYPES.get(event.type, EventContent), content_type):
            yield event, event.read(content_type)


def canonical(value: Json) -> bytes:
    """Canonical JSON with a newline. Raises IllegalEvent for what JSON cannot hold."""
    try:
        return _dump(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise IllegalEvent(f"not JSON: {error}; give plain values, or the digest of a file") from error


def parse_line(line: bytes) -> Event:
    """The event of a line. Raises IllegalEvent for any byte that `Event.line` would not have written."""
    if len(line) > LIMIT:
        raise IllegalEvent(f"a line of {len(line)} bytes; {LIMIT} at most")
    try:
        fields, _ = _DECODER.raw_decode(line.decode("ascii"))  # what may follow shows in the comparison
        again = _dump(fields)
    except UnicodeDecodeError as error:
        raise IllegalEvent(f"no canonical JSON: byte {error.start} is not ASCII") from error
    except RecursionError as error:
        raise IllegalEvent(f"no canonical JSON: {_TOO_DEEP}") from error
    except (ValueError, TypeError) as error:
        raise IllegalEvent(f"no canonical JSON: {error}") from error
    if again != line:
        raise IllegalEvent("no canonical JSON: keys sorted and single, no spaces, ASCII, one newline at the end")
    if fault := _fault(fields):
        raise IllegalEvent(fault)
    del fields["v"]
    return Event(**{**fields, "time": parse_stamp(fields["time"])})


def line_hash(line: bytes) -> str:
    """SHA-256 of a line, hex: the next event's `prev`."""
    return hashlib.sha256(line).hexdigest()


def _dump(value: Json) -> bytes:
    written = _ENCODER.encode(value)
    # Few lines hold as many brackets at all, so few are looked at a character at a time.
    if written.count("[") + written.count("{") > DEEPEST and _depth(written) > DEEPEST:
        raise ValueError(_TOO_DEEP)
    return written.encode("ascii") + b"\n"


def _depth(written: str) -> int:
    """How deep objects and lists lie in one another in canonical JSON."""
    steps = ({"[": 1, "{": 1, "]": -1, "}": -1}[bracket] for bracket in _BRACKET.findall(_STRING.sub("", written)))
    return max(itertools.accumulate(steps), default=0)


def _fault(fields: Json) -> str | None:
    """What is wrong with the fields of an event, or None."""
    if not isinstance(fields, dict) or fields.keys() != _FIELDS.keys():
        return f"an event has exactly the fields {', '.join(sorted(_FIELDS))}"
    for name, (fits, form) in _FIELDS.items():
        if not fits(fields[name]):
            return f"{name} is {fields[name]!r}, not {form}"
    return None


def _written_as(pattern: str) -> Callable[[Json], bool]:
    whole = re.compile(pattern, re.ASCII).fullmatch
    return lambda value: isinstance(value, str) and whole(value) is not None


def _read_by(read: Callable[[str], object]) -> Callable[[Json], bool]:
    def fits(value: Json) -> bool:
        try:
            read(value)
        except (TypeError, ValueError):
            return False
        return True

    return fits


_is_run_name = _read_by(named_at)


_FIELDS: Final[Mapping[str, tuple[Callable[[Json], bool], str]]] = {
    "v": (lambda value: type(value) is int and value == VERSION, f"{VERSION}"),
    "seq": (lambda value: type(value) is int and value >= 0, "a position"),
    "prev": (_written_as(r"[0-9a-f]{64}"), "a SHA-256 in hex"),
    "time": (_read_by(parse_stamp), "a UTC time like 2026-11-22T20:25:07.951Z"),
    "id": (_written_as(r"[0-9a-f]{16}"), "16 hex digits"),
    "type": (lambda value: isinstance(value, str), "text"),
    "run": (lambda value: value == NO_RUN or _is_run_name(value), "<environment>-<YYYYMMDDTHHMMSSZ>-<4 hex>, or -"),
    "actor": (
        _written_as(r"system:[a-z][a-z0-9-]*|github:\d+:[^\s:]+|local:\d+:\S+@\S+|[^\s@:]+@[^\s@:]+"),
        "github:<id>:<login>, an e-mail, system:<part> or local:<uid>:<user>@<host>",
    ),
    "data": (lambda value: isinstance(value, dict), "an object"),
}


def _check_json(value: Json, place: str) -> None:
    """Refuse what json.dumps would quietly bend: keys that are no text, lone surrogates, classes it does not know."""
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise IllegalEvent(f"{place} holds a half of a surrogate pair: decode it with errors='replace'") from None
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise IllegalEvent(f"{place} has the key {key!r}; keys are text")
            _check_json(key, f"a key of {place}")
            _check_json(item, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            _check_json(item, f"{place}[{number}]")
    elif value is not None and not isinstance(value, bool | int | float):
        raise IllegalEvent(f"{place} is a {type(value).__name__}, which JSON does not hold: give a plain value")
