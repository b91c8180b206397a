"""What the server refuses in a session leaves it as one message: what, where, whom, what to do; no row, no driver's error."""

from __future__ import annotations

import re

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from pytest_deploy.errors import PlatformUnavailable
from pytest_deploy.migrate.ledger import install
from pytest_deploy.migrate.session import connect, rows_of
from pytest_deploy.migrate.snapshot import read_catalog
from tests.unit.migrate.sample_migrations import as_superuser


def test_every_catalog_that_is_read_is_open_to_an_ordinary_owner(each_database: str) -> None:
    foreign = """
        create foreign data wrapper wrapper; create server elsewhere foreign data wrapper wrapper;
        create user mapping for public server elsewhere options (password 'of-somebody');
        create publication all_of_it; create table numbers (a int, b int); create statistics pair on a, b from numbers
    """
    with psycopg.connect(as_superuser(each_database), autocommit=True) as connection:
        connection.execute(foreign.encode())
        seen_by_all = read_catalog(rows_of(connection))
    with connect(each_database) as session:
        seen_by_owner = read_catalog(rows_of(session))
    assert seen_by_owner == seen_by_all
    assert "of-somebody" not in seen_by_owner.text


def test_an_ordinary_owner_keeps_the_history(each_database: str) -> None:
    with connect(each_database) as session:
        install(session)
        assert session.execute("select count(*) from deploy.applied").fetchone() == (0,)


def test_what_belongs_to_somebody_else_is_named_with_who_needs_it(each_database: str) -> None:
    with psycopg.connect(as_superuser(each_database), autocommit=True) as connection:
        connection.execute("create table public.theirs (a int)")
    given = conninfo_to_dict(each_database)
    said = re.escape(f"database {given['dbname']} refused {given['user']}: permission denied for table theirs; ")
    with (
        pytest.raises(PlatformUnavailable, match=f"^{said}{given['user']} needs to own the database"),
        connect(each_database) as session,
    ):
        session.execute("select * from public.theirs")


def test_no_row_is_told_of_a_refused_statement(database: str) -> None:
    with (
        pytest.raises(PlatformUnavailable, match="duplicate key value violates unique constraint") as raised,
        connect(database) as session,
    ):
        session.execute(
            "create table secret (word text primary key); insert into secret values ('of-a-subject'), ('of-a-subject')"
        )
    assert "of-a-subject" not in str(raised.value)
    with connect(database) as session:
        assert session.execute("select to_regclass('secret')").fetchone() == (None,)


@pytest.mark.parametrize(
    "value,read",
    [
        ("of-a-subject", "word::int"),
        ('of-a-"subject"', "word::date"),
        ("99999999999", "word::int"),
        ("2026-99-99", "word::date"),
        ("of-a-subject", "now() at time zone word"),
    ],
)
def test_no_value_of_a_row_is_told_and_one_of_the_statement_is(database: str, value: str, read: str) -> None:
    with psycopg.connect(database, autocommit=True) as session:
        session.execute("create table secret (word text)")
        session.execute("insert into secret values (%s)", (value,))
    with pytest.raises(PlatformUnavailable, match=r'refused .*: .*"…"') as raised, connect(database) as session:
        session.execute(b"select " + read.encode() + b" from secret")
    assert value not in str(raised.value)
    with pytest.raises(PlatformUnavailable, match='type integer: "seven"'), connect(database) as session:
        session.execute("select 'seven'::int")


def test_a_server_that_goes_away_is_a_message(database: str) -> None:
    with pytest.raises(PlatformUnavailable, match="see that the server runs"), connect(database) as session:
        session.execute("select pg_terminate_backend(pg_backend_pid())")
