"""The service knows its users, and keeps what they enter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_deploy import Answer, Secrets, Service, StepRecord

pytestmark = [pytest.mark.requirement("REQ-o00043-H"), pytest.mark.step(rollback=True)]

Entry = dict[str, Any]


def test_valid_credentials_are_accepted(log_in: Callable[[], Answer], record: StepRecord) -> None:
    answer = log_in()

    record.expect(200, answer.status)
    assert answer.status == 200
    record.verified()


def test_invalid_credentials_are_refused(service: Service, secrets: Secrets, record: StepRecord) -> None:
    given = {"username": secrets["SMOKE_USER"], "password": "not the password"}
    answer = service.call("POST", "/login", json_body=given)

    record.expect(401, answer.status)
    assert answer.status == 401
    record.verified()


def test_entry_is_created_read_updated_and_deleted(
    service: Service, token: str, new_entry: Callable[[], Entry], record: StepRecord
) -> None:
    entry = new_entry()
    path = f"/entries/{entry['id']}"
    changed = {"day": entry["day"], "text": "deployment check, changed", "score": 6, "version": entry["version"]}

    read = service.call("GET", path, token=token)
    updated = service.call("PUT", path, json_body=changed, token=token)
    deleted = service.call("DELETE", path, token=token)
    gone = service.call("GET", path, token=token)

    found = {"read": read.status, "updated": updated.status, "deleted": deleted.status, "gone": gone.status}
    record.expect(
        {"read": 200, "updated": 200, "deleted": "2xx", "gone": 404}, {**found, "synthetic_entry": entry["id"]}
    )
    assert (read.status, updated.status, gone.status) == (200, 200, 404)
    assert deleted.status // 100 == 2
    record.verified()
