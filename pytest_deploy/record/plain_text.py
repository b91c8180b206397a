"""Text that somebody else wrote, made safe for a terminal, for a page, and for a line that a person signs.

A line break, a terminal's control sequence or a change of writing direction in a reason, a tag or a file's name would show the
reader something else than what was recorded. What people give is refused (`require_plain`); what is recorded already is shown
with such characters escaped:

    escape_line       one line for a terminal: what is no visible character
    escape_to_ascii   a verifier's line: all but printable ASCII, so that a letter that looks like another one shows too
    escape_hidden     a page: what is hidden or steers; line breaks and tabs stay
    escape_cell       the same on one line: a table's or a CSV's cell
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from pytest_deploy.errors import UsageError

LONGEST: Final = 2_000
"""Characters of one text that a person gives: several of them, and what they are about, fit one event."""
NOT_PLAIN: Final = "holds characters that cannot be shown"
_HIDDEN: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


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
