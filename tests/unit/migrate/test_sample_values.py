"""What is guessed from the words of a CHECK; PostgreSQL is asked in test_trial_rows.py."""

from __future__ import annotations

import re

import pytest

from pytest_deploy.migrate.sample_values import candidates


@pytest.mark.parametrize(
    "check, category, expected",
    [
        ("CHECK ((status = ANY (ARRAY['a'::text, 'b'::text])))", "S", ("'a'", "'b'")),
        ("CHECK ((n > 4))", "N", ("4", "(4 + 1)", "(4 - 1)")),
        ("CHECK ((name = 'it''s {x}'::text))", "S", ("'it''s {{x}}'",)),
        ("CHECK ((char_length(code) = 12))", "S", ("lpad({unique}::text, 12, 'a')",)),
        ("CHECK ((char_length(code) < 100000))", "S", ()),
        ("CHECK ((column1 > column2))", "N", ()),
        ("CHECK ((x ~ '^(a|b)$'::text))", "S", ()),
    ],
)
def test_literals_and_their_neighbours_are_tried(check: str, category: str, expected: tuple[str, ...]) -> None:
    assert candidates([check], category) == expected


@pytest.mark.parametrize(
    "pattern",
    [
        "^[A-Z]{3}$",
        r"^\d{4}-\d{2}$",
        "^[^@]+@[^@]+$",
        "^[[:alpha:]_]+$",
        "[a-f0-9]{8}",
        "^A?B*C+.$",
        "^[a-z][a-z0-9_-]{2,10}$",
    ],
)
def test_texts_of_a_simple_pattern_match_it_and_differ(pattern: str) -> None:
    guessed = candidates([f"CHECK ((x ~ '{pattern}'::text))"], "S")
    spelled = pattern.replace("[:alpha:]", "A-Za-z")
    assert len(guessed) > 1
    assert all(re.search(spelled, text[1:-1]) for text in guessed)
