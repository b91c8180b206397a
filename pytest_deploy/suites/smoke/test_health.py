"""Smoke 2: the service answers, as this release, and in time."""

from __future__ import annotations

import pytest

from pytest_deploy import Policy, Release, Service, StepRecord

pytestmark = [pytest.mark.requirement("REQ-o00043-H"), pytest.mark.step(rollback=True)]


def test_health_answers_200_for_this_release(
    service: Service, policy: Policy, release: Release, record: StepRecord
) -> None:
    answer = service.call("GET", policy.service.health)

    record.expect({"status": 200, "commit": release.commit}, {"status": answer.status, "body": answer.body})
    assert answer.status == 200
    assert answer.body["commit"] == release.commit
    record.verified()


def test_health_answers_in_time(service: Service, policy: Policy, record: StepRecord) -> None:
    answer = service.call("GET", policy.service.health)

    record.within(policy.smoke.query_s)
    record.expect(f"under {policy.smoke.query_s:g} s", f"{answer.seconds:.3f} s")
    assert answer.seconds < policy.smoke.query_s
    if not policy.replaced("smoke.query_s"):
        record.verified()
