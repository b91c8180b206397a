"""A database that was there before becomes ours: by whom, from whom, and only where its schema is what the files make."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from pytest_deploy.errors import MigrationFailed, MigrationsRefused
from pytest_deploy.migrate import adoption, ledger
from pytest_deploy.migrate.adopted import FILE, read_adopted
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.migration import Migration
from pytest_deploy.migrate.migration_folder import read_migrations
from pytest_deploy.migrate.rollback import roll_back
from pytest_deploy.migrate.trial import run_trial
from tests.unit.migrate.sample_migrations import ACTOR, COLUMN, INDEX, VISIT, do, rows, versions, write

PLAIN = ("20240102030405_visit.sql", "20240203040506_note.sql")


def old_folder(folder: Path) -> Path:
    """As dbmate writes and takes them: no declaration, and of the second no way back."""
    folder.mkdir(exist_ok=True)
    (folder / PLAIN[0]).write_text(f"-- migrate:up\n{VISIT[0]}\n-- migrate:down\n{VISIT[1]}", encoding="utf-8")
    (folder / PLAIN[1]).write_text(f"-- migrate:up\n{INDEX[0]}\n-- migrate:down\n", encoding="utf-8")
    return folder


def as_dbmate_left_it(conninfo: str, *, also: str = "select 1") -> None:
    do(
        conninfo,
        VISIT[0],
        INDEX[0],
        also,
        "create table schema_migrations (version varchar(128) primary key)",
        "insert into schema_migrations values ('20240102030405'), ('20240203040506')",
    )


def adopted(conninfo: str, folder: Path, baseline: str | None = None) -> tuple[Migration, ...]:
    """The folder once the database was adopted."""
    found, files = adoption.examine(conninfo, folder, actor="ann", baseline=baseline)
    adoption.write_down(folder, "production", found, files)
    migrations = read_migrations(folder)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        adoption.take_over(connection, found, migrations)
    return migrations


def refused(conninfo: str, folder: Path, baseline: str | None = None) -> str:
    with pytest.raises(MigrationsRefused) as caught:
        adoption.examine(conninfo, folder, actor="ann", baseline=baseline)
    assert rows(conninfo, "select to_regnamespace('deploy') is null") == [(True,)]
    return str(caught.value)


def test_dbmates_history_becomes_ours_and_the_next_release_follows(each_database: str, tmp_path: Path) -> None:
    folder = old_folder(tmp_path)
    as_dbmate_left_it(each_database)
    with pytest.raises(MigrationsRefused, match="does not say whether the running revision survives"):
        read_migrations(folder)
    migrations = adopted(each_database, folder)
    assert [(one.adopted, one.reversible) for one in migrations] == [(True, True), (True, False)]
    assert rows(each_database, "select actor, tool, last from deploy.adoption") == [("ann", "dbmate", PLAIN[1][:14])]
    (schema,) = rows(each_database, "select schema_sha256 from deploy.adoption")[0]
    told = read_adopted(folder).databases["production"]
    assert (told.tool, told.by, told.schema_sha256) == ("dbmate", "ann", schema)
    assert rows(
        each_database, "select actor, count(*) from deploy.migration_event where direction = 'noted' group by 1"
    ) == [("ann", 2)]

    (folder / "20250101000000_day.sql").write_text(
        f"-- deploy:compatible expand\n-- deploy:lossy new\n-- migrate:up\n{COLUMN[0]}-- migrate:down\n{COLUMN[1]}",
        encoding="utf-8",
    )
    migrations = read_migrations(folder)
    trial = run_trial(each_database, migrations, actor=ACTOR)
    apply(each_database, migrations, actor=ACTOR, expected=trial.schemas())
    assert len(versions(each_database)) == 3
    roll_back(each_database, migrations, to=[name[:14] for name in PLAIN], actor=ACTOR)
    assert len(versions(each_database)) == 2
    with pytest.raises(MigrationsRefused, match="no way down is known"):
        roll_back(each_database, migrations, to=[], actor=ACTOR)


def test_an_adopted_file_stays_as_it_is(each_database: str, tmp_path: Path) -> None:
    folder = old_folder(tmp_path)
    as_dbmate_left_it(each_database)
    adopted(each_database, folder)
    (folder / PLAIN[0]).write_text("-- migrate:up\nselect 1;\n", encoding="utf-8")
    (folder / PLAIN[1]).unlink()
    with pytest.raises(MigrationsRefused) as caught:
        read_migrations(folder)
    assert [fault.problem.split(" (")[0] for fault in caught.value.faults] == [
        "it was adopted, and edited since",
        "it was adopted, and is gone",
    ]


def test_another_schema_is_refused_with_the_difference(each_database: str, tmp_path: Path) -> None:
    as_dbmate_left_it(each_database, also="alter table visit add by_hand text")
    said = refused(each_database, old_folder(tmp_path))
    assert "the database's schema is not what 2 migrations make" in said
    assert "+ column public.visit.by_hand text" in said
    assert not (tmp_path / FILE).exists()


def test_files_and_history_must_be_the_same(each_database: str, tmp_path: Path) -> None:
    folder = old_folder(tmp_path)
    as_dbmate_left_it(each_database)
    (folder / "20240103000000_late.sql").write_text((folder / PLAIN[0]).read_text(encoding="utf-8"), encoding="utf-8")
    assert "20240103000000_late.sql: the history holds later versions" in refused(each_database, folder)
    (folder / "20240103000000_late.sql").unlink()
    (folder / PLAIN[0]).unlink()
    assert f"version {PLAIN[0][:14]} is applied, and its file is gone" in refused(each_database, folder)


def test_a_baseline_is_declared_where_no_tool_kept_a_history(each_database: str, tmp_path: Path) -> None:
    folder = write(tmp_path, VISIT, INDEX, COLUMN)
    do(each_database, VISIT[0], INDEX[0])
    assert "say what it holds: `pytest-deploy migrate adopt ENV --baseline VERSION`" in refused(each_database, folder)
    assert "is not what 1 migrations make" in refused(each_database, folder, "1")
    assert "there is no such migration; known: 0001, 0002, 0003" in refused(each_database, folder, "7")
    migrations = adopted(each_database, folder, "2")
    assert rows(each_database, "select version, engine, actor, sha256 is not null from deploy.applied order by 1") == [
        ("0001", "baseline", "ann", True),
        ("0002", "baseline", "ann", True),
    ]
    run_trial(each_database, migrations, actor=ACTOR)
    apply(each_database, migrations, actor=ACTOR)
    assert versions(each_database) == ["0001", "0002", "0003"]
    with pytest.raises(MigrationsRefused, match="its history is kept here already"):
        adoption.examine(each_database, folder, actor="ann")


def test_a_hole_in_the_history_is_named_with_what_fills_it(database: str, tmp_path: Path) -> None:
    as_dbmate_left_it(database)
    folder = old_folder(tmp_path)
    late = folder / "20240115000000_late.sql"
    late.write_text("-- migrate:up\nselect 1;\n-- migrate:down\nselect 1;\n", encoding="utf-8")
    said = refused(database, folder)
    assert "20240115000000_late.sql: the history holds later versions, up to 20240203040506, and not this one" in said
    assert "apply it by the tool that kept the history" in said
    assert "renumber" not in said, "a file that another tool may have applied keeps its name"
    do(database, "insert into schema_migrations values ('20240115000000')")
    assert len(adopted(database, folder)) == 3


def test_a_history_in_another_schema_is_named(database: str, tmp_path: Path) -> None:
    as_dbmate_left_it(database)
    do(database, "create schema app", "alter table schema_migrations set schema app")
    said = refused(database, old_folder(tmp_path))
    assert "in the schema public; app.schema_migrations looks like one" in said
    assert "`alter table app.schema_migrations set schema public`" in said
    do(database, "alter table app.schema_migrations set schema public", "drop schema app")
    assert len(adopted(database, tmp_path)) == 2


def test_a_baseline_beside_a_history_is_refused(each_database: str, tmp_path: Path) -> None:
    as_dbmate_left_it(each_database)
    assert "leave --baseline out" in refused(each_database, old_folder(tmp_path), PLAIN[0][:14])


def test_what_another_tool_calls_the_same_is_not_read_as_dbmates(each_database: str, tmp_path: Path) -> None:
    do(each_database, "create table schema_migrations (version bigint primary key, dirty boolean not null)")
    folder = write(tmp_path, VISIT)
    assert "has the columns version, dirty: it is not dbmate's" in refused(each_database, folder)
    for attempted in (apply, run_trial):
        with pytest.raises(MigrationsRefused, match="it is not dbmate's"):
            attempted(each_database, read_migrations(folder), actor=ACTOR)


@pytest.mark.parametrize(
    "versions, said",
    [("('abc')", "abc: this is no version"), ("('0001'), ('1')", "its number is there twice; delete one of the rows")],
)
def test_rows_that_are_no_versions_are_named(database: str, tmp_path: Path, versions: str, said: str) -> None:
    do(database, VISIT[0], "create table schema_migrations (version varchar primary key)")
    do(database, f"insert into schema_migrations values {versions}")  # noqa: S608 - of this test
    assert said in refused(database, write(tmp_path, VISIT))


def test_a_database_that_moved_on_since_it_was_looked_at_is_not_taken_over(each_database: str, tmp_path: Path) -> None:
    folder = write(tmp_path, VISIT, INDEX)
    do(each_database, VISIT[0], "create table schema_migrations (version varchar primary key)")
    do(each_database, "insert into schema_migrations values ('0001')")
    found, files = adoption.examine(each_database, folder, actor="ann")
    do(each_database, INDEX[0], "insert into schema_migrations values ('0002')")
    with (
        psycopg.connect(each_database, autocommit=True) as connection,
        pytest.raises(MigrationsRefused, match="history ends with 0002; what was adopted ended with 0001"),
    ):
        adoption.take_over(connection, found, read_migrations(folder, files))
    assert rows(each_database, "select to_regnamespace('deploy') is null") == [(True,)]


def test_a_new_database_takes_adopted_files_that_have_a_way_down_and_no_others(
    each_database: str, tmp_path: Path
) -> None:
    folder = old_folder(tmp_path)
    as_dbmate_left_it(each_database)
    _, files = adoption.examine(each_database, folder, actor="ann")
    do(each_database, "drop table visit", "drop table schema_migrations")
    migrations = read_migrations(folder, files)
    with pytest.raises(MigrationsRefused, match="adopted without a way down, and this database does not have it"):
        run_trial(each_database, migrations, actor=ACTOR)
    trial = run_trial(each_database, migrations[:1], actor=ACTOR)
    apply(each_database, migrations[:1], actor=ACTOR, expected=trial.schemas())


def test_before_it_is_adopted_the_history_is_read_and_nothing_is_written(each_database: str, tmp_path: Path) -> None:
    folder = old_folder(tmp_path)
    as_dbmate_left_it(each_database)
    with psycopg.connect(each_database) as connection:
        assert [(one.version, one.engine) for one in ledger.applied(connection)] == [
            (name[:14], "dbmate") for name in PLAIN
        ]
    _, files = adoption.examine(each_database, folder, actor="ann")
    assert rows(each_database, "select to_regnamespace('deploy') is null") == [(True,)]
    with pytest.raises((MigrationsRefused, MigrationFailed), match="nobody adopted it"):
        apply(each_database, read_migrations(folder, files), actor=ACTOR)


@pytest.mark.parametrize("text", ["{", '{"files": []}', json.dumps({"databases": {}, "files": {}, "more": 1})])
def test_what_is_no_such_file_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    (write(tmp_path, VISIT) / FILE).write_text(text, encoding="utf-8")
    with pytest.raises(MigrationsRefused, match=r"adopted\.json: this is not what `migrate adopt` writes"):
        read_migrations(tmp_path)


def test_in_pairs_both_files_are_held_and_a_gap_among_old_ones_is_none(each_database: str, tmp_path: Path) -> None:
    (tmp_path / "rollback").mkdir()
    for number, way in ((1, VISIT), (3, INDEX)):
        (tmp_path / f"00{number}_step.sql").write_text(way[0], encoding="utf-8")
    (tmp_path / "rollback" / "001_rollback.sql").write_text(VISIT[1], encoding="utf-8")
    do(each_database, VISIT[0], INDEX[0])
    migrations = adopted(each_database, tmp_path, "003")
    assert [(one.version, one.reversible) for one in migrations] == [("001", True), ("003", False)]
    (tmp_path / "rollback" / "001_rollback.sql").write_text("select 1;", encoding="utf-8")
    with pytest.raises(MigrationsRefused, match=r"001_rollback\.sql: it was adopted, and edited since"):
        read_migrations(tmp_path)
