"""Whether the schema of an earlier release can be reached, and what stands between: each migration by its file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pytest_deploy.errors import Refused
from pytest_deploy.migrate.ledger import Applied
from pytest_deploy.migrate.migration import Migration
from pytest_deploy.migrate.migration_folder import read_migrations
from pytest_deploy.release.live import Baseline, Release
from pytest_deploy.rollback.way_back import way_back

TARGET = Baseline("d-1", ("0001",), "a" * 64, "b" * 64, Release("1.0.0", "0" * 40, "d@sha256:1", ("0001",)))
NOW = Baseline("d-3", ("0001", "0002", "0003"), "c" * 64, "d" * 64, None)
LOSSY = "-- deploy:lossy notes go with their table\n"


def folder(path: Path, *, lossy: str = "") -> tuple[Migration, ...]:
    """Three migrations that make a table each; the second declares what it loses."""
    for version, more in (("0001", ""), ("0002", lossy), ("0003", "")):
        up, down = f"create table t{version} (id int);", f"drop table t{version};"
        text = f"-- deploy:compatible expand\n{more}-- migrate:up\n{up}\n\n-- migrate:down\n{down}\n"
        (path / f"{version}_table.sql").write_text(text)
    return read_migrations(path)


def applied(*versions: str, way_down: str | None = "drop table t;") -> list[Applied]:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return [Applied(v, "table", None, at, "ada", "pytest-deploy", 0.1, way_down, n) for n, v in enumerate(versions)]


def test_what_stands_between_is_told_newest_first_by_file_with_what_it_loses(tmp_path: Path) -> None:
    between = way_back(applied("0001", "0002", "0003"), folder(tmp_path, lossy=LOSSY), NOW, TARGET)

    assert [str(one) for one in between] == [
        "0003_table.sql",
        "0002_table.sql: its way back loses rows (notes go with their table)",
    ]


def test_a_checkout_without_the_files_goes_back_by_what_the_ledger_keeps() -> None:
    between = way_back(applied("0001", "0002"), (), NOW, TARGET)

    assert [str(one) for one in between] == ["0002_table"]


def test_one_without_a_way_back_is_refused_beside_those_that_have_one(tmp_path: Path) -> None:
    rows = [*applied("0001", "0002"), *applied("", "", "0003", way_down=None)[2:]]
    files = [one for one in folder(tmp_path, lossy=LOSSY) if one.version != "0003"]

    with pytest.raises(Refused) as refused:
        way_back(rows, files, NOW, TARGET)

    lines = str(refused.value).splitlines()
    assert lines[0].startswith("1.0.0 is not gone back to: its schema cannot be reached, nothing was changed")
    assert [line.strip() for line in lines[1:]] == [
        "0003_table: no way down is known: neither the ledger nor an unedited file has one",
        "0002_table.sql: its way back loses rows (notes go with their table)",
    ]


def test_what_the_release_needs_and_was_taken_back_since_is_refused(tmp_path: Path) -> None:
    target = Baseline("d-2", ("0001", "0002"), "a" * 64, "b" * 64, None)

    with pytest.raises(Refused, match=r"0002_table\.sql: the release needs it, and it was taken back since"):
        way_back(applied("0001"), folder(tmp_path), NOW, target)


def test_a_hole_in_the_history_is_refused(tmp_path: Path) -> None:
    target = Baseline("d-2", ("0001", "0003"), "a" * 64, "b" * 64, None)

    with pytest.raises(Refused, match=r"0002_table\.sql: a later version \(3\) shall remain"):
        way_back(applied("0001", "0002", "0003"), folder(tmp_path), NOW, target)


def test_no_migration_between_and_another_schema_is_refused_and_the_same_schema_is_not(tmp_path: Path) -> None:
    files, rows = folder(tmp_path), applied("0001")

    with pytest.raises(Refused, match="no migration stands between, and the schema is not the one it served on"):
        way_back(rows, files, NOW, TARGET)
    assert way_back(rows, files, Baseline("d-3", ("0001",), "a" * 64, "b" * 64, None), TARGET) == ()
