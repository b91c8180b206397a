"""A backup before the schema moves."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.errors import PlatformUnavailable
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.backup import Backup, back_up, compare, proof_due
from tests.unit.migrate.sample_migrations import ACTOR, FIVE, PROGRAMS, do, programs_of, sample


def test_a_backup_is_a_private_file_with_its_digest(each_database: str, tmp_path: Path) -> None:
    do(each_database, "create table a (x int)", "insert into a values (1)")
    backup = back_up(each_database, tmp_path / "backups", PROGRAMS)
    path = Path(backup.place)
    assert backup.kind == "pg_dump-custom"
    assert path.read_bytes()[:5] == b"PGDMP"
    assert (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()) == (backup.bytes, backup.sha256)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert backup.restorable is None


def test_two_backups_do_not_meet(database: str, tmp_path: Path) -> None:
    assert back_up(database, tmp_path, PROGRAMS).place != back_up(database, tmp_path, PROGRAMS).place


def test_a_backup_that_fails_leaves_nothing(database: str, tmp_path: Path) -> None:
    with pytest.raises(PlatformUnavailable):
        back_up(f"{database}_gone", tmp_path, PROGRAMS)
    assert list(tmp_path.iterdir()) == []


def test_a_backup_is_proven_by_a_restore(each_database: str, tmp_path: Path) -> None:
    """REQ-o00044-J: schema and row counts as at the moment of the backup."""
    apply(each_database, sample(tmp_path / "m", *FIVE), actor=ACTOR)
    do(each_database, "insert into visit select n, 'note' from generate_series(1, 100) n")
    backup = back_up(each_database, tmp_path, programs_of(each_database), prove=True)
    assert backup.restorable is True


def test_a_backup_that_does_not_give_back_what_was_there_is_refused(each_database: str, tmp_path: Path) -> None:
    """The check on b holds only while lookup has the row, which it no longer has."""
    do(
        each_database,
        "create table lookup (x int)",
        "create function holds(v int) returns boolean language plpgsql immutable as"
        " 'begin return exists (select from public.lookup where x = v); end'",
        "insert into lookup values (1)",
        "create table b (x int check (holds(x)))",
        "insert into b values (1)",
        "delete from lookup",
    )
    with pytest.raises(PlatformUnavailable, match="pg_restore ended with 1: "):
        back_up(each_database, tmp_path, programs_of(each_database), prove=True)


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_rate_proves_all_that_a_lower_one_does(key: str, one: float, other: float) -> None:
    assert proof_due(min(one, other), key) <= proof_due(max(one, other), key)
    assert proof_due(1, key)
    assert not proof_due(0, key)


def test_the_rate_is_the_share_that_is_proven() -> None:
    assert 180 <= sum(proof_due(0.2, f"run-{number}") for number in range(1000)) <= 220


def test_a_restore_that_differs_is_told_by_table() -> None:
    backup = Backup("pg_dump-custom", "x.dump", 1, "0" * 64, None, {})
    with pytest.raises(PlatformUnavailable, match=r"does not give back the row counts of a, b; do not rely on it"):
        compare(backup, ("same", {"a": 1, "b": 2, "c": 3}), ("same", {"a": 2, "c": 3}))
    with pytest.raises(PlatformUnavailable, match="does not give back the schema"):
        compare(backup, ("one", {"a": 1}), ("other", {"a": 1}))
    compare(backup, ("same", {"a": 1}), ("same", {"a": 1}))
