"""A watch over real services on the embedded platform that misbehave: each fails by its own kind, in words, and in time."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_deploy.platform.clients import Service
from pytest_deploy.policy.policy import Policy
from pytest_deploy.policy.rollout import Health
from pytest_deploy.policy.rollout import Service as ServicePolicy
from pytest_deploy.release.health import ask_health
from pytest_deploy.release.live import Release
from pytest_deploy.watch.judge import Fault
from pytest_deploy.watch.watch import Watched, watch_service
from tests.unit.platform.conftest import Deployment

COMMIT = "c" * 40


def policy(path: str, health: Health, **service: Any) -> Policy:
    asked = ServicePolicy(name="tiny", source=".", command=("python", "app.py"), health=path, **service)
    sections: dict[str, Any] = {"service": asked, "health": health}  # a watch reads no other
    return Policy.model_construct(**sections)


@pytest.fixture
def served(fresh: Deployment) -> Release:
    runtime, image = fresh.platform.runtime, fresh.push("one")
    annotations = {"deploy.version": "one", "deploy.commit": COMMIT}
    revision = runtime.create(image=image, env={}, tag="candidate", annotations=annotations, deadline_s=20)
    runtime.move({revision.name: 100}, tags={}, deadline_s=10)
    return Release("one", COMMIT, image, (), revision=revision.name)


@pytest.fixture
def service(fresh: Deployment, served: Release) -> Iterator[Service]:
    client = Service(fresh.url)
    yield client
    client.close()


def watched(
    fresh: Deployment, service: Service, release: Release, path: str, *, health: Health | None = None, **policy_: Any
) -> Watched:
    rules = health or Health(watch_s=1, interval_s=0.25, deadline_s=1)
    told: list[float] = []
    found = watch_service(service, policy(path, rules, **policy_), release, fresh.platform.runtime, on_time=told.append)
    assert told[-1] == pytest.approx(found.seconds, abs=0.2)
    return found


def test_a_service_that_stays_well_passes(fresh: Deployment, service: Service, served: Release) -> None:
    found = watched(fresh, service, served, "/up")

    assert found.fault == ""
    assert len(found.samples) >= 3
    assert found.found["restarts"] == 0


@pytest.mark.parametrize(
    "path, expected",
    [
        ("/sick", (Fault.STATUS, "GET /sick answered 500")),
        ("/ill", (Fault.UNWELL, "answered 200 with the status 'failed': a service that is well says one of ok, pass")),
        ("/trickle", (Fault.LATE, "no whole answer within 1 s")),
        ("/flood", (Fault.TOO_LARGE, "the answer is longer than 1,000,000 bytes (its header names no length; SHA-256 of the first")),
    ],
)  # fmt: skip
def test_each_ill_kind_of_answer_fails_in_its_own_words(
    fresh: Deployment, service: Service, served: Release, path: str, expected: tuple[Fault, str]
) -> None:
    kind, words = expected
    began = time.monotonic()

    found = watched(fresh, service, served, path)

    assert time.monotonic() - began < 5
    assert [sample.fault for sample in found.samples] == [kind]
    assert words in found.fault


def test_400_mb_cost_no_more_memory_than_the_cap(fresh: Deployment, service: Service, served: Release) -> None:
    tracemalloc.start()
    try:
        watched(fresh, service, served, "/flood")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most < 6_000_000


def test_words_of_its_own_may_say_that_it_is_well(fresh: Deployment, service: Service, served: Release) -> None:
    assert watched(fresh, service, served, "/ill", health_words=("failed",)).fault == ""


def test_another_commit_fails_whatever_is_allowed(fresh: Deployment, service: Service, served: Release) -> None:
    lenient = Health(watch_s=2, interval_s=0.25, allow_failures=5)
    other = Release("one", "d" * 40, served.image, (), revision=served.revision)

    found = watched(fresh, service, other, "/up", health=lenient)

    assert [failure.kind for failure in found.failures] == [Fault.OTHER_RELEASE]
    assert COMMIT in found.fault
    assert "d" * 40 in found.fault


def test_another_revision_fails_whatever_is_allowed(fresh: Deployment, service: Service, served: Release) -> None:
    """As where somebody moves the traffic by hand during the watch."""
    lenient = Health(watch_s=2, interval_s=0.25, allow_failures=5)
    fresh.serve("two")

    found = watched(fresh, service, served, "/sick", health=lenient)

    assert [failure.kind for failure in found.failures] == [Fault.OTHER_RELEASE]
    assert f"answers at this address: it should be {served.revision}" in found.fault


def test_a_process_that_dies_after_each_answer_fails(fresh: Deployment, service: Service, served: Release) -> None:
    lenient = Health(watch_s=3, interval_s=0.25, allow_failures=5)

    found = watched(fresh, service, served, "/dies", health=lenient)

    assert [failure.kind for failure in found.failures] == [Fault.RESTARTED]
    assert found.found["restarts"] == 1
    assert found.fault.startswith("the instance was started again: once during the watch, first seen after ")


def test_a_commit_of_100_kb_is_cut_where_it_is_read(fresh: Deployment, service: Service, served: Release) -> None:
    names = policy("/long", Health(watch_s=1, interval_s=0.5), health_names_commit=True)

    health = ask_health(service, names.service, served, fresh.platform.runtime)

    assert health.fault.startswith("the answer names the commit 'xxx")
    assert len(health.fault) < 600
    assert len(str(health.found)) < 700
