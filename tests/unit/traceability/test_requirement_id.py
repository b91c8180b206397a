"""What names a requirement, and what does not."""

from __future__ import annotations

import pytest

from pytest_deploy.traceability.requirement_id import is_id, is_standard


@pytest.mark.parametrize("text", ["PARCEL-12", "REQ-o00043-K", "SRS_3.2.1", "7", "a", "x" * 80])
def test_letters_digits_and_a_few_marks_name_one(text: str) -> None:
    assert is_id(text)


@pytest.mark.parametrize(
    "text", ["", "x" * 81, "PARCEL 12", "-12", ".1", "A,B", 'A"', "A<b>", "PÄCKCHEN-1", "A\n", "٣"]
)
def test_anything_else_does_not(text: str) -> None:
    assert not is_id(text)


def test_the_programs_own_are_told_from_others() -> None:
    assert is_standard("REQ-o00043-A")
    assert is_standard("REQ-o00044-T")
    assert not any(map(is_standard, ["REQ-o00043", "REQ-o00043-U", "REQ-o00045-A", "REQ-o00043-A.1", "PARCEL-12"]))
