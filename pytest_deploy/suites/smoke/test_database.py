"""Smoke 1: the database answers, and in time."""

from __future__ import annotations

import time

import pytest

from pytest_deploy import Database, Policy, StepRecord

pytestmark = [pytest.mark.requirement("REQ-o00043-H"), pytest.mark.step(rollback=True)]


def test_connection_opens(database: Database, record: StepRecord) -> None:
    with database.connect() as connection:
        record.expect("open", "closed" if connection.closed else "open")
        assert not connection.closed
    record.verified()


def test_simple_query_answers(database: Database, record: StepRecord) -> None:
    found = database.one("select 1")

    record.expect(1, found)
    assert found == 1
    record.verified()


def test_query_answers_in_time(database: Database, policy: Policy, record: StepRecord) -> None:
    began = time.monotonic()
    database.one("select 1")
    seconds = round(time.monotonic() - began, 3)

    record.answered("select 1", seconds)
    record.within(policy.smoke.query_s)
    record.expect(f"under {policy.smoke.query_s:g} s", f"{seconds} s")
    assert seconds < policy.smoke.query_s
    if not policy.replaced("smoke.query_s"):
        record.verified()
