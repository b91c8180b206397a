"""Whether a release can become a container here: asked where `platform.runtime` is container."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_deploy.doctor.fact import Fact, Setup
from pytest_deploy.errors import DeployError
from pytest_deploy.platform.containers.builder import CONTAINERFILES, find_podman


def containers(setup: Setup) -> Iterator[Fact]:
    """Podman is there, and the service's folder says what its image is made of."""
    policy = setup.policy
    if policy is None or policy.platform.runtime != "container":
        return
    try:
        yield Fact("containers", "right", f"podman: {find_podman().program}")
    except DeployError as error:
        yield Fact("containers", "wrong", str(error))
    folder = setup.root / policy.service.source
    found = next((name for name in CONTAINERFILES if (folder / name).is_file()), None)
    if found is None:
        names = " and no ".join(CONTAINERFILES)
        yield Fact(
            "containers",
            "wrong",
            f"{policy.service.source} holds no {names}",
            "write one, or set platform.runtime: process",
        )
    else:
        yield Fact("containers", "right", f"the image is built from {found}; service.command is not used")
