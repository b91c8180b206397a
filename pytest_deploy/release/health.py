"""Whether the service is well and which release answers, held against the release that should.

A service is well that answers any 2xx, and whose answer, where it is a JSON object with a `status`, does not say otherwise. Which release it is, is known in two ways: the address leads to one revision, which the
platform names, with the commit that the pipeline wrote on it; and the service may say its commit itself, where policy asks for
it (`service.health_names_commit`). What was compared stands in `expected` and `found`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pytest_deploy.platform.clients import Answer, Service
from pytest_deploy.platform.protocol import Runtime
from pytest_deploy.policy.rollout import Service as ServicePolicy
from pytest_deploy.record.plain_text import encodable, repr_of, shortened
from pytest_deploy.release.live import Release

_COMMIT_BYTES: Final = 300
"""Of what an answer gives as its commit; a real one has 40 letters."""
_STATUS_BYTES: Final = 200


@dataclass(frozen=True)
class Health:
    """What health answered, and what it should have."""

    expected: Mapping[str, Any]
    """Status, revision and commit, for the record."""
    found: Mapping[str, Any]
    """The same as found, and by what the commit was told."""
    fault: str
    """What is wrong and what to do; empty where nothing is."""
    identity_fault: str = ""
    """What of it says that another release answers, or none that is known; empty where nothing does."""


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
    body = answer.body if isinstance(answer.body, Mapping) else {}
    named = body.get("commit")
    if isinstance(named, str | Mapping | list):
        named = shortened(encodable(named) if isinstance(named, str) else repr_of(named), _COMMIT_BYTES)
    commit, told_by = (named, "answer") if policy.health_names_commit else (written_commit, "revision")
    expected = {"status": "2xx", "revision": release.revision, "commit": release.commit, "commit_told_by": told_by}
    found = {"status": answer.status, "revision": revision, "commit": commit, "commit_told_by": told_by}
    asked = f"GET {policy.health}"
    identity_fault = ""
    if not revision or revision != release.revision:
        identity_fault = f"{revision or 'no single revision'} answers at this address: it should be {release.revision}"
    elif not answer.ok:
        pass  # what says no 2xx need not say its commit
    elif policy.health_names_commit and named is None:
        identity_fault = (
            f'{asked} names no commit, and service.health_names_commit asks for one: answer a JSON object with "commit", '
            "the value of the variable COMMIT; or set it to false: the revision that answers is known all the same"
        )
    elif commit != release.commit:
        identity_fault = f"the {told_by} names the commit {commit!r}: it should be {release.commit}"
    if not answer.ok:
        fault = f"{asked} answered {answer.status}: a service that is well answers 2xx"
    elif "status" in body and not _says_well(body["status"], policy.health_words):
        said = shortened(repr_of(body["status"]), _STATUS_BYTES)
        fault = (
            f"{asked} answered {answer.status} with the status {said}: a service that is well says one of "
            f"{', '.join(policy.health_words)}; service.health_words names what yours says"
        )
        found["says"] = said
    else:
        fault = identity_fault
    return Health(expected, found, fault, identity_fault)


def _says_well(status: object, words: Collection[str]) -> bool:
    """Whether this is one of the words, true, or a 2xx."""
    match status:
        case str():
            return status.strip().lower() in words
        case bool():
            return status
        case int():
            return status // 100 == 2  # noqa: PLR2004  # as RFC 9110 names the class
        case _:
            return False
