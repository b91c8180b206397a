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
import os
import re
import secrets as random
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote
from xml.sax.saxutils import escape, quoteattr

from pytest_deploy.record import atomic_file
from pytest_deploy.record.encodings import View, cut_key_bodies, views
from pytest_deploy.workspace import Workspace

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


# --- The secrets of one environment: made once, known to every process of a run, and cut from whatever is written.

NOTE_PREFIX: Final = "met-"
"""How the notes of secrets met begin, in a run's session folder: private (0600), gone with it."""
_NAMED_SECRET = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIAL|PRIVATE_KEY|API_?KEY|ACCESS_KEY", re.IGNORECASE
)
_IN_AN_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://(?P<user>[^\s/:@]*):(?P<password>[^\s/@]+)@", re.IGNORECASE)
"""`postgres://user:password@host`, whatever the variable is called."""
_SHORTEST_VARIABLE = 8
"""Characters of a variable that is taken for a secret, at least."""


class Secrets(Mapping[str, str]):
    """Named secrets of the environment. Never in a file of the record, a log, a traceback or argv.

    The embedded platform has no secret store: a random value is made once for each name and kept in a file of mode 0600.
    """

    def __init__(self, file: Path, notes: Path | None = None) -> None:
        """`notes` is a private folder in which the processes of a run tell one another the secrets they meet."""
        self._file = file
        self._values = self._load()
        self._met: dict[str, str] = {}
        """Name by value."""
        self._folder = notes
        self._read_to: dict[str, int] = {}
        """Where each note was read to, as its file tells it."""
        self._redactor: Redactor | None = None

    def learn(self, name: str, value: str) -> str:
        """Take in a secret met on the way (a session's token), so that it is cut from every report too; returns it.

        Raises ValueError for a value of fewer than six characters: it could not be cut without tearing other text apart.
        """
        if self.know(name, value) and self._folder is not None and self._folder.is_dir():
            note = self._folder / f"{NOTE_PREFIX}{os.getpid()}"
            with os.fdopen(os.open(note, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w", encoding="utf-8") as out:
                out.write(f"{json.dumps([name, value])}\n")
        return value

    def know(self, name: str, value: str) -> bool:
        """Cut a value from now on, and tell nobody; whether it was news. Raises ValueError as `learn`."""
        if value in self._met:
            return False
        check_length(name, value)
        self._met[value], self._redactor = name, None
        return True

    def take_in(self) -> None:
        """Know what the run's other processes have met."""
        for note in sorted(self._folder.glob(f"{NOTE_PREFIX}*")) if self._folder is not None else ():
            with note.open(encoding="utf-8") as lines:
                lines.seek(self._read_to.get(note.name, 0))
                for line in iter(lines.readline, ""):
                    self.know(*json.loads(line))
                self._read_to[note.name] = lines.tell()

    def __getitem__(self, name: str) -> str:
        return self._made()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made())

    def __len__(self) -> int:
        return len(self._made())

    def __repr__(self) -> str:
        return "Secrets(SMOKE_USER, SMOKE_PASSWORD)"

    def _made(self) -> dict[str, str]:
        """The values, made if they are missing: when one is first asked for, so that a run that only lists writes nothing."""
        if not self._values:
            made = {"SMOKE_USER": f"smoke-{random.token_hex(4)}", "SMOKE_PASSWORD": random.token_urlsafe(24)}
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError):  # the first of two processes wins; the other reads what that one made
                atomic_file.create(self._file, json.dumps(made).encode(), mode=0o600)
            self._values, self._redactor = self._load(), None
        return self._values

    def _load(self) -> dict[str, str]:
        return dict(json.loads(self._file.read_text(encoding="utf-8"))) if self._file.exists() else {}

    @property
    def redactor(self) -> Redactor:
        """What cuts every known value; user names are no secrets."""
        if not self._values and (made := self._load()):  # by another process of the run
            self._values, self._redactor = made, None
        if self._redactor is None:
            known = [(name, value) for name, value in self._values.items() if not name.endswith("_USER")]
            self._redactor = Redactor([*known, *((name, value) for value, name in self._met.items())])
        return self._redactor

    def redact(self, text: str) -> str:
        """The text without any known value."""
        return self.redactor.text(text)


def secrets_of(workspace: Workspace, *, run: str = "") -> Secrets:
    """The environment's secrets, and what this process's variables hold."""
    known = Secrets(workspace.secrets_file, notes=workspace.session(run) if run else None)
    for name, value in _of_variables(os.environ):
        known.know(name, value)
    return known


def _of_variables(variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """This process's variables that are named like secrets: whoever prints the environment prints them too."""
    for name, value in variables.items():
        # os.path: a token may be longer than a path can be, which Path.exists raises for.
        if _NAMED_SECRET.search(name) and len(value) >= _SHORTEST_VARIABLE and not os.path.exists(value):  # noqa: PTH110
            yield name, value
        for address in _IN_AN_ADDRESS.finditer(value):
            for password in {address["password"], unquote(address["password"])}:
                if len(password) >= SHORTEST and password != address["user"]:
                    yield name, password
