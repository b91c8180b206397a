"""Known secrets, which may stand in no record and no report, are cut from it.

They are cut by value, in every spelling that the writers of reports give to text:

    hunter2&co      as it is, and as Python, JSON, HTML, XML, URL, shell, SQL, hex or base64 write it, one in another
    hunter2&…       cut short by whoever shows long texts: what is left of it beside the dots, from six characters on
    68:75:6e:…      whatever says it once its encoding is undone: encodings.py tells which are, and which are not

Private keys are cut as what they are, with or without the lines around them. Every form of a value is one alternative of one expression, the longest first; each is replaced by the secret's name.
"""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, Final
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape, quoteattr

from pytest_deploy.record.encodings import View, cut_key_bodies, views

SHORTEST: Final = 6
"""Characters of a secret, at least: cutting a shorter one would tear other text apart."""
_BLOCK: Final = "█"
_SHORT: Final = 2000
"""Characters of a text whose answer is remembered, at most."""
_SHORT_FILE: Final = 250_000
"""Characters of a text whose readings are kept until the next one, at most."""
_REMEMBERED: Final = 1024
"""Texts whose answers are remembered."""
_IN_BYTES: Final = ("utf-8", "utf-16-le", "utf-16-be")
LONG_PART: Final = 12
"""Characters of a value, at least, and half of it, up to LONGEST_PART, that must not be left in what is written."""
LONGEST_PART: Final = 64
NOT_WRITTEN: Final = "[not written: it holds a long part of "
"""In place of a text of which a part is left that could not be cut."""
_PRIVATE_KEY: Final = re.compile(
    r"-----BEGIN ([A-Z0-9 ]*)PRIVATE KEY-----.*?(?:-----END \1PRIVATE KEY-----|\Z)", re.DOTALL
)  # fmt: skip
_DOTS: Final = r"(?:\.\.\.|…)"
_AFTER_DOTS: Final = re.compile(r"(?<=\.\.\.)|(?<=…)")

_NESTED: Final[tuple[Callable[[str], str], ...]] = (
    lambda text: repr(text)[1:-1],
    lambda text: ascii(text)[1:-1],
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    html.escape,
    lambda text: html.escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
    escape,
)
"""What writers do to text that others have written."""
_OUTER: Final[tuple[Callable[[str], str], ...]] = (
    lambda text: repr(text.encode())[2:-1],
    lambda text: quoteattr(text)[1:-1],
    lambda text: escape(text, {'"': "&quot;", "'": "&apos;"}),
    lambda text: json.dumps(text)[1:-1].replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").replace("'", "\\u0027"),
    lambda text: text.replace("/", "\\/"),
    quote,
    lambda text: quote(text, safe=""),
    quote_plus,
    lambda text: re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), quote(text, safe="")),
    lambda text: text.replace("'", "''"),
    lambda text: shlex.quote(text).removeprefix("'").removesuffix("'"),
    lambda text: text.encode().hex(),
    lambda text: text.encode().hex().upper(),
)  # fmt: skip
"""What is done to a value once."""


class Redactor:
    """Cuts values out of texts and files; `secrets` is (name, value), each value SHORTEST characters or more."""

    def __init__(self, secrets: Iterable[tuple[str, str]] = ()) -> None:
        """Raises ValueError for a value that is too short, or nothing but blocks."""
        self._forms: dict[str, str] = {}
        self._values: dict[str, str] = {}
        for name, value in secrets:
            check_length(name, value)
            self._values.setdefault(value, name)
            for form in forms(value):
                self._forms.setdefault(form, name)
        # Writers of reports say the same few hundred texts again and again.
        self._cut_before = lru_cache(maxsize=_REMEMBERED)(self._cut)
        self._left_before = lru_cache(maxsize=_REMEMBERED)(self._left)

    def text(self, text: str) -> str:
        """The text without any value in any spelling that is undone."""
        return self._cut_before(text) if len(text) <= _SHORT else self._cut(text)

    def left(self, text: str) -> str:
        """The name of a value of which a long part is left in a text, encoded or not; empty where there is none."""
        return self._left_before(text) if len(text) <= _SHORT else self._left(text)

    def _cut(self, text: str) -> str:
        text = cut_key_bodies(_PRIVATE_KEY.sub("[private key]", text))
        if not self._forms:
            return text
        for _ in range(3):
            before = text
            text = self._cut_endings(self._all_forms.sub(self._named, text), lambda end: f"[{self._name_of_part(end)}]")
            text = self._cut_encoded(text, lambda name: f"[{name}]")
            if text == before:
                return text
        # A name, or what a name was put beside, makes a value again: blocks make none.
        while (cut := self._cut_in_blocks(text)) != text:
            text = cut
        return text

    def _left(self, text: str) -> str:
        for reading in (text, *(view.text for view in _views_of(text))):
            for value, name in self._values.items():
                if _long_part(value, reading):
                    return name
        return ""

    def left_in(self, content: bytes) -> str:
        """The same of a file."""
        try:
            return self.left(content.decode())
        except UnicodeDecodeError:
            return self.left(content.decode("latin-1"))

    def _cut_in_blocks(self, text: str) -> str:
        text = self._cut_endings(self._all_forms.sub(_BLOCK, text), lambda _: _BLOCK)
        return self._cut_encoded(text, lambda _: _BLOCK)

    def _cut_encoded(self, text: str, put: Callable[[str], str]) -> str:
        """The text with what `put` gives in place of whatever says a value once its encoding is undone."""
        found: list[tuple[int, int, str]] = []
        for view in _views_of(text):
            for value, name in self._values.items():
                at = view.text.find(value)
                while at >= 0:
                    found.append((*view.place(at, at + len(value)), name))
                    at = view.text.find(value, at + 1)
        parts, done = [], 0
        for start, end, name in sorted(found):
            if start >= done:
                parts += [text[done:start], put(name)]
            done = max(done, end)
        return "".join([*parts, text[done:]])

    def data(self, content: bytes) -> bytes:
        """The same for a file; in one that is no text, bytes that are a value are cut all the same."""
        try:
            return self.text(content.decode()).encode()
        except UnicodeDecodeError:
            # Latin-1 gives each byte a character; a value is looked for as UTF-8 writes it.
            encoded = [(name, value.encode(code)) for value, name in self._values.items() for code in _IN_BYTES]
            inside = Redactor([(name, value.decode("latin-1")) for name, value in encoded])
            return inside.text(content.decode("latin-1")).encode("latin-1", "replace")

    @cached_property
    def _all_forms(self) -> re.Pattern[str]:
        """Every form, and beginnings before dots. All begin with a letter of their own, which makes the search fast."""
        known = [re.escape(form) for form in sorted(self._forms, key=len, reverse=True)]
        return re.compile("|".join([*known, *(_beginning(value) for value in self._values)]))

    @cached_property
    def _endings(self) -> Mapping[str, Sequence[str]]:
        """Ends of values by how they begin, the longest first."""
        endings: dict[str, list[str]] = {}
        for end in sorted(
            {v[at:] for v in self._values for at in range(1, len(v) - SHORTEST + 1)}, key=len, reverse=True
        ):
            endings.setdefault(end[:SHORTEST], []).append(end)
        return endings

    def _cut_endings(self, text: str, put: Callable[[str], str]) -> str:
        """The text with what `put` gives in place of each end of a value after dots."""
        parts, done = [], 0
        for match in _AFTER_DOTS.finditer(text):
            at = match.end()
            ends = self._endings.get(text[at : at + SHORTEST], ()) if at >= done else ()
            if end := next((end for end in ends if text.startswith(end, at)), ""):
                parts += [text[done:at], put(end)]
                done = at + len(end)
        return "".join([*parts, text[done:]])

    def _named(self, match: re.Match[str]) -> str:
        text = match[0]
        return f"[{self._forms.get(text) or self._name_of_part(text)}]"

    def _name_of_part(self, text: str) -> str:
        """The name of the value that this is a beginning or an end of."""
        return next(name for value, name in self._values.items() if value.startswith(text) or value.endswith(text))


def check_length(name: str, value: str) -> None:
    """Raises ValueError for a value that is too short to be cut from text, or nothing but blocks."""
    if len(value) < SHORTEST or not value.strip(_BLOCK):
        raise ValueError(f"{name} has fewer than {SHORTEST} characters; it cannot be cut from text: make it longer")


def redacted(value: Any, redact: Callable[[str], str]) -> Any:
    """A JSON value with every text in it redacted, keys included, however deep they lie."""
    match value:
        case str():
            return redact(value)
        case Mapping():
            return {redacted(key, redact): redacted(inner, redact) for key, inner in value.items()}
        case list() | tuple():
            return [redacted(inner, redact) for inner in value]
        case _:
            return value


def forms(value: str) -> set[str]:
    """Every way in which a value may be written; the value itself is among them."""
    known = {value}
    for _ in range(2):
        known |= {encode(form) for form in known for encode in _NESTED}
    # pytest-html keeps what an assertion says of a repr: in JSON, in HTML.
    known |= {html.escape(json.dumps(encode(value))[1:-1]) for encode in (repr, ascii)}
    known |= {html.escape(json.dumps(encode(value)[1:-1])[1:-1]) for encode in (repr, ascii)}
    known |= {encode(value) for encode in _OUTER}
    known |= {encode(form) for encode in _NESTED for form in {encode(value) for encode in _OUTER}}
    known |= set(_base64(value.encode()))
    known |= {value.encode(code).decode("latin-1") for code in _IN_BYTES if not value.isascii()}
    return {form for form in known if len(form) >= SHORTEST}


def _views_of(text: str) -> Iterable[View]:
    """Its readings with encodings undone: the same text is first cut, then searched for what was left."""
    return _last_views(text) if len(text) <= _SHORT_FILE else views(text)


@lru_cache(maxsize=1)
def _last_views(text: str) -> tuple[View, ...]:
    return tuple(views(text))


def _long_part(value: str, text: str) -> bool:
    """Whether a long part of a value stands in a text. A value of words, or an address, has parts that are no secret."""
    long = min(max(LONG_PART, (len(value) + 1) // 2), LONGEST_PART)
    if len(value) < long or "://" in value or any(map(str.isspace, value)):
        return False
    block = long // 2  # whatever part is that long holds one of these whole
    for at in range(0, len(value) - block + 1, block):
        place = text.find(value[at : at + block])
        while place >= 0:
            if _common(value, at, text, place, block) >= long:
                return True
            place = text.find(value[at : at + block], place + 1)
    return False


def _common(value: str, at: int, text: str, place: int, length: int) -> int:
    """How many characters are the same around what is the same from `at` on."""
    before = after = 0
    while at > before and place > before and value[at - before - 1] == text[place - before - 1]:
        before += 1
    while (
        value[at + length + after : at + length + after + 1]
        == text[place + length + after : place + length + after + 1]
        != ""
    ):
        after += 1
    return before + length + after


def _base64(value: bytes) -> Iterator[str]:
    """The characters that the value alone decides, wherever it begins in what is encoded."""
    for before, cut in ((0, 0), (1, 2), (2, 3)):
        text = base64.b64encode(bytes(before) + value)[cut : (before + len(value)) * 8 // 6].decode()
        yield from (text, text.replace("+", "-").replace("/", "_"))


def _beginning(value: str) -> str:
    """The longest beginning of the value that stands before dots, at least SHORTEST characters."""
    return f"{re.escape(value[:SHORTEST])}{_any_beginning(value[SHORTEST:])}(?={_DOTS})"


def _any_beginning(text: str) -> str:
    """The longest beginning of a text, or nothing. By halves: a group in a group a character is too deep for a long token."""
    if len(text) <= 1:
        return f"{re.escape(text)}?" if text else ""
    half = len(text) // 2
    return f"(?:{re.escape(text[:half])}{_any_beginning(text[half:])}|{_any_beginning(text[:half])})"
