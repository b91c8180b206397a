"""Who answers, and whether it is well: by the revision that serves, and by the answer where policy asks for it."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_deploy.platform.clients import Answer
from pytest_deploy.policy.rollout import Checks, Service
from pytest_deploy.release.health import Health, judge_health
from pytest_deploy.release.live import Release

COMMIT, OTHER = "a" * 40, "b" * 40
REVISION = "parcels-00002-abc"
RELEASE = Release("1.0", COMMIT, "local/parcels@sha256:0", (), revision=REVISION)
CHECKS = Checks(lint=("true",), types=("true",), tests=("true",))


def judge(
    body: Any, *, status: int = 200, names: bool = False, revision: str | None = REVISION, written: str = COMMIT
) -> Health:
    policy = Service(
        name="parcels", source=".", command=("serve",), health="/up", health_names_commit=names, checks=CHECKS
    )
    return judge_health(Answer(status, body, 0.1), revision, written, policy, RELEASE)


@pytest.mark.parametrize("status", [200, 204, 299])
@pytest.mark.parametrize("body", ["", "fine", {"status": "ok"}, {"commit": "short"}, ["commit"], None])
def test_any_2xx_of_the_releases_revision_is_well(status: int, body: object) -> None:
    health = judge(body, status=status)

    assert health.fault == ""
    assert health.expected == {"status": "2xx", "revision": REVISION, "commit": COMMIT, "commit_told_by": "revision"}
    assert health.found == {"status": status, "revision": REVISION, "commit": COMMIT, "commit_told_by": "revision"}


@pytest.mark.parametrize("status", [199, 301, 404, 503])
@pytest.mark.parametrize("names", [False, True])
def test_any_other_status_is_not(status: int, *, names: bool) -> None:
    assert judge({"commit": COMMIT}, status=status, names=names).fault == (
        f"GET /up answered {status}: a service that is well answers 2xx"
    )


@pytest.mark.parametrize("names", [False, True])
@pytest.mark.parametrize("revision, said", [("parcels-00001-old", "parcels-00001-old"), (None, "no single revision")])
def test_another_revision_is_refused_whatever_it_answers(revision: str | None, said: str, *, names: bool) -> None:
    health = judge({"commit": COMMIT}, names=names, revision=revision)

    assert health.fault == f"{said} answers at this address: it should be {REVISION}"
    assert health.found["revision"] == revision


def test_a_revision_that_was_made_of_another_commit_is_refused() -> None:
    assert judge("fine", written=OTHER).fault == f"the revision names the commit '{OTHER}': it should be {COMMIT}"


def test_where_policy_asks_for_it_the_answer_names_the_commit() -> None:
    health = judge({"commit": COMMIT}, names=True, written=OTHER)

    assert health.fault == ""
    assert health.found["commit_told_by"] == "answer"


@pytest.mark.parametrize("body", ["", COMMIT, {"status": "ok"}, {"commit": None}, [{"commit": COMMIT}]])
def test_where_policy_asks_for_it_an_answer_without_a_commit_is_refused_with_what_to_do(body: object) -> None:
    fault = judge(body, names=True).fault

    assert fault.startswith("GET /up names no commit, and service.health_names_commit asks for one: ")
    assert "COMMIT" in fault
    assert "set it to false" in fault


@pytest.mark.parametrize("commit", [OTHER, COMMIT[:7], 7])
def test_where_policy_asks_for_it_another_commit_is_refused(commit: object) -> None:
    assert judge({"commit": commit}, names=True).fault == (
        f"the answer names the commit {commit!r}: it should be {COMMIT}"
    )
