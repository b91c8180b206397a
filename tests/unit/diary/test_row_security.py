"""Row-level security binds the service's role in the database itself, whatever the service's code forgets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.unit.diary.conftest import Person
from tests.unit.diary.diary_service import Diary

TABLES = ("account", "session", "entry", "entry_version", "audit")
Connection = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def connection(diary: Diary) -> Iterator[Connection]:
    """The service's own log-in, in a transaction."""
    with psycopg.connect(diary.service) as connection:
        yield connection
        connection.rollback()


def act_for(connection: Connection, person: Person) -> None:
    connection.execute("select set_config('app.account', %s, true)", [person.id])


def count(connection: Connection, table: str) -> int:
    columns = sql.SQL("entry_id" if table == "entry_version" else "id")
    statement = sql.SQL("select count({}) from {}").format(columns, sql.Identifier("diary", table))
    row = connection.execute(statement).fetchone()
    assert row is not None
    return int(row[0])


def test_who_acts_for_nobody_sees_no_row(connection: Connection, alice: Person) -> None:
    alice.write()

    assert [count(connection, table) for table in TABLES] == [0] * 5


def test_who_acts_for_a_participant_sees_that_participants_rows(
    connection: Connection, alice: Person, bob: Person
) -> None:
    alice.write()
    bob.write()
    act_for(connection, bob)

    assert all(count(connection, table) for table in TABLES)
    owners = connection.execute("select distinct account_id from diary.entry_version").fetchall()
    assert [bob.id] == [str(owner) for (owner,) in owners]


def test_nobody_writes_in_anothers_name(connection: Connection, alice: Person, bob: Person) -> None:
    act_for(connection, bob)

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        connection.execute("insert into diary.entry (account_id) values (%s)", [alice.id])


def test_nobody_appends_to_anothers_entry(connection: Connection, alice: Person, bob: Person) -> None:
    entry = alice.write()
    act_for(connection, bob)

    with pytest.raises(psycopg.errors.Error, match=r"does not follow|row-level security"):
        connection.execute(
            """insert into diary.entry_version (entry_id, version, account_id, day, body, score)
               values (%s, 2, %s, '2026-11-22', 'mine', 1)""",
            [entry, bob.id],
        )


@pytest.mark.parametrize("version", [0, 1, 3])
def test_a_version_follows_the_one_before_it(connection: Connection, alice: Person, version: int) -> None:
    entry = alice.write()
    act_for(connection, alice)

    with pytest.raises(psycopg.errors.CheckViolation, match="does not follow version 1"):
        connection.execute(
            """insert into diary.entry_version (entry_id, version, account_id, day, body, score)
               values (%s, %s, %s, '2026-11-22', 'again', 1)""",
            [entry, version, alice.id],
        )


@pytest.mark.parametrize(
    "statement",
    [
        "select password_hash from diary.account",
        "update diary.account set synthetic = false",
        "delete from diary.session",
        "select * from diary.study_export",
        "create table diary.mine (id bigint)",
    ],
)
def test_the_service_has_no_right_beyond_its_work(connection: Connection, alice: Person, statement: str) -> None:
    act_for(connection, alice)

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.encode())


def test_the_study_export_holds_participants_and_leaves_synthetic_accounts_and_deleted_entries_out(
    diary: Diary, alice: Person
) -> None:
    kept, gone = alice.write(), alice.write()
    alice.call("DELETE", f"/entries/{gone}")
    with psycopg.connect(diary.owner) as connection:
        row = connection.execute(
            "insert into diary.entry (account_id) values (%s) returning id", [diary.account]
        ).fetchone()
        assert row is not None
        connection.execute(
            """insert into diary.entry_version (entry_id, version, account_id, day, body, score)
               values (%s, 1, %s, '2026-11-22', 'a smoke check', 0)""",
            [row[0], diary.account],
        )
        exported = connection.execute("select participant::text, entry_id::text from diary.study_export").fetchall()
        connection.rollback()

    assert (alice.id, kept) in exported
    assert gone not in {entry for _, entry in exported}
    assert diary.account not in {participant for participant, _ in exported}
