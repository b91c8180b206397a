"""The register of assertions: read from the specification, and asked by id."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pytest_deploy.errors import UsageError
from pytest_deploy.traceability import register
from pytest_deploy.workspace import SPECIFICATION

ROOT = Path(__file__).parents[3]


def test_specification_has_forty_assertions_with_text() -> None:
    known = register.read(ROOT)

    assert list(known) == [f"REQ-o00043-{letter}" for letter in "ABCDEFGHIJKLMNOPQRST"] + [
        f"REQ-o00044-{letter}" for letter in "ABCDEFGHIJKLMNOPQRST"
    ]
    assert known["REQ-o00043-K"] == (
        "The system SHALL enforce a rate limit of maximum 1 production deployment per 4 hours."
    )


def test_lettered_lines_elsewhere_are_no_assertions() -> None:
    text = "# PARCEL-1: Title\n\nA. no\n\n## Assertions\n\nA. yes\n\n## Notes\n\nB. no\n\n*End*\n\n## Assertions\n\nC. no\n"

    assert register.parse(text) == {"PARCEL-1-A": "yes"}


def test_another_specification_than_the_runs_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "spec").mkdir()
    (tmp_path / SPECIFICATION).write_bytes(b"# REQ-o00001: T\n## Assertions\nA. text\n")
    digest = hashlib.sha256((tmp_path / SPECIFICATION).read_bytes()).hexdigest()

    assert register.read(tmp_path, digest) == {"REQ-o00001-A": "text"}
    assert register.read(tmp_path, "0" * 64) == {}
    assert register.read(tmp_path / "elsewhere") == {}


@pytest.mark.parametrize("asked", ["REQ-o00043", "REQ-o00043-K", "PARCEL-12"])
def test_id_that_is_known_may_be_asked_for(asked: str) -> None:
    register.require_known(asked, [*register.read(ROOT), "PARCEL-12"])


@pytest.mark.parametrize(
    "asked,close", [("REQ-o00043-X", "REQ-o00043-"), ("REQ-o0043", "REQ-o00043"), ("PARCEL-13", "PARCEL-12")]
)
def test_unknown_id_is_refused_naming_close_ones(asked: str, close: str) -> None:
    with pytest.raises(UsageError, match="neither the specification nor any record knows it; close to it: .*" + close):
        register.require_known(asked, [*register.read(ROOT), "PARCEL-12"])
