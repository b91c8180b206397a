"""The workflows of .github/workflows run for real, on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.github_runner import LOGIN, Runner, on_this_machine
from tests.project_checkout import Checkout


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    with Checkout.open(tmp_path) as checkout:
        on_this_machine(checkout)
        yield Runner.of(checkout)


def seen(runner: Runner, environment: str) -> Checkout:
    """The same checkout, whose record of this environment is read."""
    found = Checkout(runner.checkout.path, runner.checkout.memory, environment)
    found._children = runner.checkout._children
    return found


def assert_verifies(checkout: Checkout) -> None:
    verified = checkout.deploy_py("verify", f"reports/{checkout.environment}")
    assert verified.code == 0, verified.said
    checkout.assert_nothing_runs()


def test_a_push_to_main_deploys_development_and_keeps_a_copy_of_its_record(runner: Runner) -> None:
    ran = runner.run("deploy-development.yml", "push")

    development = seen(runner, "development")
    assert ran.code == 0, ran.said
    assert development.decided()["outcome"] == "deployed"
    assert (runner.checkout.path / LOGIN).is_file(), "the login lay in the workspace, and dirtied nothing"
    (artefact,) = runner.artefacts.iterdir()
    assert artefact.name.startswith("record-development-")
    assert artefact.name.endswith("-1")
    assert (artefact / "runs" / development.last_run() / "report.html").is_file()
    assert_verifies(development)
