"""What the suites share: the service's log-in, and diary entries made with the synthetic account."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_deploy import Answer, Secrets, Service, StepRecord

Entry = dict[str, Any]


@pytest.fixture
def log_in(service: Service, secrets: Secrets) -> Callable[[], Answer]:
    """Log the synthetic account in."""

    def log_in() -> Answer:
        given = {"username": secrets["SMOKE_USER"], "password": secrets["SMOKE_PASSWORD"]}
        answer = service.call("POST", "/login", json_body=given)
        if isinstance(answer.body, dict) and "token" in answer.body:
            secrets.learn("SESSION", str(answer.body["token"]))
        return answer

    return log_in


@pytest.fixture
def token(log_in: Callable[[], Answer]) -> str:
    """A session of the synthetic account."""
    answer = log_in()
    assert answer.status == 200, f"log-in of the synthetic account: {answer.status} {answer.body}"
    return str(answer.body["token"])


@pytest.fixture
def new_entry(service: Service, token: str, record: StepRecord) -> Callable[[], Entry]:
    """Create a diary entry of the synthetic account; its id goes into the record."""

    def create() -> Entry:
        given = {"day": "2026-01-01", "text": "deployment check", "score": 5}
        answer = service.call("POST", "/entries", json_body=given, token=token)
        assert answer.status == 201, f"creating an entry: {answer.status} {answer.body}"
        entry: Entry = answer.body
        record.expect("an entry of the synthetic account", {"synthetic_entry": entry["id"]})
        return entry

    return create
