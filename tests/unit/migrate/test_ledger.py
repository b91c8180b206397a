"""One append-only history, which dbmate and pgmigrate see as their own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from pytest_deploy.errors import MigrationsRefused
from pytest_deploy.migrate import ledger
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.migration_folder import read_migrations
from tests.unit.migrate.sample_migrations import ACTOR, COLUMN, FIVE, INDEX, VISIT, do, rows, sample, versions


def install(conninfo: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        ledger.install(connection)


def applied(conninfo: str) -> tuple[ledger.Applied, ...]:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        return ledger.applied(connection)


def test_an_empty_database_has_no_history(each_database: str) -> None:
    assert applied(each_database) == ()


def test_installing_again_changes_nothing(each_database: str) -> None:
    install(each_database)
    do(each_database, "insert into schema_migrations values ('0001')")
    before = rows(each_database, "select xmin::text, * from deploy.migration_event")
    install(each_database)
    assert before == rows(each_database, "select xmin::text, * from deploy.migration_event")


@pytest.mark.parametrize(
    "change",
    [
        "update deploy.migration_event set actor = 'nobody'",
        "delete from deploy.migration_event",
        "truncate deploy.migration_event",
    ],
)
def test_what_is_written_is_never_changed(each_database: str, change: str) -> None:
    install(each_database)
    do(each_database, "insert into schema_migrations values ('0001')")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="append-only"):
        do(each_database, change)


def test_who_when_and_how_long_is_kept(each_database: str, tmp_path: Path) -> None:
    began = datetime.now(UTC)
    migrations = sample(tmp_path, VISIT, INDEX)
    apply(each_database, migrations, actor=ACTOR)
    first, second = applied(each_database)
    assert ("0001", "step_1", migrations[0].sha256, ACTOR, "pgmigrate") == (
        first.version,
        first.name,
        first.sha256,
        first.actor,
        first.engine,
    )
    assert VISIT[1] == first.way_down
    assert began - timedelta(seconds=1) <= first.at <= second.at <= datetime.now(UTC) + timedelta(seconds=1)
    assert first.duration_s is not None
    assert 0 < first.duration_s < 60


def test_both_tools_tables_say_the_same(each_database: str, tmp_path: Path) -> None:
    apply(each_database, sample(tmp_path, *FIVE), actor=ACTOR)
    assert versions(each_database) == ["0001", "0002", "0003", "0004", "0005"]
    assert rows(each_database, "select version from schema_version order by 1") == [(1,), (2,), (3,), (4,), (5,)]


def test_a_deletion_through_either_table_is_a_down_in_the_history(each_database: str) -> None:
    install(each_database)
    do(each_database, "insert into schema_migrations values ('0001'), ('0002')")
    do(each_database, "insert into schema_version (version, description, installed_by) values (3, 'third', 'ann')")
    do(
        each_database,
        "delete from schema_migrations where version = '0001'",
        "delete from schema_version where version = 3",
    )
    assert versions(each_database) == ["0002"]
    assert rows(each_database, "select version, direction, engine from deploy.migration_event order by seq") == [
        ("0001", "up", "dbmate"),
        ("0002", "up", "dbmate"),
        ("0003", "up", "pgmigrate"),
        ("0001", "down", "dbmate"),
        ("0003", "down", "pgmigrate"),
    ]


def test_applying_twice_is_refused_by_the_history_itself(each_database: str) -> None:
    install(each_database)
    do(each_database, "insert into schema_migrations values ('0001')")
    with pytest.raises(psycopg.errors.UniqueViolation, match="version 1 is already applied"):
        do(each_database, "insert into schema_version (version, description, installed_by) values (1, 'x', 'y')")


def test_plain_tables_of_both_tools_are_adopted_and_kept(each_database: str) -> None:
    do(
        each_database,
        "create table schema_migrations (version varchar primary key)",
        "insert into schema_migrations values ('0002'), ('0001'), ('0003')",
        "create type public.schema_version_type as enum ('auto', 'manual')",
        "create table schema_version (version bigint primary key, description text not null,"
        " type public.schema_version_type not null default 'auto', installed_by text not null,"
        " installed_on timestamp not null default now())",
        "insert into schema_version (version, description, installed_by) values (1, 'first', 'ann')",
    )
    install(each_database)
    assert [(done.version, done.actor) for done in applied(each_database)] == [
        ("0001", "database:ann"),
        ("0002", "database:unknown (adopted)"),
        ("0003", "database:unknown (adopted)"),
    ]
    assert rows(each_database, "select count(*) from deploy.adopted_schema_migrations") == [(3,)]
    assert rows(each_database, "select count(*) from deploy.adopted_schema_version") == [(1,)]
    assert versions(each_database) == ["0001", "0002", "0003"]


def test_what_is_pending_comes_in_order(tmp_path: Path) -> None:
    migrations = sample(tmp_path, *FIVE)
    history = [done(migrations[0].version, migrations[0].sha256), done("0002", None)]
    assert migrations[2:] == ledger.pending(migrations[::-1], history)


def done(version: str, sha256: str | None, name: str = "") -> ledger.Applied:
    return ledger.Applied(version, name, sha256, datetime.now(UTC), ACTOR, "pgmigrate", 0.1, None, int(version))


def test_history_and_files_must_agree(tmp_path: Path) -> None:
    """REQ-o00044-A: edited, deleted and late files are told at once."""
    migrations = sample(tmp_path, VISIT, INDEX, VISIT)
    history = [done("0001", "0" * 64), done("0003", migrations[2].sha256), done("0007", None, "step")]
    with pytest.raises(MigrationsRefused) as caught:
        ledger.pending(migrations, history)
    faults = [str(fault) for fault in caught.value.faults]
    assert len(faults) == 3
    assert "edited after it was applied" in faults[0]
    assert "version 0007 (step) is applied, and its file is gone" in faults[1]
    assert (
        "0002_step_2.sql: it comes late: version 7 is applied already; number it after the last: `pytest-deploy"
        in faults[2]
    )


def test_another_file_of_an_applied_version_is_called_that(tmp_path: Path) -> None:
    """After a merge 0002_b is gone and 0002_step_2 has its number: it was never applied."""
    migrations = sample(tmp_path, VISIT, INDEX)
    history = [done("0001", migrations[0].sha256), done("0002", "0" * 64, "b")]
    with pytest.raises(
        MigrationsRefused, match=r"version 0002 was applied as b, and this is another file; restore 0002_b.sql"
    ):
        ledger.pending(migrations, history)
    renamed = [done("0001", migrations[0].sha256), done("0002", migrations[1].sha256, "b")]
    assert ledger.pending(migrations, renamed) == ()


def test_a_file_applied_by_a_tool_without_digests_is_noted_and_then_guarded(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT)
    install(each_database)
    do(each_database, "create table visit ()", "insert into schema_migrations values ('0001')")
    assert apply(each_database, migrations, actor=ACTOR) == ()
    assert [migrations[0].sha256] == [done.sha256 for done in applied(each_database)]
    edited = sample(tmp_path, (VISIT[0] + "-- later\n", VISIT[1]))
    with pytest.raises(MigrationsRefused, match="edited after it was applied"):
        apply(each_database, edited, actor=ACTOR)


def test_the_width_of_versions_follows_the_first(each_database: str) -> None:
    install(each_database)
    do(each_database, "insert into schema_migrations values ('001')")
    do(each_database, "insert into schema_version (version, description, installed_by) values (2, 'x', 'y')")
    assert versions(each_database) == ["001", "002"]


def test_each_migration_is_told_as_it_stands(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path / "a", VISIT, INDEX, COLUMN)
    with psycopg.connect(each_database, autocommit=True) as connection:
        assert [one.state for one in ledger.status(connection, migrations)] == ["pending"] * 3
        apply(each_database, migrations[:2], actor=ACTOR)
        edited = sample(tmp_path / "b", VISIT, (INDEX[0] + "\n", INDEX[1]), COLUMN)
        assert [one.state for one in ledger.status(connection, migrations)] == ["applied", "applied", "pending"]
        assert [one.state for one in ledger.status(connection, edited)] == ["applied", "edited", "pending"]
        (first, gone) = ledger.status(connection, migrations[:1])
        (tmp_path / "b" / "0002_step_2.sql").rename(tmp_path / "b" / "0002_other.sql")
        (_, replaced, _) = ledger.status(connection, read_migrations(tmp_path / "b"))
    assert (replaced.name, replaced.state) == ("step_2", "another file")
    assert first.applied is not None
    assert first.applied.duration_s is not None
    assert gone.applied is not None
    assert (gone.version, gone.state, gone.applied.actor) == ("0002", "file gone", ACTOR)
