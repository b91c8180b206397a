r"""Texts with their encodings undone, so that a value is found in them; each place leads back to where it was written.

    percent      %68%75, as often as it was done: %2568      URL
    entities     &#104; &#x68; &amp;                          HTML, XML
    escapes      \u0068 \x68, behind backslashes  JSON, Python
    NULs         h.u.n. as UTF-16 writes what is ASCII
    line breaks  a text that was wrapped, in a traceback too
    hex          6875, 68:75, 0x68 0x75, and the lines of xxd and hexdump
    base64       of either alphabet, from any character on, wrapped or not

One in another, DEPTH deep. What is compressed, encrypted, reversed, in base32, base85 or any code of its own is not undone.
"""

from __future__ import annotations

import base64
import html
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

DEPTH: Final = 3
"""Encodings in one another that are undone."""

_BREAK: Final = r"(?:\n|\r\n|\\{1,16}r\\{1,16}n|\\{1,16}n|&#10;)[ \t]*(?:E   )?[ \t]*"
_PAIR: Final = r"(?:0x|\\{1,16}x)?[0-9A-Fa-f]{2}"
_WORDS: Final = r"(?:[0-9A-Fa-f]{2}){1,2}(?:[ ]{1,2}(?:[0-9A-Fa-f]{2}){1,2}){0,15}"
_DUMP_LINE: Final = rf"[0-9A-Fa-f]{{4,8}}:?[ ]{{1,3}}({_WORDS})(?:[ ][^\n]*)?"
_APART: Final = "\x01"
"""Between what stood apart: nothing is undone across it."""


@dataclass(frozen=True)
class View:
    """A text as it reads once something is undone."""

    text: str
    starts: list[int]
    """Where each piece begins in `text`."""
    pieces: list[tuple[int, int, bool]]
    """Of each piece: where it stood, and whether it stands here letter by letter."""
    of: View | None = None
    """What it was undone in; None where that is the text itself."""

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Where in the text itself it was written what stands here from `start` to `end`."""
        first, last = bisect_right(self.starts, start) - 1, bisect_right(self.starts, end - 1) - 1
        from_, _, as_is = self.pieces[first]
        begins = from_ + start - self.starts[first] if as_is else from_
        from_, to, as_is = self.pieces[last]
        ends = from_ + end - self.starts[last] if as_is else to
        return (begins, ends) if self.of is None else self.of.place(begins, ends)


def views(text: str, depth: int = DEPTH) -> Iterator[View]:
    """Every reading of a text with encodings undone; not the text itself."""
    yield from _views(text, None, depth)


def _views(text: str, of: View | None, depth: int) -> Iterator[View]:
    # 1. As it stands, and with its lines joined.
    joined = _undone(text, of, _BREAKS, lambda run: "")
    for start in (None,) if joined is None else (None, joined):
        # 2. What stands for one character each is undone again and again; a text that is not, at once.
        view = start
        for _ in range(DEPTH + 1):
            if view is not None:
                yield view
            current = text if view is None else view.text
            # 3. What is encoded as a whole is read by itself.
            blocks = _blocks(current, of if view is None else view)
            if blocks is not None:
                yield blocks
                if depth > 1:
                    yield from _views(blocks.text, blocks, depth - 1)
            if not any(sign in current for sign in "%&\\\x00"):
                break
            following = _undone(current, of if view is None else view, _CHARACTERS, _character)
            if following is None:
                break
            view = following


def _undone(text: str, of: View | None, pattern: re.Pattern[str], undo: Callable[[str], str]) -> View | None:
    """The text with each match of the pattern undone; None where that changes nothing."""
    parts: list[str] = []
    starts: list[int] = []
    pieces: list[tuple[int, int, bool]] = []
    at = length = 0
    for found in pattern.finditer(text):
        part = undo(found[0])
        if part == found[0]:
            continue
        for piece, from_, to, as_is in (
            (text[at : found.start()], at, found.start(), True),
            (part, *found.span(), False),
        ):
            if piece:
                parts.append(piece)
                starts.append(length)
                pieces.append((from_, to, as_is))
                length += len(piece)
        at = found.end()
    if not at:
        return None
    if at < len(text):
        parts.append(text[at:])
        starts.append(length)
        pieces.append((at, len(text), True))
    return View("".join(parts), starts, pieces, of)


def _blocks(text: str, of: View | None) -> View | None:
    """What is encoded as a whole in a text, each by itself; None where nothing is."""
    parts: list[str] = []
    starts: list[int] = []
    pieces: list[tuple[int, int, bool]] = []
    length = 0
    for pattern, undo in _WHOLE:
        for found in pattern.finditer(text):
            part = undo(found[0]) + _APART
            parts.append(part)
            starts.append(length)
            pieces.append((*found.span(), False))
            length += len(part)
    return View("".join(parts), starts, pieces, of) if parts else None


def _character(run: str) -> str:
    match run[0]:
        case "%":
            return _percent(run)
        case "&":
            return html.unescape(run)
        case "\\":
            return _escapes(run)
        case _:
            return ""


def _percent(run: str) -> str:
    return bytes.fromhex(run.replace("%", "")).decode("utf-8", "replace")


def _escapes(run: str) -> str:
    code = run.replace("\\", "")
    if code[0] == "u":
        return bytes.fromhex(code.replace("u", "")).decode("utf-16-be", "replace")
    return bytes.fromhex(code.replace("x", "")).decode("utf-8", "replace")


def _hex(run: str) -> str:
    return _of_hex(re.sub(r"0x|\\{1,16}x|[^0-9A-Fa-f]", "", run))


def _of_hex(digits: str) -> str:
    content = bytes.fromhex(digits[: len(digits) // 2 * 2])
    return content.decode("utf-8", "replace").replace("\x00", "")


def _dump(lines: str) -> str:
    return _of_hex("".join(found[1].replace(" ", "") for found in _DUMP_LINES.finditer(lines)))


def _base64(run: str) -> str:
    """What the run says from each of its first four characters on."""
    code = run.rstrip("=").replace("-", "+").replace("_", "/")
    return _APART.join(_of_base64(code[skip:]) for skip in range(4))


def _of_base64(code: str) -> str:
    content = base64.b64decode(code[: len(code) // 4 * 4] if len(code) % 4 == 1 else code + "=" * (-len(code) % 4))
    return content.decode("utf-8", "replace").replace("\x00", "")


_BREAKS: Final = re.compile(_BREAK)
_CHARACTERS: Final = re.compile(
    r"(?:%[0-9A-Fa-f]{2})+|&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,8});"
    r"|(?:\\{1,16}u[0-9A-Fa-f]{4})+|(?:\\{1,16}x[0-9A-Fa-f]{2})+|\x00+"
)
_DUMP_LINES: Final = re.compile(_DUMP_LINE)
_WHOLE: Final[tuple[tuple[re.Pattern[str], Callable[[str], str]], ...]] = (
    (re.compile(rf"{_DUMP_LINE}(?:\n[E> \t]{{0,20}}{_DUMP_LINE})*".replace("(" + _WORDS + ")", _WORDS)), _dump),
    (re.compile(rf"[0-9A-Fa-f]{{2}}(?:(?:[:.-]|,[ ]?|[ ])?{_PAIR}){{5,}}"), _hex),
    (re.compile(r"[A-Za-z0-9+/_-]{16,}"), _base64),
)


# --- Private keys without the lines around them

_KEY_BODY: Final = re.compile(
    rf"(?<![A-Za-z0-9+/])(?:M|b3BlbnNzaC1rZXktdjE)[A-Za-z0-9+/]{{15,}}(?:{_BREAK}[A-Za-z0-9+/]+)*={{0,2}}"
)
_OPENSSH: Final = b"openssh-key-v1\x00"
_SHORTEST_KEY: Final = 40


def cut_key_bodies(text: str) -> str:
    """A text without what is, in base64, a private key that is not encrypted: PKCS#8, PKCS#1, SEC 1 or OpenSSH's own."""
    return _KEY_BODY.sub(lambda found: "[private key]" if _is_private_key(found[0]) else found[0], text)


def _is_private_key(run: str) -> bool:
    code = re.sub(_BREAK, "", run).rstrip("=")
    head = base64.b64decode(code[:64][: len(code[:64]) // 4 * 4])
    if head.startswith(_OPENSSH):
        return True
    if len(code) * 3 // 4 < _SHORTEST_KEY or head[0] != 0x30:  # noqa: PLR2004 -- DER's sequence
        return False
    # A private key begins with its version, 0 or 1, and goes on with an algorithm, a number or the key itself.
    after = 2 if head[1] < 0x80 else 2 + (head[1] & 0x7F)  # noqa: PLR2004 -- DER: a short length, or how many bytes a long one has
    return (
        head[after : after + 2] == b"\x02\x01" and head[after + 2] in (0, 1) and head[after + 3] in (0x30, 0x02, 0x04)
    )
