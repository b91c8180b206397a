"""What the service answers before it needs a database, and when it has none."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace

import pytest

from diary.settings import Fault, Settings
from diary.web import MAX_BODY
from tests.asgi import Answer, ask

NOWHERE = Settings(database_url="host=/nonexistent dbname=diary", version="1.2.0", revision="diary-00003")


def answer(method: str, path: str, body: bytes = b"", settings: Settings = NOWHERE, **headers: str) -> Answer:
    return asyncio.run(ask(settings, method, path, body, **headers))


def test_health_says_503_and_why_where_the_database_cannot_be_reached() -> None:
    health = answer("GET", "/health")

    assert health.status == 503
    assert health.json == {
        "status": "unavailable",
        "cause": "the database cannot be reached",
        "version": "1.2.0",
        "commit": "unknown",
        "revision": "diary-00003",
        "schema": None,
    }


def test_health_says_500_under_the_fault_health() -> None:
    assert answer("GET", "/health", settings=replace(NOWHERE, fault=Fault.HEALTH)).status == 500


@pytest.mark.parametrize(
    "method,path",
    [
        ("POST", "/logout"),
        ("GET", "/me"),
        ("GET", "/entries"),
        ("GET", "/entries/00000000-0000-4000-8000-000000000000"),
        ("DELETE", "/entries/00000000-0000-4000-8000-000000000000"),
        ("GET", "/entries/00000000-0000-4000-8000-000000000000/history"),
        ("GET", "/audit?entry=00000000-0000-4000-8000-000000000000"),
    ],
)
def test_without_a_token_nothing_is_shown(method: str, path: str) -> None:
    refused = answer(method, path)

    assert (401, "Bearer") == (refused.status, refused.headers["www-authenticate"])


@pytest.mark.parametrize("path,status", [("/nowhere", 404), ("/entries/7", 404), ("/login", 405)])
def test_an_unknown_path_or_method_is_refused_in_json(path: str, status: int) -> None:
    refused = answer("GET", path)

    assert status == refused.status
    assert set(refused.json) == {"error", "detail"}


def test_a_body_beyond_the_limit_is_refused() -> None:
    assert answer("POST", "/login", b" " * (MAX_BODY + 1)).status == 413


def test_invalid_fields_are_named() -> None:
    refused = answer("POST", "/login", json.dumps({"username": ""}).encode())

    assert refused.status == 422
    assert set(refused.json["fields"]) == {"username", "password"}


def test_the_log_holds_method_path_and_status_and_not_the_query(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "diary"):
        answer("GET", "/audit?entry=secret")

    (fields,) = [vars(record)["fields"] for record in caplog.records]
    assert ("GET", "/audit", 422) == (fields["method"], fields["path"], fields["status"])
    assert "secret" not in str(fields)
