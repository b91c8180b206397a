"""What the schema was, and what it became."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from pytest_deploy.errors import PlatformUnavailable
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.snapshot import normalised, snapshot
from tests.postgres_server import PostgresServer
from tests.unit.migrate.sample_migrations import ACTOR, COLUMN, PROGRAMS, VISIT, do, sample


def test_the_same_schema_gives_the_same_bytes(each_database: str, tmp_path: Path) -> None:
    apply(each_database, sample(tmp_path, VISIT), actor=ACTOR)
    first = snapshot(each_database, PROGRAMS)
    assert first == snapshot(each_database, PROGRAMS)
    assert hashlib.sha256(first.text.encode()).hexdigest() == first.sha256
    assert "create table public.visit" in first.text.lower()


def test_another_schema_gives_other_bytes(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT, COLUMN)
    apply(each_database, migrations[:1], actor=ACTOR)
    before = snapshot(each_database, PROGRAMS)
    apply(each_database, migrations, actor=ACTOR)
    after = snapshot(each_database, PROGRAMS)
    assert (before.version, after.version) == ("0001", "0002")
    assert before.sha256 != after.sha256
    assert before.catalog != after.catalog
    assert "    day date" in {*after.text.splitlines()} - {*before.text.splitlines()}


def test_rows_and_the_ledger_are_no_part_of_it(each_database: str, tmp_path: Path) -> None:
    before = snapshot(each_database, PROGRAMS)
    apply(each_database, sample(tmp_path, ("do $$ begin end $$;\n", "select 1;\n")), actor=ACTOR)
    after = snapshot(each_database, PROGRAMS)
    assert (before.version, after.version) == ("0", "0001")
    assert (before.text, before.catalog) == (after.text, after.catalog)
    do(each_database, "create table a (x int)")
    empty = snapshot(each_database, PROGRAMS)
    do(each_database, "insert into a values (1)")
    assert empty == snapshot(each_database, PROGRAMS)


def test_only_head_and_foot_are_taken_off() -> None:
    head = "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n-- Dumped from database version 18.6\n\n"
    body = "SELECT 1;\n\\restrict inside\n-- Dumped by pg_dump version inside\nSELECT 2;\n"
    foot = "\n--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n\n"
    assert body == normalised(head + body + foot)


def test_a_table_that_is_made_again_gives_the_same_bytes(each_database: str) -> None:
    """Also where the server numbers the columns of each table that is made, as PostgreSQL 15.20 of one distribution does."""
    made = ("create table a (x int, y text)", "alter table a alter x set (n_distinct = 5)")
    do(each_database, *made)
    before = snapshot(each_database, PROGRAMS)
    do(each_database, "drop table a", *made)
    assert snapshot(each_database, PROGRAMS) == before
    assert "SET (n_distinct=5)" in before.text


@pytest.mark.parametrize(
    "options, left",
    [
        ("pg_attver=1", ""),
        ("n_distinct=5, pg_attver=1", "n_distinct=5"),
        ("pg_attver=1, n_distinct=5", "n_distinct=5"),
        ("n_distinct=5, pg_attver=1, n_distinct_inherited=7", "n_distinct=5, n_distinct_inherited=7"),
    ],
)
def test_the_servers_own_mark_is_taken_off(options: str, left: str) -> None:
    line = "ALTER TABLE ONLY public.a ALTER COLUMN x SET ({});\n"
    dump = f"SELECT 1;\n{line.format(options)}SELECT 2;\n"
    assert normalised(dump) == f"SELECT 1;\n{line.format(left) if left else ''}SELECT 2;\n"


def test_a_program_that_is_missing_or_fails_is_told(database: str, tmp_path: Path) -> None:
    with pytest.raises(PlatformUnavailable, match="pg_dump is not there; install"):
        snapshot(database, tmp_path)
    with pytest.raises(PlatformUnavailable, match=r"pg_dump ended with 1: .*does not exist"):
        snapshot(make_conninfo(database, dbname="gone"), PROGRAMS)


def test_an_older_pg_dump_than_the_server_is_refused(database: str, postgres15: PostgresServer) -> None:
    with pytest.raises(PlatformUnavailable, match="server version mismatch"):
        snapshot(database, postgres15.programs)
