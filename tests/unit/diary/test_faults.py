"""Each fault breaks what its name says, for real, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.unit.diary.diary_service import SMOKE_LOGIN, Diary, Running, running

ENTRY = {"day": "2026-11-22", "text": "slept well", "score": 7}


@contextmanager
def faulty(diary: Diary, fault: str) -> Iterator[tuple[Running, str]]:
    """The service under a fault, and a token."""
    with running(diary.service, FAULT=fault) as service:
        yield service, service.log_in(**SMOKE_LOGIN)


def working(service: Running, token: str) -> set[str]:
    """Which of the service's abilities work."""
    created = service.call("POST", "/entries", ENTRY, token)
    path = f"/entries/{created.json()['id']}"
    seen = {
        "health": service.call("GET", "/health").status_code == 200,
        "create": created.status_code == 201,
        "read": service.call("GET", path, token=token).status_code == 200,
        "update": service.call("PUT", path, {**ENTRY, "version": 1}, token).status_code == 200,
        "delete": service.call("DELETE", path, token=token).status_code == 200,
        "audit": bool(service.call("GET", f"/audit?entry={created.json()['id']}", token=token).json()["audit"]),
    }
    return {ability for ability, works in seen.items() if works}


EVERYTHING = {"health", "create", "read", "update", "delete", "audit"}


def test_without_a_fault_everything_works(service: Running) -> None:
    token = service.log_in(**SMOKE_LOGIN)

    assert working(service, token) == EVERYTHING


def test_health_breaks_the_health_answer_alone(diary: Diary) -> None:
    with faulty(diary, "health") as (service, token):
        assert service.call("GET", "/health").status_code == 500
        assert working(service, token) == EVERYTHING - {"health"}


def test_login_refuses_the_right_password(diary: Diary) -> None:
    with running(diary.service, FAULT="login") as service:
        assert service.call("POST", "/login", SMOKE_LOGIN).status_code == 401
        assert service.call("POST", "/login", {**SMOKE_LOGIN, "password": "wrong"}).status_code == 401
        assert service.call("GET", "/health").status_code == 200


def test_crud_breaks_update_and_delete_and_leaves_no_word_of_the_entry_in_the_log(diary: Diary) -> None:
    with faulty(diary, "crud") as (service, token):
        assert working(service, token) == EVERYTHING - {"update", "delete"}
        service.stop()

    errors = [line for line in service.lines if line["severity"] == "ERROR"]
    assert [(line["message"], line["sqlstate"]) for line in errors] == [
        ("the database refused a statement", "42P01")
    ] * 2


def test_audit_leaves_no_trail_and_no_row_while_all_seems_well(diary: Diary) -> None:
    before = diary.ask("select count(*) from diary.entry_version where account_id = %s", diary.account)

    with faulty(diary, "audit") as (service, token):
        assert working(service, token) == EVERYTHING - {"audit"}

    assert before == diary.ask("select count(*) from diary.entry_version where account_id = %s", diary.account)


def test_slow_answers_late(diary: Diary) -> None:
    with running(diary.service, FAULT="slow") as service:
        started = time.monotonic()

        assert service.call("GET", "/health").status_code == 200
        assert time.monotonic() - started >= 2.5
