"""The way back: all downs of a release in one transaction, latest first."""

from __future__ import annotations

import hashlib
import resource
import stat
from pathlib import Path

import psycopg
import pytest

from pytest_deploy.errors import MigrationFailed, MigrationsRefused
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.rollback import roll_back
from pytest_deploy.migrate.session import with_lock_timeout
from pytest_deploy.migrate.snapshot import snapshot
from tests.unit.migrate.sample_migrations import (
    ACTOR,
    COLUMN,
    FIVE,
    INDEX,
    PROGRAMS,
    VISIT,
    do,
    exists,
    rows,
    sample,
    text,
    versions,
)


def test_everything_after_what_shall_remain_is_undone_latest_first(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, *FIVE)
    apply(each_database, migrations[:2], actor=ACTOR)
    before = snapshot(each_database, PROGRAMS)
    apply(each_database, migrations, actor=ACTOR)
    undone = roll_back(each_database, migrations, to=["0001", "0002"], actor="bob", expected_schema=before.catalog)
    assert [(back.version, back.actor) for back in undone] == [("0005", "bob"), ("0004", "bob"), ("0003", "bob")]
    assert before.text == snapshot(each_database, PROGRAMS).text
    assert versions(each_database) == ["0001", "0002"]
    assert [
        number
        for (number,) in rows(
            each_database, "select number from deploy.migration_event where direction = 'down' order by seq"
        )
    ] == [5, 4, 3]


def test_nothing_to_undo_is_no_change(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT)
    assert roll_back(each_database, migrations, to=[], actor=ACTOR) == ()
    apply(each_database, migrations, actor=ACTOR)
    now = snapshot(each_database, PROGRAMS).catalog
    assert roll_back(each_database, migrations, to=["0001"], actor=ACTOR, expected_schema=now) == ()
    with pytest.raises(MigrationFailed, match="not the one before the release"):
        roll_back(each_database, migrations, to=["0001"], actor=ACTOR, expected_schema="0" * 64)


def test_the_same_migrations_can_be_applied_again_afterwards(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, *FIVE)
    for _ in range(2):
        assert len(apply(each_database, migrations, actor=ACTOR)) == 5
        assert len(roll_back(each_database, migrations, to=[], actor=ACTOR)) == 5
    assert rows(each_database, "select count(*) from deploy.migration_event") == [(20,)]


def test_a_down_that_fails_leaves_all_applied(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, (VISIT[0], "drop table vist;\n"), INDEX)
    apply(each_database, migrations, actor=ACTOR)
    with pytest.raises(MigrationFailed) as caught:
        roll_back(each_database, migrations, to=[], actor=ACTOR)
    assert (
        f'{migrations[0].down.place()}: the way down of 0001 failed: table "vist" does not exist; nothing was undone'
        == str(caught.value)
    )
    assert caught.value.failed == "0001"
    assert exists(each_database, "visit_note")
    assert versions(each_database) == ["0001", "0002"]


def test_a_down_that_fails_names_the_line_of_its_own_statement(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, (VISIT[0], "drop table visit;\n\ndrop table vist;\n"))
    apply(each_database, migrations, actor=ACTOR)
    line = migrations[0].down.line + 2
    with pytest.raises(MigrationFailed, match=f"0001_step_1.sql:{line}: the way down of 0001 failed"):
        roll_back(each_database, migrations, to=[], actor=ACTOR)
    with pytest.raises(MigrationFailed, match="ledger, version 0001, line 3: "):
        roll_back(each_database, (), to=[], actor=ACTOR)


def test_another_schema_than_before_is_not_committed(each_database: str, tmp_path: Path) -> None:
    before = snapshot(each_database, PROGRAMS)
    migrations = sample(tmp_path, VISIT, ("create table extra ();\n", "select 1;\n"))
    apply(each_database, migrations, actor=ACTOR)
    with pytest.raises(MigrationFailed, match="the schema after the way down is not the one before the release"):
        roll_back(each_database, migrations, to=[], actor=ACTOR, expected_schema=before.catalog)
    assert exists(each_database, "visit")


def test_a_checkout_without_the_files_still_undoes_them(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT, INDEX)
    apply(each_database, migrations, actor=ACTOR)
    assert [back.version for back in roll_back(each_database, migrations[:1], to=["0001"], actor=ACTOR)] == ["0002"]
    edited = sample(tmp_path, (VISIT[0], "drop table something_else;\n"))
    assert [back.version for back in roll_back(each_database, edited, to=[], actor=ACTOR)] == ["0001"]


def test_a_way_down_that_nobody_knows_is_refused(each_database: str, tmp_path: Path) -> None:
    apply(each_database, sample(tmp_path, VISIT), actor=ACTOR)
    do(each_database, "insert into schema_migrations values ('0002')")
    with pytest.raises(MigrationsRefused, match="0002: no way down is known"):
        roll_back(each_database, (), to=["0001"], actor=ACTOR)


def test_what_dbmate_applied_is_undone_from_its_file(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT, INDEX)
    apply(each_database, migrations[:1], actor=ACTOR)
    do(each_database, INDEX[0], "insert into schema_migrations values ('0002')")
    assert [back.version for back in roll_back(each_database, migrations, to=["0001"], actor=ACTOR)] == ["0002"]
    assert not exists(each_database, "visit_note")


def test_a_hole_and_a_wish_for_what_is_not_there_are_refused(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT, INDEX)
    apply(each_database, migrations, actor=ACTOR)
    with pytest.raises(MigrationsRefused) as caught:
        roll_back(each_database, migrations, to=["0002", "0009"], actor=ACTOR)
    assert [fault.key for fault in caught.value.faults] == ["0009", "0001"]
    assert versions(each_database) == ["0001", "0002"]


def test_rows_that_go_are_saved_first(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path / "m", VISIT, COLUMN, text("create table a (x int);\n", "drop table a;\n"))
    apply(each_database, migrations, actor=ACTOR)
    do(
        each_database,
        "insert into visit values (1, 'one', '2026-01-01'), (2, 'two', null)",
        "insert into a values (7), (8)",
    )
    undone = roll_back(each_database, migrations, to=["0001"], actor=ACTOR, save_into=tmp_path / "saved")
    by_table = {saved.table: saved for saved in undone[0].lost}
    assert {"public.visit", "public.a"} == set(by_table)
    visit, a = by_table["public.visit"], by_table["public.a"]
    assert (visit.columns, visit.count) == (("day",), 1)
    assert Path(visit.place).read_text(encoding="utf-8") == "id,note,day\n1,one,2026-01-01\n"
    assert (a.columns, a.count) == (("x",), 2)
    assert hashlib.sha256(b"x\n7\n8\n").hexdigest() == a.sha256
    assert stat.S_IMODE(Path(a.place).stat().st_mode) == 0o600
    assert rows(each_database, "select * from visit order by id") == [(1, "one"), (2, "two")]


def test_rows_are_not_lost_where_there_is_no_place_for_them(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT)
    apply(each_database, migrations, actor=ACTOR)
    do(each_database, "insert into visit values (1, 'one')")
    with pytest.raises(MigrationFailed, match=r"would lose the rows of public\.visit"):
        roll_back(each_database, migrations, to=[], actor=ACTOR)
    assert rows(each_database, "select * from visit") == [(1, "one")]


def test_a_rollback_that_is_not_committed_leaves_no_saved_rows(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path / "m", VISIT)
    apply(each_database, migrations, actor=ACTOR)
    do(each_database, "insert into visit values (1, 'one')")
    with pytest.raises(MigrationFailed):
        roll_back(each_database, migrations, to=[], actor=ACTOR, save_into=tmp_path / "s", expected_schema="0" * 64)
    assert list((tmp_path / "s").iterdir()) == []


def test_where_the_disk_is_full_no_row_that_is_still_in_the_database_stays_beside_it(
    each_database: str, tmp_path: Path
) -> None:
    """One table was saved, of another half: neither is left."""
    migrations = sample(tmp_path / "m", VISIT, text("create table a (x text);\n", "drop table a;\n"))
    apply(each_database, migrations, actor=ACTOR)
    do(
        each_database,
        "insert into visit values (1, 'one')",
        "insert into a select repeat('x', 1000) from generate_series(1, 100)",
    )
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    try:
        with pytest.raises(MigrationFailed, match=r"cannot be saved in .*: File too large; nothing was undone"):
            roll_back(each_database, migrations, to=[], actor=ACTOR, save_into=tmp_path / "s")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((tmp_path / "s").iterdir()) == []
    assert rows(each_database, "select count(*) from a") == [(100,)]
    assert versions(each_database) == ["0001", "0002"]


def test_a_table_that_is_only_renamed_is_no_loss(each_database: str, tmp_path: Path) -> None:
    renamed = ("alter table visit rename to appointment;\n", "alter table appointment rename to visit;\n")
    migrations = sample(tmp_path, VISIT, renamed)
    apply(each_database, migrations, actor=ACTOR)
    do(each_database, "insert into appointment values (1, 'one')")
    assert [back.lost for back in roll_back(each_database, migrations, to=["0001"], actor=ACTOR)] == [()]
    assert rows(each_database, "select * from visit") == [(1, "one")]


def test_a_lost_column_of_a_table_without_a_key_is_saved_with_its_whole_row(each_database: str, tmp_path: Path) -> None:
    migrations = sample(
        tmp_path / "m",
        ("create table a (x int);\n", "drop table a;\n"),
        ("alter table a add y int;\n", "alter table a drop y;\n"),
    )
    apply(each_database, migrations, actor=ACTOR)
    do(each_database, "insert into a values (1, 2)")
    (back,) = roll_back(each_database, migrations, to=["0001"], actor=ACTOR, save_into=tmp_path / "s")
    assert Path(back.lost[0].place).read_text(encoding="utf-8") == "x,y\n1,2\n"


def test_a_lock_that_is_held_is_given_up_on(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT)
    apply(each_database, migrations, actor=ACTOR)
    with psycopg.connect(each_database) as reader:
        reader.execute("select * from visit")
        with pytest.raises(MigrationFailed, match="lock timeout"):
            roll_back(with_lock_timeout(each_database, 0.2), migrations, to=[], actor=ACTOR)
    assert versions(each_database) == ["0001"]
