"""Health asked of a service that knows no commit: its revision says which release answers, at a tag and behind the traffic."""

from __future__ import annotations

from pytest_deploy.platform.clients import Service
from pytest_deploy.policy.rollout import Checks
from pytest_deploy.policy.rollout import Service as ServicePolicy
from pytest_deploy.release.health import Health, ask_health
from pytest_deploy.release.live import Release
from tests.unit.platform.conftest import Deployment

COMMIT = "c" * 40
POLICY = ServicePolicy(
    name="tiny",
    source=".",
    command=("python", "app.py"),
    health="/up",
    checks=Checks(lint=("true",), types=("true",), tests=("true",)),
)


def made(deployment: Deployment, version: str) -> Release:
    """A revision at the tag, made as the deployment's own step makes it."""
    runtime, image = deployment.platform.runtime, deployment.push(version)
    annotations = {"deploy.version": version, "deploy.commit": COMMIT}
    revision = runtime.create(image=image, env={}, tag="candidate", annotations=annotations, deadline_s=20)
    return Release(version, COMMIT, image, (), revision=revision.name)


def asked(deployment: Deployment, url: str, release: Release, policy: ServicePolicy = POLICY) -> Health:
    return ask_health(Service(url), policy, release, deployment.platform.runtime)


def test_the_releases_revision_is_known_at_its_tag_and_behind_the_traffic(fresh: Deployment) -> None:
    release = made(fresh, "one")
    assert asked(fresh, fresh.candidate_url, release).fault == ""
    assert asked(fresh, fresh.url, release).fault == "GET /up answered 503: a service that is well answers 2xx"

    fresh.platform.runtime.move({release.revision: 100}, tags={}, deadline_s=10)

    health = asked(fresh, fresh.url, release)
    assert health.fault == ""
    assert health.found == {
        "status": 200,
        "revision": release.revision,
        "commit": COMMIT,
        "commit_told_by": "revision",
    }


def test_another_release_that_answers_is_refused(fresh: Deployment) -> None:
    first = made(fresh, "one")
    fresh.platform.runtime.move({first.revision: 100}, tags={}, deadline_s=10)
    second = made(fresh, "two")

    assert asked(fresh, fresh.url, second).fault == (
        f"{first.revision} answers at this address: it should be {second.revision}"
    )


def test_one_that_names_no_commit_is_refused_where_policy_asks_for_it(fresh: Deployment) -> None:
    release = made(fresh, "one")
    strict = POLICY.model_copy(update={"health_names_commit": True})

    assert asked(fresh, fresh.candidate_url, release, strict).fault.startswith("GET /up names no commit")


def test_one_that_is_ill_is_told_by_its_status(fresh: Deployment) -> None:
    release = made(fresh, "one")
    ill = POLICY.model_copy(update={"health": "/sick"})

    assert asked(fresh, fresh.candidate_url, release, ill).fault == (
        "GET /sick answered 500: a service that is well answers 2xx"
    )
