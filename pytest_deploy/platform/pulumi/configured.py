"""The stack that an environment's policy names, as one of its platform's parts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pytest_deploy.errors import PlatformUnavailable
from pytest_deploy.platform.infrastructure import NoInfrastructure
from pytest_deploy.platform.protocol import Infrastructure
from pytest_deploy.platform.pulumi.settings import StackSettings
from pytest_deploy.platform.pulumi.stack import PulumiStack
from pytest_deploy.policy.policy import Policy
from pytest_deploy.record.programs import system_program

NONE: Final = NoInfrastructure("deploy.yaml names no infrastructure for this environment")
LEFT_ALONE: Final = NoInfrastructure("a rehearsal, or a setting, leaves the environment's infrastructure alone")


def infrastructure_of(
    policy: Policy, root: Path, variables: Mapping[str, str] = os.environ
) -> Infrastructure | NoInfrastructure:
    """The environment's stack; asks nothing of it yet.

    Args:
        policy: the environment's.
        root: the folder of deploy.yaml.
        variables: of this process; what `infrastructure.variables` names is taken from them.

    Raises:
        PlatformUnavailable: a variable that policy names is not set or empty, or Pulumi is not installed.
    """
    given = policy.infrastructure
    if given is None:
        return LEFT_ALONE if policy.replaced("infrastructure") else NONE
    if lacking := [name for name in given.variables if not variables.get(name)]:
        raise PlatformUnavailable(
            f"infrastructure.variables of deploy.yaml names {', '.join(lacking)}, which {'is' if len(lacking) == 1 else 'are'} not set, "
            "or empty: set it where the deployment is started, or take the name out"
        )
    return PulumiStack(
        StackSettings(
            stack=given.stack,
            backend=given.backend,
            pulumi=Path(given.pulumi or _installed()),
            python=root / given.python,
            environment={name: variables[name] for name in given.variables},
        )
    )


def _installed() -> str:
    try:
        return system_program("pulumi")
    except FileNotFoundError:
        raise PlatformUnavailable(
            "Pulumi's command-line program is not installed: install it, or say where it is (infrastructure.pulumi)"
        ) from None
