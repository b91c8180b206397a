"""The service as its users meet it, on the serving address: histories, audit trail, sessions, exports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_deploy import Database, Secrets, Service, StepRecord

Entry = dict[str, Any]


def test_history_keeps_every_version(
    service: Service, token: str, new_entry: Callable[[], Entry], record: StepRecord
) -> None:
    """Deleting is a new version: nothing a participant entered is lost."""
    entry = new_entry()
    path = f"/entries/{entry['id']}"

    service.call("DELETE", path, token=token)
    history = service.call("GET", f"{path}/history", token=token)

    versions = sorted(row["version"] for row in history.body["versions"])
    record.expect([1, 2], {"versions": versions, "synthetic_entry": entry["id"]})
    assert versions == [1, 2]


def test_entries_need_a_session(service: Service, record: StepRecord) -> None:
    answer = service.call("GET", "/entries")

    record.expect(401, answer.status)
    assert answer.status == 401


def test_session_ends_at_log_out(service: Service, token: str, record: StepRecord) -> None:
    out = service.call("POST", "/logout", token=token)
    after = service.call("GET", "/me", token=token)

    record.expect({"log-out": "2xx", "after": 401}, {"log-out": out.status, "after": after.status})
    assert out.status // 100 == 2
    assert after.status == 401


def test_synthetic_account_is_flagged(database: Database, secrets: Secrets, record: StepRecord) -> None:
    """Study exports leave flagged accounts out: smoke tests never become study data."""
    flagged = database.one("select synthetic from diary.account where username = %s", secrets["SMOKE_USER"])

    record.expect(expected=True, actual=flagged)
    assert flagged is True
