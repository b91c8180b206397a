"""The release's migrations on the real database, executed and taken back."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.errors import MigrationFailed, MigrationsRefused
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.dry_run import dry_run
from pytest_deploy.migrate.snapshot import snapshot
from tests.unit.migrate.sample_migrations import ACTOR, COLUMN, FIVE, PROGRAMS, VISIT, rows, sample, text, versions


def test_it_shows_what_would_change_and_changes_nothing(each_database: str, tmp_path: Path) -> None:
    """REQ-o00044-I."""
    migrations = sample(tmp_path, *FIVE)
    seen = dry_run(each_database, migrations, actor=ACTOR)
    assert seen.versions == ("0001", "0002", "0003", "0004", "0005")
    assert all(duration > 0 for duration in seen.durations_s)
    assert "+relation public.visit {" in seen.schema_diff
    assert rows(each_database, "select count(*) from pg_namespace where nspname = 'deploy'") == [(0,)]
    assert snapshot(each_database, PROGRAMS).version == "0"
    apply(each_database, migrations, actor=ACTOR, expected={one.version: seen.after for one in migrations})


def test_it_shows_the_locks_on_what_is_there(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT, COLUMN)
    assert dry_run(each_database, migrations, actor=ACTOR).locks == ()
    apply(each_database, migrations[:1], actor=ACTOR)
    assert dry_run(each_database, migrations, actor=ACTOR).locks == (("public.visit", "AccessExclusiveLock"),)
    assert versions(each_database) == ["0001"]


def test_with_nothing_pending_there_is_nothing_to_show(database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT)
    apply(database, migrations, actor=ACTOR)
    assert dry_run(database, migrations, actor=ACTOR).versions == ()


def test_it_fails_where_applying_would(each_database: str, tmp_path: Path) -> None:
    with pytest.raises(MigrationFailed, match=r"0002_step_2\.sql:4: "):
        dry_run(each_database, sample(tmp_path, VISIT, ("alter table vist add x int;\n", "select 1;\n")), actor=ACTOR)
    assert rows(each_database, "select to_regclass('visit')") == [(None,)]


def test_what_cannot_be_taken_back_is_refused(database: str, tmp_path: Path) -> None:
    outside = text("vacuum;\n", "vacuum;\n", "outside-transaction it is big", options=" transaction:false")
    with pytest.raises(MigrationsRefused, match="cannot be taken back"):
        dry_run(database, sample(tmp_path, outside), actor=ACTOR)
