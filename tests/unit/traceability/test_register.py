"""The register of requirements: read from the file that deploy.yaml names, and asked by id."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pytest_deploy.errors import CollectionRefused, ConfigurationError, UsageError
from pytest_deploy.traceability import register

ROOT = Path(__file__).parents[3]
MARKDOWN = """\
# What parcels must do

A parcel, e.g. PARCEL-1: no line that begins with an id, and neither is the next heading.

## Scope

- PARCEL-12: A parcel has exactly one sender.
* **PARCEL-13:** It has an address.
1. `PARCEL-14`: It is weighed.
- Note: not one, it has no number.
- PARCEL-12 is what the next one rests on

## PARCEL-15 — A parcel that was delivered does not move
### PARCEL-15.1

SEC_7: Nobody reads another's parcel.

```
id-1: of an example
```
"""


def test_specification_has_forty_assertions_with_text() -> None:
    known = register.of_checkout(ROOT)

    assert list(known) == [f"REQ-o00043-{letter}" for letter in "ABCDEFGHIJKLMNOPQRST"] + [
        f"REQ-o00044-{letter}" for letter in "ABCDEFGHIJKLMNOPQRST"
    ]
    assert known["REQ-o00043-K"] == (
        "The system SHALL enforce a rate limit of maximum 1 production deployment per 4 hours."
    )


def test_lettered_lines_elsewhere_are_no_assertions() -> None:
    text = "# PARCEL-1: Title\n\nA. no\n\n## Assertions\n\nA. yes\n\n## Notes\n\nB. no\n\n*End*\n\n## Assertions\n\nC. no\n"

    assert register.parse(text) == {"PARCEL-1-A": "yes"}


def test_a_line_that_begins_with_an_id_is_a_requirement() -> None:
    assert register.parse(MARKDOWN) == {
        "PARCEL-12": "A parcel has exactly one sender.",
        "PARCEL-13": "It has an address.",
        "PARCEL-14": "It is weighed.",
        "PARCEL-15": "A parcel that was delivered does not move",
        "PARCEL-15.1": "",
        "SEC_7": "Nobody reads another's parcel.",
    }


@pytest.mark.parametrize(
    "text",
    [
        'id,text,owner\nPARCEL-12,"A parcel has\nexactly one sender, and no more.",Dana\n\n13,By number.,\n',
        "owner;id;text\r\nDana;PARCEL-12;A parcel has exactly one sender, and no more.\r\n;13;By number.\r\n",
    ],
    ids=["commas", "semicolons"],
)
def test_a_table_has_columns_id_and_text(text: str) -> None:
    assert register.parse(text, table=True) == {
        "PARCEL-12": "A parcel has exactly one sender, and no more.",
        "13": "By number.",
    }


@pytest.mark.parametrize(
    "name,text,problem",
    [
        ("r.md", b"# Parcels\n\nThey arrive.\n", "it names no requirement"),
        ("r.md", b"- P-1: one\n- P-2: two\n- P-1: three\n", "line 3 has P-1 again, after line 1"),
        ("r.md", b"- P-" + b"1" * 90 + b": long\n", "line 1: 'P-1+' is no id: right is letters, digits, .* at most 80"),
        ("r.md", b"- P-1: one\n- P-2: \xff\n", "line 2 is not UTF-8"),
        ("r.csv", b"key,text\nP-1,one\n", "line 1 names no column id"),
        ("r.csv", b"id,text\nP 1,one\n", "line 2: 'P 1' is no id"),
        ("r.csv", b"", "line 1 names no column id and no column text"),
        ("elsewhere.md", None, "it cannot be read: No such file or directory"),
        (".", None, "it cannot be read: Is a directory"),
    ],
)
def test_a_file_that_holds_no_register_is_refused(tmp_path: Path, name: str, text: bytes | None, problem: str) -> None:
    if text is not None:
        (tmp_path / name).write_bytes(text)

    with pytest.raises(
        ConfigurationError, match=rf"deploy.yaml: requirements: {name}: {problem}.*; right is a text file"
    ):
        register.accept(tmp_path, name, {})
    assert register.read(tmp_path / name) == {}


def test_another_register_than_the_runs_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "deploy.yaml").write_text("requirements: parcels.txt\nenvironments: {}\n")
    assert register.of_checkout(tmp_path) == {}
    (tmp_path / "parcels.txt").write_bytes(b"P-1: text\n")
    digest = hashlib.sha256(b"P-1: text\n").hexdigest()

    assert register.of_checkout(tmp_path, digest) == register.of_checkout(tmp_path) == {"P-1": "text"}
    assert register.of_checkout(tmp_path, "0" * 64) == {}
    assert register.of_checkout(tmp_path / "elsewhere") == {}


def test_registers_of_single_environments_are_known_too(tmp_path: Path) -> None:
    (tmp_path / "deploy.yaml").write_text(
        "requirements: a.md\nenvironments: {local: {requirements: b.md}, other: {}}\n"
    )
    (tmp_path / "a.md").write_text("P-1: of all\n")
    (tmp_path / "b.md").write_text("P-2: of local\n")

    assert register.of_checkout(tmp_path) == {"P-1": "of all", "P-2": "of local"}


def test_what_steps_name_is_in_the_register_or_of_the_standard_steps(tmp_path: Path) -> None:
    (tmp_path / "r.md").write_text("- PARCEL-12: one\n")
    step = "suites/smoke/test_parcels.py::test_one"

    register.accept(tmp_path, "r.md", {step: ["PARCEL-12", "REQ-o00043-H"]})
    register.accept(tmp_path, None, {step: ["PARCEL-99"]})
    with pytest.raises(CollectionRefused) as refused:
        register.accept(tmp_path, "r.md", {step: ["PARCEL-12", "PARCEL-21", "REQ-o00099-A"]})

    assert str(refused.value).splitlines() == [
        "steps name requirements that nobody asked for; nothing was opened: 2 faults",
        f"  {step}: PARCEL-21: r.md holds no such requirement; did you mean PARCEL-12? name one that is there, or have it added to r.md",
        f"  {step}: REQ-o00099-A: r.md holds no such requirement; name one that is there, or have it added to r.md",
    ]


@pytest.mark.parametrize("asked", ["REQ-o00043", "REQ-o00043-K", "PARCEL-12", "PARCEL", "PARCEL-12.1"])
def test_id_that_is_known_may_be_asked_for(asked: str) -> None:
    register.require_known(asked, [*register.of_checkout(ROOT), "PARCEL-12", "PARCEL-12.1"])


@pytest.mark.parametrize(
    "asked,close", [("REQ-o00043-X", "REQ-o00043-"), ("REQ-o0043", "REQ-o00043"), ("PARCEL-13", "PARCEL-12")]
)
def test_unknown_id_is_refused_naming_close_ones(asked: str, close: str) -> None:
    with pytest.raises(UsageError, match="nor any record knows it; close to it: .*" + close):
        register.require_known(asked, [*register.of_checkout(ROOT), "PARCEL-12"])
