"""What the YAML says, and where it says it."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_deploy.policy.yaml_source import Node, overlay, read

keys = st.text(max_size=8)
scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=20)
documents = st.dictionaries(
    keys, st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=12), min_size=1
)


def flow(value: object) -> str:
    """The value on one line of YAML, every scalar quoted and tagged."""
    return str(yaml.safe_dump(value, default_style='"', default_flow_style=True, width=10**9)).strip()


def lines(document: dict[str, object]) -> str:
    """One line a key."""
    return "".join(f"{flow(key)}: {flow(value)}\n" for key, value in document.items())


@settings(max_examples=40)
@given(documents)
def test_a_document_is_read_as_the_values_it_states_each_with_its_line(document: dict[str, object]) -> None:
    node, faults = read(lines(document), "f")

    assert faults == []
    assert document == node.plain()
    assert [*enumerate(document, start=1)] == [(node.nearest((key,)).line, key) for key in document]


@pytest.mark.parametrize(
    "text,expected",
    [
        ("15:00", "15:00"),
        ("2026-12-24", "2026-12-24"),
        ("no", "no"),
        ("on", "on"),
        ("0x1f", "0x1f"),
        ("007", "007"),
        ("1_000", "1_000"),
        (".inf", ".inf"),
        ("<<", "<<"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("-12", -12),
        ("0.5", 0.5),
        ("'0.5'", "0.5"),
        ("!!str 12", "12"),
    ],
)
def test_only_what_looks_like_a_boolean_or_a_decimal_is_one(text: str, expected: object) -> None:
    node, faults = read(f"key: {text}", "f")

    assert faults == []
    assert {"key": expected} == node.plain()


def test_an_alias_is_the_value_of_its_anchor() -> None:
    node, faults = read("a: &x [1, {b: 2}]\nc: *x\n", "f")

    assert faults == []
    assert node.plain() == {"a": [1, {"b": 2}], "c": [1, {"b": 2}]}


@pytest.mark.parametrize(
    "text,line,key,problem",
    [
        ("a: 1\nb: 2\na: 3\n", 3, "a", "twice, first in line 1"),
        ("a:\n  b: 1\n  b: 2\n", 3, "a.b", "twice, first in line 2"),
        ("a:\n\tb: 1\n", 2, "", "found character '\\t'"),
        ("a: [1\n", 2, "", "expected ',' or ']'"),
        ("a: 1\n---\nb: 2\n", 2, "", "but found another document"),
        ("a: 1\nb: \x01\n", 2, "", "character U+0001 may not stand in it"),
        ("a: &x\n  - *x\n", 1, "a[0]", "contains itself"),
        ("a: &x {b: *x}\n", 1, "a.b", "contains itself"),
        ("{[1]: 2}\n", 1, "", "a key that is not a word"),
        ("a: !!python/name:os.system 1\n", 1, "a", "is not known here"),
        ("a: !!int word\n", 1, "a", "is not what its tag"),
    ],
)
def test_what_cannot_be_read_is_a_fault_with_its_place(text: str, line: int, key: str, problem: str) -> None:
    _, faults = read(text, "f")

    assert [("f", line, key)] == [(fault.file, fault.line, fault.key) for fault in faults]
    assert problem in faults[0].problem


def test_a_tab_is_answered_with_spaces() -> None:
    assert read("a:\n\tb: 1\n", "f")[1][0].remedy == "indent by spaces, not tabs"


def test_every_duplicate_is_reported() -> None:
    assert [fault.key for fault in read("a: 1\na: 2\nb: 3\nb: 4\n", "f")[1]] == ["a", "b"]


def test_an_empty_document_is_null() -> None:
    assert (read("# nothing\n", "f")[0].value, read("# nothing\n", "f")[1]) == (None, [])


trees = st.recursive(
    st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner),
)


@settings(max_examples=50)
@given(trees, trees)
def test_the_upper_layer_wins_and_only_mappings_are_merged(lower: object, upper: object) -> None:
    def merged(base: object, over: object) -> object:
        if isinstance(base, dict) and isinstance(over, dict):
            return base | {key: merged(base[key], value) if key in base else value for key, value in over.items()}
        return over

    assert merged(lower, upper) == overlay(_node(lower), _node(upper)).plain()


def _node(value: object) -> Node:
    if isinstance(value, dict):
        return Node({key: _node(inner) for key, inner in value.items()}, "f", 1, "")
    if isinstance(value, list):
        return Node(tuple(map(_node, value)), "f", 1, "")
    assert value is None or isinstance(value, str | int)
    return Node(value, "f", 1, "")


def test_a_merged_value_keeps_the_place_it_came_from() -> None:
    both = overlay(read("a:\n  b: 1\n  c: 2\n", "lower")[0], read("\na:\n  c: 3\n", "upper")[0])

    assert [(node.file, node.line) for node in (both.nearest(("a", "b")), both.nearest(("a", "c")))] == [
        ("lower", 2),
        ("upper", 3),
    ]


@pytest.mark.parametrize(
    "path,key", [((), ""), (("a", 1), "a[1]"), (("a", 7), "a"), (("a", "x"), "a"), (("z", "y"), ""), (("b", 0), "b")]
)
def test_the_nearest_node_is_the_last_one_that_exists(path: tuple[str | int, ...], key: str) -> None:
    root: Node = read("a: [1, 2]\nb: 3\n", "f")[0]

    assert key == root.nearest(path).key
