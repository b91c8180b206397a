"""Text that somebody else wrote, made safe for a terminal, for a page, and for a line that a person signs.

A line break, a terminal's control sequence or a change of writing direction in a reason, a tag or a file's name would show the
reader something else than what was recorded. What people give is refused (`require_plain`); what is recorded already is shown
with such characters escaped:

    escape_line       one line for a terminal: what is no visible character
    escape_to_ascii   a verifier's line: all but printable ASCII, so that a letter that looks like another one shows too
    escape_hidden     a page: what is hidden or steers; line breaks and tabs stay
    escape_cell       the same on one line: a table's or a CSV's cell

What a step says is taken in, whatever it is, by `encodable` and `stated`: an event and UTF-8 hold what they give.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

from pytest_deploy.bounded_output import kept_text
from pytest_deploy.errors import UsageError

LONGEST: Final = 2_000
"""Characters of one text that a person gives: several of them, and what they are about, fit one event."""
NOT_PLAIN: Final = "holds characters that cannot be shown"
_HIDDEN: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


STATED_BYTES: Final = 8_000
"""Of an event's line, of 65,535, at most for one value that a step states."""
_SAID_OF_CUT: Final = 160
"""Bytes that it takes to say what was cut."""
_REDACTED_CHARS: Final = 1_000_000
"""Characters of a value that are cut of secrets before it is shortened; of a longer one that much is left first."""
_DEEPEST: Final = 20
_LONGEST_NUMBER: Final = 2**256


def encodable(text: str) -> str:
    """A text as UTF-8 can hold it: half of a surrogate pair, as in a name that is no UTF-8, as its escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def shortened(text: str, limit: int) -> str:
    """A text that takes so many bytes of an event's line at most; what was cut is said, with its length and the digest of all.

    The digest is of the text as it is given: cut it of secrets first.
    """
    if len(text) * 12 <= limit or (len(text) <= limit and len(json.dumps(text)) <= limit):
        return text
    keep = min(len(text), limit)
    while keep and len(json.dumps(text[:keep])) > limit - _SAID_OF_CUT:
        keep = keep * 3 // 4
    digest = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
    return f"{text[:keep]}… [{len(text) - keep} of {len(text)} characters cut; SHA-256 of all: {digest}]"


def words_of(value: object) -> str:
    """What a value says of itself, whatever it raises instead."""
    try:
        return encodable(str(value))
    except BaseException as error:  # noqa: BLE001 -- somebody else's __str__ may raise anything, SystemExit too
        return f"<{type(value).__name__}, whose words raise {type(error).__name__}>"


def stated(value: object, redact: Callable[[str], str] = str) -> Any:
    """Any value as JSON that an event holds: keys are text, numbers finite, what JSON has not is its repr; within STATED_BYTES.

    What is too long for an event is cut of secrets by `redact` before it is shortened: the digest that stays tells none.
    """
    found = _json(value, 0)
    if len(json.dumps(found)) <= STATED_BYTES:
        return found
    text = kept_text(json.dumps(found, ensure_ascii=False), _REDACTED_CHARS)
    return shortened(redact(text), STATED_BYTES)


def _json(value: Any, depth: int) -> Any:
    found: Any
    match value:
        case None | bool():
            found = value
        case str():
            found = encodable(str.__str__(value))
        case int() if abs(value) < _LONGEST_NUMBER:
            found = int(value)
        case float() if math.isfinite(value):
            found = float(value)
        case Mapping() | AbstractSet() | list() | tuple():
            found = _container(value, depth)
        case _:
            found = repr_of(value)
    return found


def _container(value: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        return "…"
    try:
        if isinstance(value, Mapping):
            return {_key(key): _json(inner, depth + 1) for key, inner in value.items()}
        return [_json(inner, depth + 1) for inner in value]
    except Exception as error:  # noqa: BLE001 -- a class of somebody else's
        return f"<{type(value).__name__}, which raises {type(error).__name__}>"


def _key(key: object) -> str:
    return encodable(str.__str__(key)) if isinstance(key, str) else repr_of(key)


def repr_of(value: object) -> str:
    """What a value's repr is, whatever it raises instead, as UTF-8 can hold it."""
    if isinstance(value, int) and abs(value) >= _LONGEST_NUMBER:  # more digits than Python writes
        return f"<a number of {value.bit_length()} bits>"
    try:
        return encodable(repr(value))
    except BaseException as error:  # noqa: BLE001 -- as in words_of
        return f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"


def says_something(text: str) -> bool:
    """Whether a text has a letter or a digit: blanks and the `…` of a printed command are not anybody's words."""
    return any(map(str.isalnum, text))


def is_plain(text: str) -> bool:
    """Whether a text is one line of characters that a reader sees."""
    return text.isprintable()


def require_plain(name: str, text: str, *, longest: int | None = LONGEST) -> None:
    """Refuse what could draw over what is shown, and what no event can hold once it is signed.

    Args:
        name: what the text was given as, e.g. `--reason`.
        text: the text itself.
        longest: in characters; None where the caller judges the length.

    Raises:
        UsageError: it is not plain, or too long.
    """
    if not is_plain(text):
        raise UsageError(f"{name} {NOT_PLAIN}: write one line of plain text")
    if longest is not None and len(text) > longest:
        raise UsageError(f"{name} is {len(text)} characters long: right is {longest} at most; name a document for more")


def escape_line(text: str) -> str:
    """One line for a terminal: each character that a reader does not see as its Python escape."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def escape_to_ascii(text: str) -> str:
    """All but printable ASCII escaped: a look-alike letter shows, and no name can steer a terminal."""
    return "".join(
        character if " " <= character <= "~" else character.encode("unicode_escape").decode() for character in text
    )


def escape_hidden(value: Any) -> str:
    """Any value as text (what is no text as JSON), without characters that change how the rest of a page reads."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return _HIDDEN.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def escape_cell(text: str) -> str:
    """A text on one line: what would break the line, or change how it reads, is escaped."""
    return escape_hidden(text).replace("\t", "\\u0009").replace("\n", "\\u000a")
