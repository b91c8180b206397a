"""The section of docs/record-format.md about types, made from the classes: `python docs/generate_event_types.py`.

The text of a type is its docstring, that of a key the docstring under it.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pytest_deploy.record.events import RESERVED, RESERVED_KEYS, TYPES, fields
from pytest_deploy.record.events.content import EventContent, Field

BEGINS: Final = "<!-- types: made by python docs/generate_event_types.py -->\n"
ENDS: Final = "<!-- end of types -->\n"


def section() -> str:
    """Every type with its keys, as Markdown."""
    return "\n".join(_table(content_type) for content_type in TYPES.values())


def with_section(page: str) -> str:
    """The page with the section as it must be. Raises ValueError where the page has no place for it."""
    before, begins, rest = page.partition(BEGINS)
    _, ends, after = rest.partition(ENDS)
    if not begins or not ends:
        raise ValueError(f"the page has no lines {BEGINS!r} and {ENDS!r}")
    return f"{before}{begins}\n{section()}\n{ends}{after}"


def _table(content_type: type[EventContent]) -> str:
    told = _field_docs(content_type)
    rows = [
        f"| {field.name} | {field.form.replace('|', chr(92) + '|')} | {'yes' if field.required else 'no'} | {_told(content_type, field, told)} |"
        for field in fields(content_type).values()
        if field.name != "clock"
    ]
    reserved_for = RESERVED.get(content_type.type)
    note = f" Nothing writes it yet ({reserved_for})." if reserved_for else ""
    head = f"### {content_type.type}\n\n{inspect.getdoc(content_type)}{note}\n\n| key | form | required | |\n|---|---|---|---|\n"
    return head + "\n".join(rows) + "\n"


def _told(content_type: type[EventContent], field: Field, docs: Mapping[str, str]) -> str:
    will = RESERVED_KEYS.get(content_type.type, {}).get(field.name)
    stated, reserved = "Stated by a person." * field.stated, f"Not written yet ({will})." if will else ""
    return " ".join(text for text in (docs.get(field.name), stated, reserved) if text)


def _field_docs(content_type: type[EventContent]) -> dict[str, str]:
    """Key -> the docstring under it, of the class and of those it inherits from."""
    docs: dict[str, str] = {}
    for each in reversed(content_type.__mro__):
        if not issubclass(each, EventContent):
            continue
        definition = ast.parse(inspect.getsource(each)).body[0]
        assert isinstance(definition, ast.ClassDef)  # noqa: S101 -- the source of a class
        for statement, following in zip(definition.body, definition.body[1:], strict=False):
            match statement, following:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    docs[name] = " ".join(inspect.cleandoc(text).split())
                case _:
                    pass
    return docs


if __name__ == "__main__":
    place = Path(__file__).with_name("record-format.md")
    place.write_text(with_section(place.read_text(encoding="utf-8")), encoding="utf-8")
