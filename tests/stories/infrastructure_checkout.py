"""A checkout whose environment has infrastructure: a small Pulumi program in it, the real engine, a stand-in for Google's plug-in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_deploy.platform.infrastructure import StackState
from tests.child_process import Ran, Running
from tests.project_checkout import QUICK, Checkout
from tests.pulumi_project import STACK, Project, small_project

PROGRAM: Final = "under"
APPLIED: Final = "pytest_deploy/suites/deploy/test_deploy.py::test_infrastructure_is_as_approved"
SECOND_BUCKET: Final = """
storage.Bucket("uploads", name="uploads", project="example-diary-test", location="US-EAST4", storage_class="STANDARD")
"""
NEARLINE: Final = ('"STANDARD")', '"NEARLINE")')
"""What makes the first bucket another one, without making it anew."""
_TIMEOUT_S: Final = 300.0


@dataclass
class WithInfrastructure:
    """The checkout, and what there is at Google."""

    checkout: Checkout
    project: Project

    @property
    def program(self) -> Path:
        return self.checkout.path / PROGRAM

    @property
    def state(self) -> StackState:
        """The stack's, as the engine reads it."""
        return self.project.stack.state(self.program)

    @property
    def buckets(self) -> list[str]:
        """Names of the buckets that there are."""
        return sorted(id_ for _, id_ in self.project.google.resources)

    def change(self, old: str, new: str) -> str:
        """Commit a change of the program; the commit."""
        return change_program(self.checkout, old, new)

    def add(self, text: str = SECOND_BUCKET) -> str:
        """Commit one resource more; the commit."""
        file = self.program / "__main__.py"
        file.write_text(file.read_text(encoding="utf-8") + text, encoding="utf-8")
        return self.checkout.commit("one resource more")

    def deploy(self, *words: str) -> Ran:
        return self.checkout.deploy(*words, env=self.variables, timeout=_TIMEOUT_S)

    def start(self, *words: str) -> Running:
        return self.checkout.start("--deploy-env=local", *QUICK, *words, env=self.variables)

    def deploy_py(self, *words: str) -> Ran:
        return self.checkout.deploy_py(*words, env=self.variables, timeout=_TIMEOUT_S)

    @property
    def variables(self) -> dict[str, str]:
        """What deploy.yaml names under `variables`."""
        return stack_variables(self.project)


def infrastructure_section(project: Project) -> str:
    """What an environment of deploy.yaml says of this stack."""
    settings = project.stack.settings
    section = [
        "    infrastructure:",
        f"      program: {PROGRAM}",
        f"      stack: {STACK}",
        f"      backend: {settings.backend}",
        f"      python: {settings.python}",
        f"      pulumi: {settings.pulumi}",
        "      variables: [PULUMI_CONFIG_PASSPHRASE, PULUMI_GCP_STAND_IN, PULUMI_HOME]",
    ]
    return "\n".join(section) + "\n"


def change_program(checkout: Checkout, old: str, new: str) -> str:
    """Commit a change of the program; the commit."""
    file = checkout.path / PROGRAM / "__main__.py"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    return checkout.commit("the infrastructure is another")


def stack_variables(project: Project) -> dict[str, str]:
    """What that section names under `variables`."""
    settings = project.stack.settings
    return {**settings.environment, "PULUMI_HOME": str(settings.home)}


@contextmanager
def checkout_with_infrastructure(folder: Path) -> Iterator[WithInfrastructure]:
    """A fresh checkout, nothing deployed, whose environment `local` has a stack without resources."""
    with (
        Checkout.open(folder) as checkout,
        small_project(folder / "pulumi", checkout.path / PROGRAM) as project,
    ):
        file = checkout.path / "deploy.yaml"
        text = file.read_text(encoding="utf-8")
        place = "  local:\n"
        assert text.count(place) == 1
        file.write_text(text.replace(place, place + infrastructure_section(project)), encoding="utf-8")
        checkout.commit("the environment has infrastructure")
        yield WithInfrastructure(checkout, project)
