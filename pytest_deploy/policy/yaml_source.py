"""YAML text becomes plain values that remember where they were written.

Two departures from YAML 1.1, so that a policy reads as its author meant it: only `true` and `false` are booleans
(`no` and `on` stay words), and only decimal numbers are numbers (`15:00` and `2026-12-24` stay text). Duplicate keys,
which YAML parsers commonly let the last one win, are faults. Anchors and aliases work; merge keys (`<<`) do not, `extends`
says the same in one word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from pytest_deploy.errors import Fault

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Node:
    """One value and the place it was written at."""

    value: Scalar | tuple[Node, ...] | Mapping[str, Node]
    file: str
    line: int | None
    """1-based, of the key where the value has one."""
    key: str
    """Dotted path in the file, `environments.production.window`; empty for the whole document."""

    def plain(self) -> Any:
        """The value without its places: dicts, lists and scalars."""
        if isinstance(self.value, Mapping):
            return {name: node.plain() for name, node in self.value.items()}
        if isinstance(self.value, tuple):
            return [node.plain() for node in self.value]
        return self.value

    def nearest(self, path: Sequence[str | int]) -> Node:
        """The node at `path`, or the last one on the way to it that exists."""
        node = self
        for part in path:
            if isinstance(node.value, Mapping) and part in node.value:
                node = node.value[str(part)]
            elif isinstance(node.value, tuple) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
            else:
                break
        return node

    def fault(self, problem: str, remedy: str, *, below: str = "") -> Fault:
        """A fault at this place; `below` names a key under it that is not there."""
        key = ".".join(part for part in (self.key, below) if part)
        return Fault(self.file, self.line, key, problem, remedy)


def overlay(base: Node, over: Node) -> Node:
    """`base` with `over` laid upon it: mappings are merged key by key, anything else is replaced."""
    if not (isinstance(base.value, Mapping) and isinstance(over.value, Mapping)):
        return over
    merged = dict(base.value)
    for name, node in over.value.items():
        merged[name] = overlay(merged[name], node) if name in merged else node
    return Node(merged, over.file, over.line, over.key)


def read(text: str, file: str) -> tuple[Node, list[Fault]]:
    """Parse one YAML document; `file` is its name as faults shall show it.

    Every fault that leaves the rest readable is collected; a syntax error is the only fault of its file.
    """
    faults: list[Fault] = []
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        remedy = "indent by spaces, not tabs" if "'\\t'" in str(error.problem) else "mend the YAML at this place"
        faults.append(Fault(file, mark.line + 1 if mark else None, "", f"not YAML: {error.problem}", remedy))
        root = None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        problem = f"not YAML: the character U+{ord(text[error.position]):04X} may not stand in it"
        faults.append(Fault(file, line, "", problem, "remove that character"))
        root = None
    if root is None:
        return Node(None, file, None, ""), faults
    return _Reading(file, faults).node(root, "", root.start_mark.line + 1, ()), faults


class _Loader(yaml.SafeLoader):
    """PyYAML's composer with the resolvers of the module docstring."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  PyYAML's own declaration


for _tag, _pattern, _first in (
    ("null", r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?[0-9]+\.[0-9]+(?:[eE][-+]?[0-9]+)?", list("-+0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)

_SCALARS: dict[str, Callable[[str], Scalar]] = {
    "tag:yaml.org,2002:null": lambda _text: None,
    "tag:yaml.org,2002:bool": lambda text: text.lower() == "true",
    "tag:yaml.org,2002:int": int,
    "tag:yaml.org,2002:float": float,
    "tag:yaml.org,2002:str": str,
}


@dataclass(frozen=True)
class _Reading:
    """One walk over PyYAML's nodes."""

    file: str
    faults: list[Fault]

    def node(self, raw: yaml.Node, key: str, line: int, above: tuple[yaml.Node, ...]) -> Node:
        if any(raw is ancestor for ancestor in above):
            self._fault(raw, key, "an alias that contains itself", "write the value out")
            return Node(None, self.file, line, key)
        if isinstance(raw, yaml.MappingNode):
            return Node(self._mapping(raw, key, (*above, raw)), self.file, line, key)
        if isinstance(raw, yaml.SequenceNode):
            items = tuple(
                self.node(item, f"{key}[{index}]", item.start_mark.line + 1, (*above, raw))
                for index, item in enumerate(raw.value)
            )
            return Node(items, self.file, line, key)
        return Node(self._scalar(raw, key), self.file, line, key)

    def _mapping(self, raw: yaml.MappingNode, key: str, above: tuple[yaml.Node, ...]) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        for name_node, value_node in raw.value:
            line = name_node.start_mark.line + 1
            if not isinstance(name_node, yaml.ScalarNode):
                self._fault(name_node, key, "a key that is not a word", "use a plain word as key")
                continue
            name = str(name_node.value)
            path = f"{key}.{name}" if key else name
            if name in entries:
                self._fault(name_node, path, f"the key is there twice, first in line {entries[name].line}", "keep one")
                continue
            entries[name] = self.node(value_node, path, line, above)
        return entries

    def _scalar(self, raw: yaml.Node, key: str) -> Scalar:
        read_as = _SCALARS.get(raw.tag)
        if read_as is None:
            self._fault(raw, key, f"the tag {raw.tag} is not known here", "write the plain value")
            return None
        try:
            return read_as(raw.value)
        except ValueError:
            self._fault(raw, key, f"{raw.value!r} is not what its tag {raw.tag} says", "write the plain value")
            return None

    def _fault(self, raw: yaml.Node, key: str, problem: str, remedy: str) -> None:
        self.faults.append(Fault(self.file, raw.start_mark.line + 1, key, problem, remedy))
