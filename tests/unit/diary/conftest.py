"""One migrated database and one running service for each worker; participants that each test makes for itself."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
import requests

from tests.postgres_server import PostgresServer
from tests.unit.diary.diary_service import SMOKE, Diary, Running, migrated, running


@pytest.fixture(scope="session")
def diary(postgres: PostgresServer) -> Iterator[Diary]:
    """A database with every migration applied by the dbmate CLI."""
    with migrated(postgres) as database:
        yield database


@pytest.fixture(scope="session")
def service(diary: Diary) -> Iterator[Running]:
    """The service, without a fault."""
    with running(diary.service, VERSION="1.2.0", COMMIT="0123abc", K_REVISION="diary-00003") as process:
        yield process


@dataclass(frozen=True)
class Person:
    """Somebody logged in."""

    id: str
    username: str
    token: str
    service: Running

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        """A request of theirs."""
        return self.service.call(method, path, body, self.token, **headers)

    def write(self, text: str = "slept well") -> str:
        """A new entry's id."""
        answer = self.call("POST", "/entries", {"day": "2026-11-22", "text": text, "score": 7})
        assert answer.status_code == 201, answer.text
        entry: str = answer.json()["id"]
        return entry


def participant(diary: Diary, service: Running) -> Person:
    """A new participant. Not synthetic, with the synthetic account's password, to spare the hashing."""
    username = f"participant-{uuid.uuid4().hex[:8]}"
    with psycopg.connect(diary.owner) as connection:
        row = connection.execute(
            """insert into diary.account (username, password_hash)
               select %s, password_hash from diary.account where id = %s returning id""",
            [username, diary.account],
        ).fetchone()
    assert row is not None
    return Person(str(row[0]), username, service.log_in(username, SMOKE["SMOKE_PASSWORD"]), service)


@pytest.fixture(scope="session")
def alice(diary: Diary, service: Running) -> Person:
    """A participant."""
    return participant(diary, service)


@pytest.fixture(scope="session")
def bob(diary: Diary, service: Running) -> Person:
    """Another one."""
    return participant(diary, service)
