"""Reading what a caller sent: each field is checked, all faults are collected, and one answer names them all."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date
from typing import Any

from diary.problems import Invalid, MalformedBody

MAX_TEXT = 4000
MAX_VERSION = 2**31 - 1
EARLIEST_DAY = date(2000, 1, 1)


@dataclass(frozen=True)
class Draft:
    """What a participant writes into one version of an entry."""

    day: date
    text: str
    score: int
    """0 to 10."""
    reason: str | None = None
    """Why it replaces the version before."""


class Fields:
    """A JSON object being read: a call for each field, then `finish`. Until then a value may be a stand-in."""

    def __init__(self, body: bytes) -> None:
        """Raises MalformedBody where the body is not JSON, Invalid where it is no object."""
        try:
            parsed: Any = json.loads(body)
        except (ValueError, RecursionError):
            raise MalformedBody("the body is not valid JSON") from None
        if not isinstance(parsed, dict):
            raise Invalid({"": "the body must be a JSON object"})
        self._given: dict[str, Any] = parsed
        self._read: set[str] = set()
        self._faults: dict[str, str] = {}

    def text(self, name: str, longest: int) -> str:
        """A text of 1 to `longest` characters that the database can hold."""
        value = self._take(name)
        if isinstance(value, str) and 1 <= len(value) <= longest and _storable(value):
            return value
        self._refuse(name, f"must be a text of 1 to {longest} characters")
        return ""

    def optional_text(self, name: str, longest: int) -> str | None:
        """As `text`; None where the field is absent or null."""
        return None if self._take(name) is None else self.text(name, longest)

    def integer(self, name: str, low: int, high: int) -> int:
        """A whole number from `low` to `high`; neither `true` nor 5.0 is one."""
        value = self._take(name)
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self._refuse(name, f"must be a whole number from {low} to {high}")
        return low

    def optional_integer(self, name: str, low: int, high: int) -> int | None:
        """As `integer`; None where the field is absent or null."""
        return None if self._take(name) is None else self.integer(name, low, high)

    def day(self, name: str) -> date:
        """A calendar day written YYYY-MM-DD, not before 2000."""
        value = self._take(name)
        day = _day(value) if isinstance(value, str) else None
        if day is not None and day >= EARLIEST_DAY:
            return day
        self._refuse(name, f"must be a day written YYYY-MM-DD, not before {EARLIEST_DAY}")
        return EARLIEST_DAY

    def finish(self) -> None:
        """Raises Invalid where any field was at fault, unknown ones included."""
        unknown = {name: "is not a field of this request" for name in self._given if name not in self._read}
        if self._faults or unknown:
            raise Invalid(self._faults | unknown)

    def _take(self, name: str) -> Any:
        self._read.add(name)
        return self._given.get(name)

    def _refuse(self, name: str, problem: str) -> None:
        self._faults[name] = problem if name in self._given else f"is missing; it {problem}"


def read_draft(fields: Fields) -> Draft:
    """The fields of an entry's version. Call `fields.finish()` before using it."""
    return Draft(
        day=fields.day("day"),
        text=fields.text("text", MAX_TEXT),
        score=fields.integer("score", 0, 10),
        reason=fields.optional_text("reason", MAX_TEXT),
    )


def read_if_match(header: str | None) -> int | None:
    """The version in an If-Match header, `"3"` or `3`; None where there is no header. Raises Invalid."""
    if header is None:
        return None
    if not re.fullmatch(r'"[1-9][0-9]{0,8}"|[1-9][0-9]{0,8}', header):
        raise Invalid({"If-Match": 'must be the version that was seen, such as "3"'})
    return int(header.strip('"'))


def _day(written: str) -> date | None:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", written):
        return None  # fromisoformat would take 20261122 and 2026-W47-7 too
    try:
        return date.fromisoformat(written)
    except ValueError:
        return None


def _storable(text: str) -> bool:
    """Whether PostgreSQL can hold it: no NUL, no half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)
