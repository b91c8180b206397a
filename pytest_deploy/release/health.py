"""Whether the service is well and which release answers, held against the release that should.

A service is well that answers any 2xx. Which release it is, is known in two ways: the address leads to one revision, which the
platform names, with the commit that the pipeline wrote on it; and the service may say its commit itself, where policy asks for
it (`service.health_names_commit`). What was compared stands in `expected` and `found`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_deploy.platform.clients import Answer, Service
from pytest_deploy.platform.protocol import Runtime
from pytest_deploy.policy.rollout import Service as ServicePolicy
from pytest_deploy.release.live import Release


@dataclass(frozen=True)
class Health:
    """What health answered, and what it should have."""

    expected: Mapping[str, Any]
    """Status, revision and commit, for the record."""
    found: Mapping[str, Any]
    """The same as found, and by what the commit was told."""
    fault: str
    """What is wrong and what to do; empty where nothing is."""


def ask_health(service: Service, policy: ServicePolicy, release: Release, runtime: Runtime) -> Health:
    """Ask the service at its address whether it is well, and the platform which revision answers there.

    Args:
        service: at the address that is asked.
        policy: the policy's section `service`.
        release: the one that should answer.
        runtime: the platform's side of the service.

    Raises:
        PlatformUnavailable: no answer within 30 s, or none from the platform.
    """
    answer = service.call("GET", policy.health)
    revision = runtime.state().revision_at(service.url)
    written = "" if revision is None else runtime.revision(revision).annotations.get("deploy.commit", "")
    return judge_health(answer, revision, written, policy, release)


def judge_health(
    answer: Answer, revision: str | None, written_commit: str, policy: ServicePolicy, release: Release
) -> Health:
    """The same of values: `written_commit` is the one that the pipeline wrote on the revision when it made it."""
    named = answer.body.get("commit") if isinstance(answer.body, Mapping) else None
    commit, told_by = (named, "answer") if policy.health_names_commit else (written_commit, "revision")
    expected = {"status": "2xx", "revision": release.revision, "commit": release.commit, "commit_told_by": told_by}
    found = {"status": answer.status, "revision": revision, "commit": commit, "commit_told_by": told_by}
    asked = f"GET {policy.health}"
    if not answer.ok:
        fault = f"{asked} answered {answer.status}: a service that is well answers 2xx"
    elif not revision or revision != release.revision:
        fault = f"{revision or 'no single revision'} answers at this address: it should be {release.revision}"
    elif policy.health_names_commit and named is None:
        fault = (
            f'{asked} names no commit, and service.health_names_commit asks for one: answer a JSON object with "commit", '
            "the value of the variable COMMIT; or set it to false: the revision that answers is known all the same"
        )
    elif commit != release.commit:
        fault = f"the {told_by} names the commit {commit!r}: it should be {release.commit}"
    else:
        fault = ""
    return Health(expected, found, fault)
