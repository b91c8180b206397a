"""Text that somebody else wrote shows what it holds, and can draw over nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.errors import UsageError
from pytest_deploy.record.plain_text import (
    LONGEST,
    escape_cell,
    escape_hidden,
    escape_line,
    escape_to_ascii,
    is_plain,
    require_plain,
)


@pytest.mark.parametrize(
    "line, seen",
    [
        ("reason    mends the login, été 2026", "reason    mends the login, été 2026"),
        ("reason    mend\nmigrates  nothing", "reason    mend\\nmigrates  nothing"),
        ("reason    \x1b[2J\x1b[H", "reason    \\x1b[2J\\x1b[H"),
        ("release   1.0\u202e", "release   1.0\\u202e"),
    ],
)
def test_a_line_is_one_line_and_says_what_it_holds(line: str, seen: str) -> None:
    assert escape_line(line) == seen


@given(st.text())
def test_what_is_escaped_for_a_terminal_is_plain(text: str) -> None:
    assert is_plain(escape_line(text))


@given(st.text())
def test_what_is_escaped_for_a_verifier_is_printable_ascii(text: str) -> None:
    escaped = escape_to_ascii(text)
    assert escaped.isascii()
    assert is_plain(escaped)


def test_a_letter_that_looks_like_another_shows_to_who_verifies() -> None:
    assert escape_to_ascii("r\u0435port.html") == "r\\u0435port.html"


@pytest.mark.parametrize(
    "value, escaped",
    [
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[2J\u202e", "\\u001b[2J\\u202e"),
        ({"b": 1, "a": "é"}, '{"a": "é", "b": 1}'),
        (None, "null"),
    ],
)
def test_a_page_keeps_lines_and_shows_what_is_hidden(value: Any, escaped: str) -> None:
    assert escape_hidden(value) == escaped


def test_a_cell_is_one_line() -> None:
    assert escape_cell("a\n\tb\u2028") == "a\\u000a\\u0009b\\u2028"


def test_a_text_longer_than_an_event_can_hold_is_refused_by_name() -> None:
    require_plain("--reason", "x" * LONGEST)
    with pytest.raises(UsageError, match=r"--reason is 2001 characters long: right is 2000 at most"):
        require_plain("--reason", "x" * (LONGEST + 1))
    require_plain("--to", "x" * (LONGEST + 1), longest=None)


@pytest.mark.parametrize("text", ["two\nlines", "\x1b[2J", "\u202e", "a\tb"])
def test_a_text_that_cannot_be_shown_is_refused(text: str) -> None:
    with pytest.raises(
        UsageError, match="--reason holds characters that cannot be shown: write one line of plain text"
    ):
        require_plain("--reason", text)
