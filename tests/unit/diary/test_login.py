"""Who gets in: the right credentials and a live session; nobody else, and no hint why not."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.diary.conftest import Person
from tests.unit.diary.diary_service import SMOKE, SMOKE_LOGIN, Diary, Running, running, until


def test_valid_credentials_give_a_session_of_half_an_hour(service: Running, diary: Diary) -> None:
    answer = service.call("POST", "/login", SMOKE_LOGIN)

    left = datetime.fromisoformat(answer.json()["expires"]) - datetime.now(UTC)
    assert (200, diary.account) == (answer.status_code, answer.json()["account"])
    assert timedelta(minutes=29) < left <= timedelta(minutes=30)


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(service: Running) -> None:
    wrong = service.call("POST", "/login", {**SMOKE_LOGIN, "password": "wrong"})
    unknown = service.call("POST", "/login", {**SMOKE_LOGIN, "username": "nobody"})

    assert (wrong.status_code, unknown.status_code) == (401, 401)
    assert wrong.json() == unknown.json()


def test_an_unknown_name_costs_the_time_of_a_wrong_password(service: Running) -> None:
    def seconds(username: str) -> float:
        started = time.perf_counter()
        service.call("POST", "/login", {"username": username, "password": "wrong"})
        return time.perf_counter() - started

    seconds("nobody")  # the first one hashes the decoy too
    known = min(seconds(SMOKE["SMOKE_USER"]) for _ in range(2))
    unknown = min(seconds("nobody") for _ in range(2))

    assert unknown > known / 3  # without the hashing it is a fiftieth


@pytest.mark.parametrize(
    "body", [{}, {"username": "x"}, {"username": "x", "password": 5}, {"username": "\0", "password": "y"}]
)
def test_credentials_of_the_wrong_shape_are_refused_before_anything_is_looked_up(
    service: Running, body: object
) -> None:
    assert service.call("POST", "/login", body).status_code == 422


def test_a_session_tells_who_is_logged_in(alice: Person) -> None:
    assert alice.call("GET", "/me").json() == {"id": alice.id, "username": alice.username, "synthetic": False}


def test_a_token_that_was_never_given_opens_nothing(service: Running) -> None:
    refused = service.call("GET", "/me", token="no-such-token")

    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_after_log_out_the_token_opens_nothing(service: Running) -> None:
    token = service.log_in(**SMOKE_LOGIN)

    assert service.call("GET", "/me", token=token).json()["synthetic"] is True
    assert service.call("POST", "/logout", token=token).status_code == 204
    assert service.call("GET", "/me", token=token).status_code == 401
    assert service.call("POST", "/logout", token=token).status_code == 401


def test_an_expired_session_opens_nothing(diary: Diary) -> None:
    with running(diary.service, SESSION_SECONDS="1") as service:
        token = service.log_in(**SMOKE_LOGIN)

        assert service.call("GET", "/me", token=token).status_code == 200
        assert 401 in (service.call("GET", "/me", token=token).status_code for _ in until(5))


def test_neither_password_nor_token_is_stored_anywhere(diary: Diary, alice: Person) -> None:
    stored = str(diary.ask("select * from diary.account")) + str(diary.ask("select * from diary.session"))
    stored += str(diary.ask("select * from diary.audit"))

    assert SMOKE["SMOKE_PASSWORD"] not in stored
    assert alice.token not in stored
