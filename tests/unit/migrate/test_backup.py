"""A backup before the schema moves."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest

from pytest_deploy.errors import PlatformUnavailable
from pytest_deploy.migrate.backup import back_up
from tests.unit.migrate.samples import PROGRAMS, do


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
