"""The audit trail: written by triggers whatever the service does, rewritten by nobody, seen by whom it concerns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from tests.unit.diary.conftest import Person
from tests.unit.diary.diary_service import Diary

CHANGE = {"day": "2026-11-21", "text": "slept badly", "score": 2}


def test_each_change_leaves_who_when_old_and_new(alice: Person, diary: Diary) -> None:
    entry = alice.write()
    alice.call("PUT", f"/entries/{entry}", {**CHANGE, "version": 1, "reason": "typo"})
    alice.call("DELETE", f"/entries/{entry}")

    trail = alice.call("GET", f"/audit?entry={entry}").json()["audit"]

    assert [(row["action"], row["old"] and row["old"]["version"], row["new"]["version"]) for row in trail] == [
        ("create", None, 1),
        ("update", 1, 2),
        ("delete", 2, 3),
    ]
    assert (
        trail[1]["old"]["body"],
        trail[1]["new"]["body"],
        trail[1]["new"]["reason"],
    ) == ("slept well", "slept badly", "typo")
    assert {(alice.id, diary.role)} == {(row["actor"], row["db_user"]) for row in trail}
    for row in trail:
        assert abs(datetime.now(UTC) - datetime.fromisoformat(row["at"])) < timedelta(minutes=1)


def test_the_trail_of_anothers_entry_is_empty(alice: Person, bob: Person) -> None:
    entry = alice.write()

    assert bob.call("GET", f"/audit?entry={entry}").json() == {"audit": []}
    assert bob.call("GET", f"/audit?entry={uuid4()}").json() == {"audit": []}


def test_a_trail_is_asked_for_by_an_entrys_id(alice: Person) -> None:
    assert [alice.call("GET", path).status_code for path in ("/audit", "/audit?entry=7")] == [422, 422]


def test_accounts_and_sessions_are_on_the_trail_without_their_secrets(alice: Person, diary: Diary) -> None:
    rows = diary.ask("select subject, action, new from diary.audit where account_id = %s order by id", alice.id)

    assert [row[:2] for row in rows[:2]] == [("account", "create"), ("session", "create")]
    assert {"password_hash", "token_hash"}.isdisjoint(key for _, _, new in rows for key in new)


def test_a_changed_password_is_on_the_trail_as_changed(alice: Person, diary: Diary) -> None:
    with psycopg.connect(diary.owner) as connection:
        connection.execute("update diary.account set password_hash = 'scrypt$' where id = %s", [alice.id])
        row = connection.execute("select old, new, actor, db_user from diary.audit order by id desc limit 1").fetchone()
        connection.rollback()

    assert row is not None
    old, new, actor, db_user = row
    assert (new.pop("password_hash"), old.get("password_hash"), actor, db_user) == ("changed", None, None, "postgres")
    assert old == new


@pytest.mark.parametrize("table", ["diary.audit", "diary.entry_version"])
@pytest.mark.parametrize("statement", ["update {} set version = 0", "delete from {}", "truncate {}"])
def test_not_even_the_owner_rewrites_what_was_written(diary: Diary, table: str, statement: str) -> None:
    statement = statement.format(table).replace("version = 0", "account_id = account_id")

    with (
        psycopg.connect(diary.owner) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match=f"{table} is append-only: .* is refused"),
    ):
        connection.execute(statement.encode())


@pytest.mark.parametrize(
    "statement",
    [
        "insert into diary.audit (action, subject, subject_id, account_id) values ('create', 'x', %(id)s, %(id)s)",
        "update diary.audit set action = 'create'",
        "delete from diary.audit",
        "alter table diary.entry_version disable trigger audit_version",
        "drop trigger audit_version on diary.entry_version",
        "set session_replication_role = replica",
        "select diary.audit_row()",
    ],
)
def test_the_service_can_neither_write_the_trail_nor_go_round_it(diary: Diary, alice: Person, statement: str) -> None:
    with psycopg.connect(diary.service) as connection:
        connection.execute("select set_config('app.account', %s, true)", [alice.id])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.encode(), {"id": alice.id})
