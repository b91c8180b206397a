"""Where statements begin, and what kind they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.migrate.statements import statements

PIECES = [
    "select 1",
    "select 'a;b''c'",
    "select E'it\\'s; so'",
    'select ";" from "a;b"',
    "select $$ ; commit; $$",
    "select $body$ ; $$ ; $body$",
    "select 1 /* ; /* nested; */ ; */ + 1",
    "select 1 -- ; commit\n + 1",
    "create function f() returns int begin atomic select 1; select case when true then 2 end; end",
    "do $$ begin perform 1; end $$",
    "select a$1 from t",
]


@given(st.lists(st.sampled_from(PIECES), max_size=8))
def test_as_many_statements_are_found_as_were_written(pieces: list[str]) -> None:
    assert len(pieces) == len(statements(";\n".join(pieces)))


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=5), st.integers(0, 4))
def test_each_statement_stands_on_its_own_line(pieces: list[str], blanks: int) -> None:
    lines, at = [], 1 + blanks
    for piece in pieces:
        lines.append(at)
        at += piece.count("\n") + 1
    assert lines == [statement.line for statement in statements("\n" * blanks + ";\n".join(pieces))]


@given(st.text())
def test_any_text_is_read_to_its_end(sql: str) -> None:
    assert all(1 <= statement.line <= sql.count("\n") + 1 for statement in statements(sql))


@pytest.mark.parametrize("sql", ["", " \n", "-- nothing", "/* not /* at */ all */", ";;\n;"])
def test_comments_and_semicolons_are_no_statements(sql: str) -> None:
    assert statements(sql) == ()


@pytest.mark.parametrize(
    "sql",
    [
        "begin",
        "COMMIT",
        "rollback",
        "savepoint a",
        "release a",
        "abort",
        "end",
        "start transaction",
        "prepare transaction 'x'",
    ],
)
def test_what_controls_the_transaction_is_told(sql: str) -> None:
    assert statements(sql)[0].controls_transaction()


@pytest.mark.parametrize(
    "sql", ["select 'commit'", "prepare plan as select 1", "create table rollback_log ()", "do $$begin end$$"]
)
def test_what_only_looks_like_it_is_not(sql: str) -> None:
    assert not statements(sql)[0].controls_transaction()


@pytest.mark.parametrize(
    "sql",
    [
        "create index concurrently a on b (c)",
        "create unique index concurrently a on b (c)",
        "drop index concurrently a",
        "reindex table concurrently a",
        "vacuum",
        "alter system set x = 1",
        "create database a",
    ],
)
def test_what_cannot_run_in_a_transaction_is_told(sql: str) -> None:
    assert statements(sql)[0].needs_no_transaction()


@pytest.mark.parametrize(
    "sql", ["create index a on b (c)", "refresh materialized view concurrently a", "create table vacuum ()", "'x'"]
)
def test_what_can_run_in_a_transaction_is_not(sql: str) -> None:
    assert not statements(sql)[0].needs_no_transaction()


def test_rows_from_the_client_are_told_and_rows_from_a_file_are_not() -> None:
    assert statements("copy a (b) from stdin")[0].reads_client_input()
    assert not statements("copy a from program 'x'")[0].reads_client_input()


@pytest.mark.parametrize(
    "sql, setting",
    [
        ("set lock_timeout = 0", "lock_timeout"),
        ("set local lock_timeout to 0", "lock_timeout"),
        ("set deploy.actor = 'x'", "deploy.actor"),
        ("reset all", "all"),
        ("set search_path = a", ""),
        ("select 1", ""),
    ],
)
def test_settings_of_the_runner_are_told(sql: str, setting: str) -> None:
    assert setting == statements(sql)[0].disarms()


@pytest.mark.parametrize(
    "sql",
    [
        "create role reader",
        "ALTER USER reader nologin",
        "drop group readers",
        "create database other",
        "alter database here set work_mem = '1MB'",
        "alter system set work_mem = '1MB'",
        "create tablespace fast location '/x'",
        "drop subscription s",
        "grant readers to writer with admin option",
        "revoke readers from writer",
        "grant connect on database here to reader",
        "revoke all on tablespace fast from reader",
        "grant set on parameter work_mem to reader",
        "comment on role reader is 'x'",
        "comment on database here is 'x'",
        "security label on role reader is 'x'",
    ],
)
def test_what_changes_the_server_says_so(sql: str) -> None:
    (statement,) = statements(sql)
    assert statement.changes_server()


@pytest.mark.parametrize(
    "sql",
    [
        "create user mapping for reader server s",
        "create table role (id int)",
        "alter table t rename to database",
        "grant select on t to reader",
        "grant select (a, b, c, d, e, f, g, h, i, j, k, l, m) on t to reader",
        "revoke all on schema s from reader",
        "comment on table t is 'role'",
        "alter default privileges grant select on tables to reader",
        "create",
    ],
)
def test_what_changes_the_database_alone_does_not(sql: str) -> None:
    (statement,) = statements(sql)
    assert not statement.changes_server()
