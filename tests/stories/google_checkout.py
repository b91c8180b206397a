"""A checkout of the diary with an environment at Google, whose services are all on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_deploy.platform.infrastructure import StackState
from tests.child_process import Ran
from tests.container_base import use_base_image
from tests.google_cloud import GoogleCloud, google_cloud
from tests.project_checkout import Checkout
from tests.pulumi_project import Project, small_project
from tests.stories.infrastructure_checkout import PROGRAM, infrastructure_section, stack_variables

CLOUD: Final = "cloud"
"""The environment."""
_TIMEOUT_S: Final = 400.0


@dataclass
class AtGoogle:
    """The checkout, and what there is at Google."""

    checkout: Checkout
    google: GoogleCloud
    project: Project | None = None
    """The stack of its infrastructure, where it has one."""

    @property
    def variables(self) -> dict[str, str]:
        """What whoever deploys has in their environment."""
        return {**self.google.variables, **(stack_variables(self.project) if self.project else {})}

    @property
    def state(self) -> StackState:
        """The stack's, as the engine reads it."""
        assert self.project is not None
        return self.project.stack.state(self.checkout.path / PROGRAM)

    def deploy(self, *words: str) -> Ran:
        return self.checkout.run(f"--deploy-env={CLOUD}", *words, env=self.variables, timeout=_TIMEOUT_S)

    def deploy_py(self, *words: str) -> Ran:
        return self.checkout.deploy_py(*words, env=self.variables, timeout=_TIMEOUT_S)

    def set_fault(self, fault: str) -> str:
        """Commit a release with a fault of the service's own; the commit."""
        file = self.checkout.path / "deploy.yaml"
        text = file.read_text(encoding="utf-8")
        place = f"\n  {CLOUD}:\n"
        before, _, after = text.partition(place)
        assert after
        file.write_text(
            f"{before}{place}{after.replace('service: {', f'service: {{env: {{FAULT: {fault}}}, ', 1)}",
            encoding="utf-8",
        )
        return self.checkout.commit("A release that is faulty")


@contextmanager
def checkout_at_google(folder: Path) -> Iterator[AtGoogle]:
    """A fresh checkout, nothing released from it, no infrastructure of its own."""
    with Checkout.open(folder) as checkout, google_cloud(folder / "google") as google:
        _commit_environment(checkout, google.policy(CLOUD))
        yield AtGoogle(checkout, google)


@contextmanager
def checkout_at_google_with_infrastructure(folder: Path) -> Iterator[AtGoogle]:
    """The same, with a stack without resources."""
    with (
        Checkout.open(folder) as checkout,
        google_cloud(folder / "google") as google,
        small_project(folder / "pulumi", checkout.path / PROGRAM) as project,
    ):
        _commit_environment(checkout, google.policy(CLOUD) + infrastructure_section(project))
        yield AtGoogle(checkout, google, project)


def _commit_environment(checkout: Checkout, section: str) -> None:
    checkout.environment = CLOUD
    use_base_image(checkout.path / "examples/diary/Dockerfile")
    file = checkout.path / "deploy.yaml"
    file.write_text(file.read_text(encoding="utf-8") + section, encoding="utf-8")
    checkout.commit("An environment at Google")
