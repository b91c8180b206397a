"""Where a database stands against a folder of migrations."""

from __future__ import annotations

from pathlib import Path

import psycopg

from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.status import status
from tests.unit.migrate.samples import ACTOR, COLUMN, INDEX, VISIT, sample


def test_each_migration_is_told_as_it_stands(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path / "a", VISIT, INDEX, COLUMN)
    with psycopg.connect(each_database, autocommit=True) as connection:
        assert [one.state for one in status(connection, migrations)] == ["pending"] * 3
        apply(each_database, migrations[:2], actor=ACTOR)
        edited = sample(tmp_path / "b", VISIT, (INDEX[0] + "\n", INDEX[1]), COLUMN)
        assert [one.state for one in status(connection, migrations)] == ["applied", "applied", "pending"]
        assert [one.state for one in status(connection, edited)] == ["applied", "edited", "pending"]
        (first, gone) = status(connection, migrations[:1])
    assert (gone.version, gone.state, gone.actor) == ("0002", "file gone", ACTOR)
    assert first.at is not None
    assert first.duration_s is not None
