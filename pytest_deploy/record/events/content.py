"""What every type of event has in common: how its content is declared, checked, read and written.

A required key stands without a default and is written even where it has no value (null). An optional key defaults to UNSET and
is then left out of the record; `given(content.title, "")` reads it. What is optional may not be null unless it says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

from msgspec import UNSET, Meta, Struct, UnsetType, ValidationError, convert

from pytest_deploy.record.clock import parse_stamp, stamp

Json = Any
"""None, bool, int, finite float, str, list or dict with str keys, nested."""

Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
"""A SHA-256, 64 hex digits."""

StatedText = Annotated[str, Meta(extra={"stated": True})]
"""What a person stated, not what was observed: it alone can be amended."""

Number = int | float

_KINDS: Final[Mapping[Any, str]] = {
    Any: "any", str: "str", int: "int", bool: "bool", Sha256: "sha256", datetime: "time", dict: "object", list: "array",
}  # fmt: skip


Value = TypeVar("Value")
Default = TypeVar("Default")


@overload
def given(value: Value | UnsetType) -> Value | None: ...
@overload
def given(value: Value | UnsetType, default: Default) -> Value | Default: ...
def given(value: Value | UnsetType, default: Default | None = None) -> Value | Default | None:
    """The value of an optional key, or the default where the event has no such key."""
    return default if isinstance(value, UnsetType) else value


class EventContent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of an event. Making one checks nothing: `Log.append` does, and `parse` for what was read."""

    type: ClassVar[str]
    """As the record names it, which the class's own name says: `StepNotRun` is `step.not-run`."""

    clock: datetime | UnsetType = UNSET
    """In a rehearsal: its own shifted instant, by which gates and expiry go. The log adds it; `time` stays real."""

    def __init_subclass__(cls) -> None:
        first, *more = re.findall("[A-Z][a-z]+", cls.__name__)
        cls.type = f"{first}.{'-'.join(more)}".lower()

    def as_data(self) -> dict[str, Json]:
        """As it stands in the record: without the keys that are UNSET, instants as stamps."""
        values = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return {
            name: stamp(value) if isinstance(value, datetime) else value for name, value in values if value is not UNSET
        }


@dataclass(frozen=True)
class Field:
    name: str
    annotation: Any
    kinds: tuple[str, ...]
    """`str int number bool object array any sha256 time`, one of them; or the words it may be."""
    nullable: bool
    required: bool
    stated: bool = False
    """Whether a person stated it."""

    @property
    def form(self) -> str:
        """What may stand under the key, in words: `str or null`."""
        return " or ".join([*self.kinds, *(["null"] if self.nullable else [])])

    def fits(self, value: Json) -> bool:
        try:
            convert(value, self.annotation)
            if value is not None and self.kinds == ("time",):
                parse_stamp(value)
        except (ValidationError, ValueError, TypeError):
            return False
        return True


@cache
def fields(content_type: type[EventContent]) -> Mapping[str, Field]:
    """The keys of a type, by name, required ones first."""
    hints = get_type_hints(content_type, include_extras=True)
    described = [_field(name, hints[name]) for name in content_type.__struct_fields__]
    return {
        field.name: field for field in sorted(described, key=lambda field: (not field.required, field.name == "clock"))
    }


def converted(content_type: type[EventContent], data: Mapping[str, Json]) -> EventContent:
    """The content that `data` is. Raises ValidationError (a ValueError) where it is not of that type."""
    content = convert(data, content_type)
    for name in _times(content_type):
        if isinstance(getattr(content, name), datetime):  # its text must be the one form that a stamp has
            parse_stamp(data[name])
    return content


def explain(content_type: type[EventContent], data: Mapping[str, Json]) -> str:
    """The first thing about `data` that the type does not allow: its key, and what is right."""
    known_fields = fields(content_type)
    missing = [field.name for field in known_fields.values() if field.required and field.name not in data]
    if missing:
        return f"{content_type.type} lacks {', '.join(missing)}"
    for key, value in data.items():
        if key not in known_fields:
            return f"{content_type.type} has no key {key!r}: {', '.join(known_fields)}"
        if not known_fields[key].fits(value):
            return f"{content_type.type}: {key} is {value!r}, not {known_fields[key].form}"
    return f"{content_type.type} does not fit its type"


@cache
def _times(content_type: type[EventContent]) -> tuple[str, ...]:
    return tuple(name for name, field in fields(content_type).items() if field.kinds == ("time",))


def _field(name: str, annotation: Any) -> Field:
    kinds = list(get_args(annotation)) if get_origin(annotation) in {Union, UnionType} else [annotation]
    required = UnsetType not in kinds
    nullable = NoneType in kinds
    stated = StatedText in kinds
    kinds = [str if kind == StatedText else kind for kind in kinds if kind not in {UnsetType, NoneType}]
    if set(kinds) == {int, float}:
        words: tuple[str, ...] = ("number",)
    elif get_origin(kinds[0]) is Literal:
        words = get_args(kinds[0])
    else:
        words = (_KINDS[get_origin(kinds[0]) if get_origin(kinds[0]) in {dict, list} else kinds[0]],)
    return Field(name, annotation, words, nullable, required, stated)
