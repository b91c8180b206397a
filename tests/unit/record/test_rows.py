"""What PostgreSQL says of rows gets into no report: the real server's own words, and texts that carry them on."""

from __future__ import annotations

import traceback
from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_deploy.record.rows import ROWS_CUT, cut_rows, cut_rows_in_error, cut_rows_in_file
from tests.postgres_server import PostgresServer

ROW = 'subject93e1 took 2\ntablets (and) = "slept"'


@pytest.fixture(scope="module")
def connection(postgres: PostgresServer) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres.conninfo(), autocommit=True) as connection:
        connection.execute("create temp table said (said text primary key, n int not null check (n > 0))")
        connection.execute("insert into said values (%s, 1)", (ROW,))
        connection.execute("create temp table link (said text references said)")
        yield connection


@pytest.mark.parametrize(
    "query",
    [
        "insert into said values (%s, 1)",
        "insert into said values ('x' || %s, 0)",
        "insert into said values ('x' || %s, null)",
        "insert into link values ('x' || %s)",
        "select %s::int",
        "select %s::uuid",
        "select %s::date",
        "select (%s || '{')::int[]",
        "select %s::json",
    ],
)
def test_no_error_of_the_server_keeps_a_row(connection: psycopg.Connection, query: str) -> None:
    with pytest.raises(psycopg.Error) as raised:
        connection.execute(query.encode(), (ROW,))
    error = raised.value
    told = f"{error} {traceback.format_exception(error)}"
    assert "subject93e1" in told, "the server does say it"
    assert "subject93e1" not in cut_rows(str(error))

    wrapped = RuntimeError("wrapped")
    wrapped.__cause__ = ExceptionGroup("both", [error])
    cut_rows_in_error(wrapped)

    assert "subject93e1" not in "".join(traceback.format_exception(wrapped))
    assert str(error)


@pytest.mark.parametrize(
    "content, clean",
    [
        (b'{"a":["x\\nDETAIL:  Key (a)=(b) exists"],"b":1}', b'{"a": ["x\\nDETAIL:  [cut: may hold rows]"], "b": 1}'),
        (b'{"a":1}', b'{"a":1}'),
        (b"said\nDETAIL:  row\nof two lines", b"said\nDETAIL:  [cut: may hold rows]"),
        (b"<html>DETAIL:  made of texts that were cut</html>", b"<html>DETAIL:  made of texts that were cut</html>"),
        (b"\xffDETAIL:  x", b"\xffDETAIL:  x"),
    ],
)
def test_a_file_is_cut_as_what_it_is_and_stays_that(content: bytes, clean: bytes) -> None:
    assert clean == cut_rows_in_file(content)
    assert clean == cut_rows_in_file(clean)


def test_what_is_no_row_stays() -> None:
    said = 'relation "x" does not exist\nLINE 1: select * from x\n                      ^'

    assert said == cut_rows(said)
    assert "duplicate key" in cut_rows('duplicate key value violates "k"\nDETAIL:  Key (a)=(b) already exists.')


def test_a_traceback_goes_on_after_a_row() -> None:
    text = f"E   failed\nE   DETAIL:  Key (said)=({ROW}) already exists.\nsuites/a.py:3: UniqueViolation\nmore"

    assert f"E   failed\nE   DETAIL:  {ROWS_CUT}\nsuites/a.py:3: UniqueViolation\nmore" == cut_rows(text)


@settings(deadline=None)
@given(row=st.text(max_size=40).map(lambda text: f"93e1{text}93e1"), before=st.text(alphabet="ab \n", max_size=20))
def test_whatever_the_row_holds_it_is_cut_and_twice_is_once(row: str, before: str) -> None:
    for said in (
        f"DETAIL:  Key (a)=({row}) already exists.",
        f"Failing row contains ({row}).",
        f"CONTEXT:  line 3\n{row}",
    ):
        found = cut_rows(before + said)
        assert "93e1" not in found or any(f"\n{frame}" in row for frame in ("_ _ _ _ _ ", "-----", "=========="))
        assert cut_rows(found) == found
