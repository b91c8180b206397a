"""Rows that a way down took and saved go back whole, or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.errors import DeployError, Refused, UsageError
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.restore import restore_saved
from pytest_deploy.migrate.rollback import roll_back
from pytest_deploy.migrate.saved_rows import Saved
from tests.unit.migrate.sample_migrations import ACTOR, M_2027, PARTITIONED, do, rows, sample

EMPTY = ("create table other ();\n", "drop table other;\n")
TABLE = (
    """create table "Odd ""one"" table" (
        id bigint generated always as identity primary key, note text unique, twice text generated always as (note || note) stored,
        number serial, at timestamptz, data jsonb, raw bytea, list text[], amount numeric(12, 3), flag boolean
    );
    """,
    'drop table "Odd ""one"" table";\n',
)
FILLED = r"""insert into "Odd ""one"" table" (note, at, data, raw, list, amount, flag) values
    (null, now(), '{"a": null}', '\x00ff', '{a,NULL,"b c"}', 1.250, true), ('', null, null, '', '{}', null, null),
    (E'a "quoted",\n\\N line', '-infinity', '[1]', null, null, 'NaN', false), ('\N', null, 'null', null, null, -1, null)
"""


def lose(
    conninfo: str, folder: Path, *ways: tuple[str, str], wrote: str, query: str
) -> tuple[Saved, list[tuple[Any, ...]]]:
    """What a down of the last of `ways` took, which is applied again; and what `query` told before."""
    migrations = sample(folder / "m", *ways)
    apply(conninfo, migrations, actor=ACTOR)
    do(conninfo, wrote)
    before = rows(conninfo, query)
    remain = [migration.version for migration in migrations[:-1]]
    (undone,) = roll_back(conninfo, migrations, to=remain, actor=ACTOR, save_into=folder / "saved")
    apply(conninfo, migrations, actor=ACTOR)
    (saved,) = undone.lost
    return saved, before


def test_a_table_that_a_down_dropped_is_as_it_was(each_database: str, tmp_path: Path) -> None:
    query = 'select whole::text from "Odd ""one"" table" whole order by id'
    saved, before = lose(each_database, tmp_path, EMPTY, TABLE, wrote=FILLED, query=query)
    assert rows(each_database, query) == []
    restored = restore_saved(each_database, Path(saved.place), table=saved.table, sha256=saved.sha256)
    assert (restored.count, restored.generated, restored.sha256) == (4, ("twice",), saved.sha256)
    assert rows(each_database, query) == before
    do(each_database, """insert into "Odd ""one"" table" (note) values ('next')""")
    assert rows(each_database, 'select max(id), max(number) from "Odd ""one"" table"') == [(5, 5)]


def test_a_partition_that_a_down_dropped_is_as_it_was(database: str, tmp_path: Path) -> None:
    wrote = "insert into m values (1, '2026-05-01', 'old'), (2, '2027-05-01', 'precious')"
    query = "select *, tableoid::regclass::text from m order by id"
    saved, before = lose(database, tmp_path, PARTITIONED, (M_2027, "drop table m_2027;\n"), wrote=wrote, query=query)
    restore_saved(database, Path(saved.place), table=saved.table)
    assert rows(database, query) == before


@pytest.mark.parametrize(
    "identity,wrote,following",
    [
        ("", 1, 2),
        ("", 3, 4),
        ("(increment -1)", 1, -2),
        ("(increment -1)", 3, -4),
        ("(start 7 increment 2)", 2, 11),
    ],
)
def test_a_sequence_goes_on_after_what_came_back(
    database: str, tmp_path: Path, identity: str, wrote: int, following: int
) -> None:
    up = f"create table t (id int generated always as identity {identity} primary key, note text);\n"
    write = f"insert into t (note) select 'x' from generate_series(1, {wrote})"  # noqa: S608 - numbers above
    saved, _ = lose(database, tmp_path, EMPTY, (up, "drop table t;\n"), wrote=write, query="select 1")
    restore_saved(database, Path(saved.place), table="t")
    assert rows(database, "insert into t (note) values ('next') returning id") == [(following,)]


@pytest.fixture
def saved(database: str, tmp_path: Path) -> Saved:
    """Three rows of `t` that were lost, and whose table is there again."""
    table = ("create table t (id bigint primary key, note text, day date);\n", "drop table t;\n")
    wrote = "insert into t values (1, 'one'), (2, 'two'), (3, 'three')"
    return lose(database, tmp_path, EMPTY, table, wrote=wrote, query="select 1")[0]


def test_a_row_that_is_there_already_is_never_overwritten(database: str, saved: Saved) -> None:
    do(database, "insert into t values (2, 'newer'), (9, 'other')")
    with pytest.raises(
        Refused, match=r"1 of 3 rows are in public\.t already, by its key \(id\); nothing is overwritten"
    ):
        restore_saved(database, Path(saved.place), table="t")
    assert rows(database, "select id, note from t order by id") == [(2, "newer"), (9, "other")]
    do(database, "delete from t where id = 2")
    assert restore_saved(database, Path(saved.place), table="t").count == 3
    with pytest.raises(Refused, match="3 of 3 rows are in"):
        restore_saved(database, Path(saved.place), table="t")


def test_a_table_without_a_key_does_not_get_the_same_rows_twice_unasked(database: str, tmp_path: Path) -> None:
    table = ("create table t (note text, data json);\n", "drop table t;\n")
    wrote = """insert into t values ('one', '{"a": 1}'), ('one', '{"a": 1}'), (null, null)"""
    saved, before = lose(database, tmp_path, EMPTY, table, wrote=wrote, query="select note from t order by 1")
    file = Path(saved.place)
    assert restore_saved(database, file, table="t").count == 3
    assert rows(database, "select note from t order by 1") == before
    with pytest.raises(Refused, match=r"public\.t has no key, and rows like all 3 are in it already.*add --equal-rows"):
        restore_saved(database, file, table="t")
    do(database, "delete from t where ctid = (select min(ctid) from t where note = 'one')")
    assert restore_saved(database, file, table="t").count == 3  # one of the two equal rows is missing
    assert restore_saved(database, file, table="t", equal_rows=True).count == 3


def test_another_file_than_the_one_saved_is_refused(database: str, saved: Saved) -> None:
    file = Path(saved.place)
    file.write_text(file.read_text(encoding="utf-8").replace("two", "2nd"), encoding="utf-8")
    with pytest.raises(Refused, match="is not what was saved: its SHA-256 is"):
        restore_saved(database, file, table="t", sha256=saved.sha256)
    assert rows(database, "select * from t") == []
    restore_saved(database, file, table="t", sha256=hashlib.sha256(file.read_bytes()).hexdigest().upper())


@pytest.mark.parametrize(
    "change,table,said",
    [
        ("drop table t", "t", "there is no table t to restore"),
        ("create view v as select 1", "v", "there is no table v to restore"),
        ("select 1", "no such; table", "there is no table no such; table to restore"),
        ("alter table t drop note", "t", "public.t has no column note; apply the migration that adds it"),
        ("alter table t add check (id < 3)", "t", "violates check constraint"),
        ("alter table t alter note type int using null", "t", "invalid input syntax for type integer"),
        ("alter table t add other int not null", "t", "violates not-null constraint"),
        ("create rule r as on insert to t where new.id = 3 do instead nothing", "t", "took 2 of 3 rows"),
    ],
)
def test_what_does_not_fit_restores_nothing(database: str, saved: Saved, change: str, table: str, said: str) -> None:
    do(database, change)
    with pytest.raises(Refused) as caught:
        restore_saved(database, Path(saved.place), table=table)
    assert said in str(caught.value)
    assert "three" not in str(caught.value), "no row in a message"
    if "drop table" not in change:
        assert rows(database, "select * from t") == []


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\n"])
def test_what_is_no_saved_file_is_a_mistake_of_who_types(database: str, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "typed.csv"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=r"right is a file that a rollback saved"):
        restore_saved(database, file, table="t")


def test_it_is_an_error_of_ours_in_any_case(database: str, tmp_path: Path) -> None:
    file = tmp_path / "cut.csv"
    file.write_text('id,note\n1,"open', encoding="utf-8")
    do(database, "create table t (id bigint, note text)")
    with pytest.raises(DeployError, match="unterminated CSV quoted field"):
        restore_saved(database, file, table="t")
