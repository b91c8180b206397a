"""The difference of two catalog texts as people read it: a line an object, column or changed property, near to SQL.

`+ column public.visits.note text`, `- index …`, `~ column public.visits.seen: type: text -> timestamptz`. Nothing that differs is
left out; of what is new or gone, the properties that PostgreSQL gives everything are. What is no line of a catalog stays as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

_BEFORE_JSON = re.compile(r' (?=[{"])')
_RELATIONS: Final[Mapping[str, str]] = {
    "r": "table", "p": "partitioned table", "v": "view", "m": "materialized view", "f": "foreign table", "S": "sequence of",
    "c": "composite type",
}  # fmt: skip
_USUAL: Final[Mapping[str, tuple[object, ...]]] = {
    "persistence": ("p",), "replica identity": ("d", False), "method": ("heap",), "local": (True,), "inherited": (0, False),
    "storage": ("p", "x", "m"), "valid": (True,), "enabled": ("O",), "permissive": (True,),
    "collation": ('"default"',), "statistics": ([None],),
}  # fmt: skip
"""What an object has unless somebody asked for something else."""


class _Object(NamedTuple):
    kind: str
    name: str
    definition: Any
    """As the catalog text has it: an object of properties, or a text."""


def readable(diff: str) -> Iterator[str]:
    """The lines of a planned difference, in words; each is one line."""
    gone: dict[tuple[str, str], _Object] = {}
    new: dict[tuple[str, str], _Object] = {}
    for line in diff.splitlines():
        found = _object(line[1:]) if line[:1] in ("+", "-") else None
        side = new if line[:1] == "+" else gone
        if found is not None and (found.kind, found.name) in side:
            yield from _whole(line[0], found)  # a second of that name, as labels of two providers are
        elif found is not None:
            side[found.kind, found.name] = found
        elif not line.startswith(("--- ", "+++ ", "@@ ")):
            yield line
    for key in sorted(gone.keys() | new.keys()):
        before, after = gone.get(key), new.get(key)
        if before is not None and after is not None:
            yield from _changed(before, after)
        elif before is not None:
            yield from _whole("-", before)
        elif after is not None:
            yield from _whole("+", after)


def _object(line: str) -> _Object | None:
    """An object of a catalog text, by its line; None for another line."""
    for cut in _BEFORE_JSON.finditer(line):
        try:
            definition = json.loads(line[cut.end() :])
        except ValueError:
            continue
        kind, name = _named(line[: cut.start()])
        if isinstance(definition, dict):
            if kind == "column" and "name" in definition:
                table, _, place = name.rpartition(" ")
                name = f"{table}.{definition.pop('name')}"
                definition["place"] = int(place) if place.isdecimal() else place
            kind = _RELATIONS.get(str(definition.pop("kind", "")), kind) if kind == "relation" else kind
        return _Object(kind, name, definition)
    return None


_KINDS: Final = (
    "default rights", "event trigger", "foreign data wrapper", "operator class", "operator family",
    "text search configuration", "text search dictionary", "text search parser", "text search template",
)  # fmt: skip
"""Kinds of more than one word, in `catalog.sql`."""


def _named(head: str) -> tuple[str, str]:
    kind = next((kind for kind in _KINDS if head.startswith(f"{kind} ")), head.partition(" ")[0])
    return kind, head[len(kind) + 1 :]


def _whole(sign: str, it: _Object) -> Iterator[str]:
    """An object that is new, or gone."""
    properties = dict(it.definition) if isinstance(it.definition, dict) else {"": it.definition}
    properties.pop("place", None)
    main = [properties.pop(key) for key in ("type", "definition", "") if isinstance(properties.get(key), str)]
    line, *body = "\n".join(main).splitlines() or [""]
    rest = [_property(key, value) for key, value in properties.items() if not _usual(key, value)]
    yield " ".join(part for part in (sign, it.kind, it.name, line, *([f"({', '.join(rest)})"] if rest else [])) if part)
    yield from (f"    | {text}" for text in body)


def _usual(key: str, value: object) -> bool:
    return value is False or value in ("", [], None) or value in _USUAL.get(key, ())


def _property(key: str, value: object) -> str:
    return key if value is True else f"{key} {_text(value)}"


def _changed(before: _Object, after: _Object) -> Iterator[str]:
    """What is another than before of an object that stays."""
    was, now = (it.definition if isinstance(it.definition, dict) else {"text": it.definition} for it in (before, after))
    for key in sorted(was.keys() | now.keys()):
        old, new = was.get(key), now.get(key)
        if old == new and type(old) is type(new):
            continue
        head = f"~ {after.kind} {after.name}: {key}:"
        if any(isinstance(value, str) and "\n" in value for value in (old, new)):
            yield head
            yield from (f"    - {text}" for text in str(old or "").splitlines())
            yield from (f"    + {text}" for text in str(new or "").splitlines())
        else:
            yield f"{head} {_text(old)} -> {_text(new)}"


def _text(value: object) -> str:
    """A value in a line."""
    if value is None:
        return "none"
    return " ".join(value.split("\n")) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
