"""The process under the container contract: what it starts with, what it says, and how it stops."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
import requests

from tests.conftest import fresh_database
from tests.postgres_server import PostgresServer
from tests.unit.diary.conftest import Person
from tests.unit.diary.diary_service import SMOKE, SMOKE_LOGIN, Diary, Running, command, dbmate, running, until


def test_health_names_release_revision_and_schema(service: Running) -> None:
    answer = service.call("GET", "/health")

    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "version": "1.2.0",
        "commit": "0123abc",
        "revision": "diary-00003",
        "schema": 7,
    }


def test_health_says_503_where_the_database_is_not_there(diary: Diary) -> None:
    with running(psycopg.conninfo.make_conninfo(diary.service, dbname="not-there")) as service:
        answer = service.call("GET", "/health")

        assert (answer.status_code, answer.json()["cause"]) == (503, "the database cannot be reached")
        assert service.call("POST", "/login", {"username": "x", "password": "y"}).status_code == 503


def test_health_says_503_where_the_schema_is_missing_or_too_old(postgres: PostgresServer, diary: Diary) -> None:
    with fresh_database(postgres) as owner:
        service_url = psycopg.conninfo.make_conninfo(owner, user=diary.role)
        with running(service_url) as service:
            missing = service.call("GET", "/health")
            dbmate(owner, "up")
            whole = service.call("GET", "/health")
            for _ in range(2):
                dbmate(owner, "rollback")
            old = service.call("GET", "/health")

    assert (missing.status_code, missing.json()["schema"]) == (503, None)
    assert (whole.status_code, whole.json()["schema"]) == (200, 7)
    assert (old.status_code, old.json()["schema"]) == (503, 5)
    assert "needs 6" in old.json()["cause"]


def test_connections_that_died_are_replaced(diary: Diary) -> None:
    with running(diary.service) as service:
        assert service.call("GET", "/health").status_code == 200
        killed = diary.ask("select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", diary.role)

        assert killed
        assert service.call("GET", "/health").status_code == 200


@contextmanager
def held(diary: Diary, table: str) -> Iterator[Callable[[], None]]:
    """Nobody gets on with this table meanwhile; what is yielded waits until somebody of the service stands there."""
    waiting = "select 1 from pg_stat_activity where usename = %s and wait_event_type = 'Lock'"

    def somebody_waits() -> None:
        assert any(diary.ask(waiting, diary.role) for _ in until(10))

    with psycopg.connect(diary.owner) as owner:
        owner.execute(psycopg.sql.SQL("lock table {}").format(psycopg.sql.Identifier("diary", table)))
        yield somebody_waits
        owner.rollback()


def test_a_connection_that_dies_in_the_middle_is_a_503_and_the_next_request_works(diary: Diary) -> None:
    entry = {"day": "2026-11-22", "text": "slept well", "score": 7}
    with running(diary.service) as service, ThreadPoolExecutor(1) as thread:
        token = service.log_in(**SMOKE_LOGIN)
        with held(diary, "entry") as somebody_waits:
            under_way = thread.submit(service.call, "POST", "/entries", entry, token)
            somebody_waits()
            diary.ask("select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", diary.role)

            assert under_way.result().status_code == 503
        assert service.call("POST", "/entries", entry, token).status_code == 201


def test_sigterm_lets_the_request_under_way_finish_and_ends_with_status_0(diary: Diary) -> None:
    with running(diary.service) as service, ThreadPoolExecutor(1) as thread:
        with held(diary, "session") as somebody_waits:
            under_way = thread.submit(service.call, "POST", "/login", SMOKE_LOGIN)
            somebody_waits()
            service.process.terminate()
            assert any(refuses(service.url) for _ in until(10))
        assert under_way.result().status_code == 200
        assert service.stop() == 0


def refuses(url: str) -> bool:
    """Whether nobody listens there."""
    try:
        requests.get(url, timeout=1)
    except requests.ConnectionError:
        return True
    return False


def test_the_log_is_json_lines_without_secrets_or_subject_data(diary: Diary) -> None:
    with running(diary.service) as service:
        token = service.log_in(**SMOKE_LOGIN)
        service.call("POST", "/entries", {"day": "2026-11-22", "text": "very private", "score": 1}, token)
        service.stop()

    log = json.dumps(service.lines)
    answered = [(line["method"], line["path"], line["status"]) for line in service.lines if "method" in line]
    assert answered == [("POST", "/login", 200), ("POST", "/entries", 201)]
    assert all({"time", "severity", "message"} <= line.keys() for line in service.lines)
    assert not [word for word in (token, SMOKE["SMOKE_PASSWORD"], "very private") if word in log]


def test_a_body_beyond_64_kib_is_refused(alice: Person) -> None:
    body = {"day": "2026-11-22", "text": "x" * 70_000, "score": 1}

    assert alice.call("POST", "/entries", body).status_code == 413


@pytest.mark.parametrize(
    "settings,status,said",
    [
        ({"FAULT": "startup"}, 1, "FAULT=startup"),
        ({"FAULT": "Slow"}, 2, "FAULT='Slow' is not one of startup, health, login, crud, audit, slow"),
        ({"PORT": "http"}, 2, "PORT='http' is not a whole number"),
        ({"DATABASE_URL": ""}, 2, "DATABASE_URL is missing"),
        ({"HOST": "192.0.2.1"}, 1, "cannot listen"),
    ],
)
def test_what_cannot_start_ends_at_once_and_says_why(settings: dict[str, str], status: int, said: str) -> None:
    ended = command("diary", **{"DATABASE_URL": "postgresql://db/diary", "PORT": "0", **settings})

    assert (status, "") == (ended.returncode, ended.stderr)
    assert said in ended.stdout
    assert "listening" not in ended.stdout
