"""Smoke 2: the service answers, as this release, and in time."""

from __future__ import annotations

import pytest

from pytest_deploy import Platform, Policy, Release, Service, StepRecord, ask_health

pytestmark = [pytest.mark.requirement("REQ-o00043-H"), pytest.mark.step(rollback=True)]


def test_health_answers_200_for_this_release(
    service: Service, policy: Policy, platform: Platform, release: Release, record: StepRecord
) -> None:
    """Any 2xx, from the release's own revision; with its commit in the answer where policy asks for it."""
    health = ask_health(service, policy.service, release, platform.runtime)

    record.expect(health.expected, health.found)
    assert not health.fault, health.fault
    record.verified()


def test_health_answers_in_time(service: Service, policy: Policy, record: StepRecord) -> None:
    answer = service.call("GET", policy.service.health)

    record.within(policy.smoke.query_s)
    record.expect(f"under {policy.smoke.query_s:g} s", f"{answer.seconds:.3f} s")
    assert answer.seconds < policy.smoke.query_s
    if not policy.replaced("smoke.query_s"):
        record.verified()
