"""The synthetic account and the service's role: made once, made again without a change, never by taking what is there."""

from __future__ import annotations

import json

import psycopg
import pytest

from tests.unit.diary.conftest import Person
from tests.unit.diary.diary_service import SMOKE, Diary, Running, command


def test_making_the_account_again_changes_nothing(diary: Diary) -> None:
    again = command("diary.account", DATABASE_URL=diary.owner, **SMOKE)

    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout) == {"id": diary.account, "synthetic": True, "changed": False}


def test_a_new_password_replaces_the_old_one(diary: Diary, service: Running) -> None:
    given = {"SMOKE_USER": "rotating", "SMOKE_PASSWORD": "the first password"}
    first = json.loads(command("diary.account", DATABASE_URL=diary.owner, **given).stdout)

    given["SMOKE_PASSWORD"] = "the second password"
    second = json.loads(command("diary.account", DATABASE_URL=diary.owner, **given).stdout)

    assert (first["id"], True) == (second["id"], second["changed"])
    assert service.log_in("rotating", "the second password")
    refused = service.call("POST", "/login", {"username": "rotating", "password": "the first password"})
    assert refused.status_code == 401


def test_a_participants_account_is_never_taken(diary: Diary, alice: Person) -> None:
    before = diary.ask("select * from diary.account where id = %s", alice.id)

    refused = command("diary.account", DATABASE_URL=diary.owner, **{**SMOKE, "SMOKE_USER": alice.username})

    assert (refused.returncode, refused.stdout) == (1, "")
    assert "is a participant's account" in refused.stderr
    assert before == diary.ask("select * from diary.account where id = %s", alice.id)


@pytest.mark.parametrize("without", ["DATABASE_URL", "SMOKE_USER", "SMOKE_PASSWORD"])
def test_there_is_no_default_credential(diary: Diary, without: str) -> None:
    given = {"DATABASE_URL": diary.owner, **SMOKE}
    del given[without]

    assert command("diary.account", **given).returncode == 2


def test_a_short_password_is_refused_and_not_repeated(diary: Diary) -> None:
    refused = command("diary.account", DATABASE_URL=diary.owner, SMOKE_USER="short", SMOKE_PASSWORD="tooshort")

    assert refused.returncode == 2
    assert "tooshort" not in refused.stdout + refused.stderr


def test_the_grant_makes_the_service_role_a_member_once(diary: Diary) -> None:
    again = command("diary.grant", DATABASE_URL=diary.owner, SERVICE_ROLE=diary.role)

    assert json.loads(again.stdout) == {"role": diary.role, "granted": False}
    assert diary.ask("select pg_has_role(%s, 'diary_app', 'member')", diary.role) == [(True,)]


@pytest.mark.parametrize("role", ["postgres", "no-such-role", "diary_app; drop table diary.audit", ""])
def test_a_role_that_row_security_would_not_bind_is_refused(diary: Diary, role: str) -> None:
    refused = command("diary.grant", DATABASE_URL=diary.owner, SERVICE_ROLE=role)

    assert (2 if not role else 1) == refused.returncode
    assert refused.stdout == ""


def test_a_role_of_an_awkward_name_is_quoted(diary: Diary) -> None:
    role = f'{diary.role}"; --'
    with psycopg.connect(diary.owner, autocommit=True) as connection:
        name = psycopg.sql.Identifier(role)
        connection.execute(psycopg.sql.SQL("create role {} login").format(name))
        try:
            done = command("diary.grant", DATABASE_URL=diary.owner, SERVICE_ROLE=role)

            assert json.loads(done.stdout) == {"role": role, "granted": True}
        finally:
            connection.execute(psycopg.sql.SQL("drop role {}").format(name))
