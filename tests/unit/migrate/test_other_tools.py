"""dbmate and pgmigrate, unmodified, before, between and after our runs on one database; all agree on what is applied."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import psycopg
import pytest

from pytest_deploy.errors import MigrationsRefused
from pytest_deploy.migrate import adoption, ledger
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.engine import pgmigrate_file
from pytest_deploy.migrate.migration_folder import read_migrations
from pytest_deploy.migrate.rollback import roll_back
from tests.unit.migrate.other_tools import dbmate, pgmigrate
from tests.unit.migrate.sample_migrations import ACTOR, FIVE, INDEX, exists, rows, versions, write

ALL = ("0001", "0002", "0003", "0004", "0005", "0006")
SIX = (*FIVE, ("create table last (x int);\n", "drop table last;\n"))


def only(folder: Path, into: Path, count: int) -> Path:
    """A folder with the first `count` files."""
    into.mkdir()
    for path in sorted(folder.iterdir())[:count]:
        shutil.copy(path, into)
    return into


def rendered(folder: Path, into: Path) -> Path:
    """The folder as pgmigrate wants it."""
    (into / "migrations").mkdir(parents=True)
    for name, text in map(pgmigrate_file, read_migrations(folder)):
        (into / "migrations" / name).write_text(text, encoding="utf-8")
    return into


def ours(conninfo: str) -> tuple[str, ...]:
    with psycopg.connect(conninfo) as connection:
        return tuple(done.version for done in ledger.applied(connection))


def agree(conninfo: str, folder: Path, base: Path, expected: tuple[str, ...]) -> None:
    """All three say that exactly these are applied."""
    assert ours(conninfo) == expected
    status = dbmate(conninfo, folder, "status")
    assert tuple(line[4:8] for line in status.splitlines() if line.startswith("[X]")) == expected
    info = json.loads(pgmigrate(conninfo, base, "info"))
    assert tuple(sorted(f"{int(key):04d}" for key, one in info.items() if one["installed_on"])) == expected


def adopt(conninfo: str, folder: Path) -> None:
    """What `migrate adopt` does where nobody is asked."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        found, files = adoption.examine(conninfo, folder, actor="ann")
        adoption.take_over(connection, found, read_migrations(folder, files))


def test_three_tools_take_turns_on_one_database(each_database: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "all", *SIX)
    base = rendered(folder, tmp_path / "base")
    dbmate(each_database, only(folder, tmp_path / "one", 1), "up")
    with pytest.raises(
        MigrationsRefused, match="it has dbmate's history of 1 migrations, up to 0001, and nobody adopted it"
    ):
        apply(each_database, read_migrations(folder), actor=ACTOR)
    adopt(each_database, folder)
    assert len(apply(each_database, read_migrations(only(folder, tmp_path / "three", 3)), actor=ACTOR)) == 2
    agree(each_database, folder, base, ALL[:3])
    dbmate(each_database, only(folder, tmp_path / "four", 4), "up", "--strict")
    agree(each_database, folder, base, ALL[:4])
    pgmigrate(each_database, base, "migrate", "-t", "5")
    agree(each_database, folder, base, ALL[:5])
    assert [done.version for done in apply(each_database, read_migrations(folder), actor=ACTOR)] == ["0006"]
    agree(each_database, folder, base, ALL)
    dbmate(each_database, folder, "rollback")
    assert not exists(each_database, "last")
    agree(each_database, folder, base, ALL[:5])
    roll_back(each_database, read_migrations(folder), to=ALL[:2], actor=ACTOR)
    agree(each_database, folder, base, ALL[:2])
    dbmate(each_database, folder, "up")
    agree(each_database, folder, base, ALL)
    assert rows(each_database, "select direction, count(*) from deploy.migration_event group by 1 order by 1") == [
        ("down", 4),
        ("noted", 2),
        ("up", 10),
    ]


def test_pgmigrate_first_then_we(each_database: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "all", *FIVE)
    base = rendered(folder, tmp_path / "base")
    pgmigrate(each_database, base, "migrate", "-t", "2", "-u", "ann")
    adopt(each_database, folder)
    assert len(apply(each_database, read_migrations(folder), actor=ACTOR)) == 3
    agree(each_database, folder, base, ALL[:5])
    assert rows(each_database, "select distinct actor from deploy.applied order by 1") == [("database:ann",), (ACTOR,)]


def test_what_dbmate_applies_late_is_refused_by_us(each_database: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "all", *FIVE[:1], INDEX)
    dbmate(each_database, only(folder, tmp_path / "one", 1), "up")
    adopt(each_database, folder)
    with psycopg.connect(each_database, autocommit=True) as connection:
        connection.execute("insert into schema_migrations values ('0003')")
    write(folder, ("select 1;\n", "select 1;\n"), first=3)
    with pytest.raises(MigrationsRefused, match="it comes late: version 3 is applied already"):
        apply(each_database, read_migrations(folder), actor=ACTOR)
    assert versions(each_database) == ["0001", "0003"]
