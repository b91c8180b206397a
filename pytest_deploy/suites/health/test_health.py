"""REQ-o00043-L: a short smoke on the serving address, then a watch over it."""

from __future__ import annotations

import pytest

from pytest_deploy import Platform, Policy, Release, Service, StepRecord, ask_health, watch_service

SECONDS = ("sla_s", "traffic", "platform")
"""What of policy a deployment's duration rests on: with any of it replaced, the time says nothing of this environment's."""


@pytest.mark.requirement("REQ-o00043-L")
def test_serving_address_answers_for_this_release(
    service: Service, policy: Policy, platform: Platform, release: Release, record: StepRecord
) -> None:
    health = ask_health(service, policy.service, release, platform.runtime)

    record.expect(health.expected, health.found)
    assert not health.fault, health.fault
    credit(policy, record)


@pytest.mark.requirement("REQ-o00043-R", environment="development")
@pytest.mark.requirement("REQ-o00043-S", environment="staging")
@pytest.mark.requirement("REQ-o00043-T", environment="production")
def test_deployment_takes_no_longer_than_allowed(policy: Policy, record: StepRecord) -> None:
    """From the opening of the run until its release serves all traffic; the watch comes after that."""
    events = record.events()
    (opened,) = [event for event in events if event.type == "run.opened"]
    served = [event.time for event in events if event.type == "traffic.moved"]
    if not served:
        record.not_applicable("this pipeline moves no traffic")
    took_s = (served[-1] - opened.time).total_seconds()

    record.expect(f"at most {policy.sla_s:g} s", f"{took_s:.1f} s")
    assert took_s <= policy.sla_s
    if not policy.replaced(*SECONDS):
        record.verified()


@pytest.mark.requirement("REQ-o00043-L")
@pytest.mark.step(timeout=7200)
def test_service_stays_healthy(
    service: Service, policy: Policy, platform: Platform, release: Release, record: StepRecord
) -> None:
    """A sample each interval, all by this release; what the watch did not see fails it too. The record keeps each with its time."""
    watched = watch_service(service, policy, release, platform.runtime, on_time=record.watched)

    record.expect(watched.expected, watched.found)
    assert not watched.failures, watched.fault
    credit(policy, record)


def credit(policy: Policy, record: StepRecord) -> None:
    """The watch and the smoke before it are policy's; under a shortened one nothing of it was exercised."""
    if not policy.replaced("health"):
        record.verified()
