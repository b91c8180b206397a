"""`--deploy-set KEY=VALUE`: one value of the resolved policy changed, for local deployments and rehearsals.

    service.env.FAULT=login     health.watch_s=1     traffic.steps_percent=[10, 100]     window=null

KEY is a dotted path in the resolved document. VALUE is read as in deploy.yaml, except below service.env, where it is text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_deploy.errors import Fault
from pytest_deploy.policy.yaml_source import Node, read

FILE = "--deploy-set"
"""Where faults of these settings are said to be."""

_VARIABLES = "service.env."


def parse(sets: Sequence[str]) -> tuple[Mapping[str, str], list[Node], list[Fault]]:
    """Read settings as given. Returns them by key, one document to lay over the policy for each, and the faults."""
    settings: dict[str, str] = {}
    documents: list[Node] = []
    faults: list[Fault] = []
    for text in sets:
        key, equals, value = text.partition("=")
        parts = _parts(key)
        if not equals or not all(parts):
            faults.append(Fault(FILE, None, key, "is not KEY=VALUE", "write e.g. health.watch_s=1"))
            continue
        leaf = Node(value, FILE, None, key)
        if not key.startswith(_VARIABLES):
            read_leaf, unreadable = read(value, FILE)
            faults.extend(Fault(FILE, None, key, fault.problem, fault.remedy) for fault in unreadable)
            if unreadable:
                continue
            leaf = _at(read_leaf, key)
        for depth in range(len(parts), 0, -1):
            leaf = Node({parts[depth - 1]: leaf}, FILE, None, ".".join(parts[: depth - 1]))
        settings[key] = value
        documents.append(leaf)
    return settings, documents, faults


def _parts(key: str) -> list[str]:
    """The path of a key; a variable's name is one part, whatever it holds."""
    if key.startswith(_VARIABLES):
        return ["service", "env", key.removeprefix(_VARIABLES)]
    return key.split(".")


def _at(node: Node, key: str) -> Node:
    """The same value, placed at `key` of the command line."""
    value = node.value
    if isinstance(value, Mapping):
        value = {name: _at(child, f"{key}.{name}") for name, child in value.items()}
    elif isinstance(value, tuple):
        value = tuple(_at(child, f"{key}[{index}]") for index, child in enumerate(value))
    return Node(value, FILE, None, key)
