"""REQ-o00043-L: a short smoke on the serving address, then a watch over it."""

from __future__ import annotations

import time

import pytest

from pytest_deploy import Platform, PlatformUnavailable, Policy, Release, Service, StepRecord, ask_health

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
def test_service_stays_healthy(service: Service, policy: Policy, record: StepRecord) -> None:
    """Every sample counts; none at all is a failure of its own. The record keeps each with its time, as it does every call."""
    samples: list[dict[str, object]] = []
    began = time.monotonic()
    until = began + policy.health.watch_s
    while not samples or time.monotonic() < until:
        samples.append(_sample(service, policy.service.health))
        time.sleep(max(0.0, min(policy.health.interval_s, until - time.monotonic())))
        record.watched(time.monotonic() - began)

    failures = [sample for sample in samples if not sample["ok"]]
    record.expect(
        f"at most {policy.health.allow_failures} failures in {policy.health.watch_s:g} s",
        {"samples": len(samples), "failures": failures[:20]},
    )
    assert len(failures) <= policy.health.allow_failures
    credit(policy, record)


def credit(policy: Policy, record: StepRecord) -> None:
    """The watch and the smoke before it are policy's; under a shortened one nothing of it was exercised."""
    if not policy.replaced("health"):
        record.verified()


def _sample(service: Service, path: str) -> dict[str, object]:
    try:
        answer = service.call("GET", path)
    except PlatformUnavailable as error:
        return {"ok": False, "status": 0, "error": str(error)}
    return {"ok": answer.ok, "status": answer.status, "seconds": round(answer.seconds, 3)}
