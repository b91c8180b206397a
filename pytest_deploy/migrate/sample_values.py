"""Values that a CHECK may take, guessed from its words: the literals in it, their neighbours, texts of a pattern or a length.

Nothing here understands an expression. What is guessed is offered to the server, which says whether a row is one.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Final

_TEXT: Final = re.compile(r"(?P<matches>~\*?\s*)?'(?P<text>(?:[^']|'')*)'")
_NUMBER: Final = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.])")
_LONGEST: Final = 1000
_EXAMPLES: Final = 4
"""Of one pattern, each another."""

_PIECE: Final = re.compile(
    r"(?P<one>\[\^?\]?(?:\[:\w+:\]|[^\]])*\]|\\.|[^\\\[\](){}|*+?])(?:\{(?P<times>\d+)(?:,\d*)?\}|(?P<some>[*+?]))?"
)
_CLASSES: Final = {
    "alpha": string.ascii_letters,
    "digit": string.digits,
    "alnum": string.ascii_letters + string.digits,
    "upper": string.ascii_uppercase,
    "lower": string.ascii_lowercase,
    "xdigit": string.hexdigits,
    "space": " ",
}
_ESCAPED: Final = {"d": string.digits, "w": string.ascii_lowercase, "s": " "}
_ANY: Final = string.ascii_lowercase + string.ascii_uppercase + string.digits


def candidates(checks: Sequence[str], category: str) -> tuple[str, ...]:
    """SQL expressions to try for a column that these CHECKs name; `category` is its type's pg_type.typcategory."""
    found: list[str] = []
    for check in checks:
        for match in _TEXT.finditer(check):
            text = match["text"].replace("''", "'")
            examples = list(_examples(text)) if match["matches"] else [text]
            found.extend(_quoted(example) for example in examples)
        for number in _NUMBER.findall(_TEXT.sub(" ", check)):
            if category == "S" and "length" in check and "." not in number and int(number) <= _LONGEST:
                found.append(f"lpad({{unique}}::text, {number}, 'a')")
            elif category == "N":
                found.extend((number, f"({number} + 1)", f"({number} - 1)"))
    return tuple(dict.fromkeys(found))


def _quoted(text: str) -> str:
    """A literal that is no format of ours."""
    return "'" + text.replace("'", "''").replace("{", "{{").replace("}", "}}") + "'"


def _examples(pattern: str) -> Iterator[str]:
    """Texts that a simple regular expression matches; none of one with groups or alternatives."""
    body = pattern.removeprefix("^").removesuffix("$")
    pieces = list(_PIECE.finditer(body))
    if "".join(piece.group() for piece in pieces) != body:
        return
    for number in range(_EXAMPLES):
        at = count(number)
        yield "".join(
            letters[next(at) % len(letters)]
            for piece in pieces
            if (letters := _letters(piece["one"]))
            for _ in range(int(piece["times"] or 1))
        )


def _letters(one: str) -> str:
    """The characters that one piece of a pattern takes."""
    if one.startswith("["):
        inner = one[1:-1]
        taken = _in_brackets(inner.removeprefix("^"))
        return "".join(letter for letter in _ANY if letter not in taken) if inner.startswith("^") else taken
    if one.startswith("\\"):
        return _ESCAPED.get(one[1], one[1])
    return _ANY if one == "." else one


def _in_brackets(inner: str) -> str:
    taken = "".join(_CLASSES.get(name, "") for name in re.findall(r"\[:(\w+):\]", inner))
    for first, last, escaped, single in re.findall(r"([^\\])-([^\\])|\\(.)|(.)", re.sub(r"\[:\w+:\]", "", inner)):
        if first:
            taken += "".join(map(chr, range(ord(first), ord(last) + 1)))
        else:
            taken += _ESCAPED.get(escaped, escaped) or single
    return taken
