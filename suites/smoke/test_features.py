"""What users come for works, and leaves its audit trail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_deploy import Service, StepRecord

pytestmark = [pytest.mark.requirement("REQ-o00043-H"), pytest.mark.step(rollback=True)]

Entry = dict[str, Any]


def test_user_can_log_in(service: Service, token: str, record: StepRecord) -> None:
    """A session is worth something: it opens the user's own page."""
    answer = service.call("GET", "/me", token=token)

    record.expect(200, answer.status)
    assert answer.status == 200
    record.verified()


def test_user_can_create_a_diary_entry(new_entry: Callable[[], Entry], record: StepRecord) -> None:
    entry = new_entry()

    record.expect({"version": 1}, {"version": entry["version"], "synthetic_entry": entry["id"]})
    assert entry["version"] == 1
    record.verified()


def test_audit_trail_records_are_created(
    service: Service, token: str, new_entry: Callable[[], Entry], record: StepRecord
) -> None:
    entry = new_entry()

    answer = service.call("GET", f"/audit?entry={entry['id']}", token=token)

    rows = answer.body["audit"] if answer.status == 200 else []
    record.expect("at least 1 audit row", {"status": answer.status, "rows": len(rows), "synthetic_entry": entry["id"]})
    assert answer.status == 200
    assert len(rows) >= 1
    record.verified()
