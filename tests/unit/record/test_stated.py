"""What a step says is taken in whatever it is: an event and UTF-8 hold what comes out, and it is cut to a size."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.record.plain_text import STATED_BYTES, encodable, shortened, stated, words_of
from pytest_deploy.record.run_folder import encodable_name


class Raises:
    """Its words raise, and what ends a process at that."""

    def __repr__(self) -> NoReturn:
        raise SystemExit(0)

    __str__ = __repr__


class Broken(Mapping[str, int]):
    """A mapping that gives nothing away."""

    def __getitem__(self, key: str) -> int:
        raise OSError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


HOLDS_ITSELF: list[Any] = []
HOLDS_ITSELF.append(HOLDS_ITSELF)


@pytest.mark.parametrize(
    "value, found",
    [
        (None, None), (True, True), (3, 3), (2.5, 2.5), ("ä", "ä"),
        (math.nan, "nan"), (-math.inf, "-inf"), ({"a": [math.inf]}, {"a": ["inf"]}),
        ("caf\udce9", "caf\\udce9"), ({"k\udcff": 1}, {"k\\udcff": 1}),
        ({1: 2, None: 3, (4, 5): 6}, {"1": 2, "None": 3, "(4, 5)": 6}),
        ((1, 2), [1, 2]), ({7}, [7]), (b"\xff", "b'\\xff'"), (int, "<class 'int'>"),
        (10**5000, "<a number of 16610 bits>"),
    ],
    ids=count(),
)  # fmt: skip
def test_a_value_becomes_json(value: object, found: object) -> None:
    said = stated(value)

    json.dumps(said, allow_nan=False).encode()
    assert found == said


def test_what_cannot_say_itself_is_named_by_its_class() -> None:
    assert stated([Raises(), {"k": Raises()}]) == [
        "<Raises, whose repr raises SystemExit>", {"k": "<Raises, whose repr raises SystemExit>"},
    ]  # fmt: skip
    assert stated(Broken()) == "<Broken, which raises OSError>"


def test_what_holds_itself_and_what_lies_deep_comes_to_an_end() -> None:
    deep: list[Any] = []
    for _ in range(10_000):
        deep = [deep]

    assert "…" in json.dumps(stated(HOLDS_ITSELF), ensure_ascii=False)
    assert "…" in json.dumps(stated(deep), ensure_ascii=False)


@pytest.mark.parametrize(
    "value",
    ["x" * 200_000, "😀" * 50_000, list(range(100_000)), {"k" * 50_000: 1}],
    ids=count(),
)
def test_what_is_large_is_cut_and_says_so(value: object) -> None:
    said = stated(value)

    assert len(json.dumps(said)) <= STATED_BYTES
    assert re.search(r"… \[\d+ of \d+ characters cut; SHA-256 of all: [0-9a-f]{64}\]$", said)


@given(text=st.text(st.characters(), max_size=600), limit=st.integers(200, 800))
def test_a_text_is_cut_to_bytes_of_a_line(text: str, limit: int) -> None:
    short = shortened(encodable(text), limit)

    assert len(json.dumps(short)) <= limit
    assert short == encodable(text) or hashlib.sha256(encodable(text).encode()).hexdigest() in short


def test_what_fits_is_left() -> None:
    assert shortened("as it is", 60) == "as it is"


@given(text=st.text(st.characters()))
def test_every_text_can_be_written(text: str) -> None:
    encodable(text).encode()
    encodable_name(text).encode()


def test_words_are_those_of_the_value_or_say_why_not() -> None:
    assert words_of(ValueError("ä\ud800")) == "ä\\ud800"
    assert words_of(Raises()) == "<Raises, whose words raise SystemExit>"
