"""An environment at Google: signed in, reachable, permitted. It is asked as it is, not as it is rehearsed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from pytest_deploy.doctor.fact import Fact, Setup
from pytest_deploy.errors import Refused
from pytest_deploy.platform.database_address import address_of
from pytest_deploy.platform.environment import read_kms_key, require_google_packages


def at_google(setup: Setup) -> Iterator[Fact]:
    """What a deployment to it needs, a fact each; nothing where the environment is on this machine."""
    policy = setup.real_policy
    if policy is None or policy.platform.kind != "google":
        return
    try:
        require_google_packages()
    except Refused as error:
        yield Fact("packages", "wrong", str(error))
        return
    from pytest_deploy.platform.google.readiness import findings

    kms = partial(read_kms_key, policy)
    for found in findings(policy, address=address_of(policy.database), kms=kms):
        yield Fact(found.name, found.state, found.words)
