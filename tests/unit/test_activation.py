"""The page of the activation instructions: what it calls tried is run here, and the names in it are those of the specification."""

from __future__ import annotations

import os
import re
import shlex
import subprocess

import pytest

from pytest_deploy.policy.load import environments
from tests.github_runner import SECRETS, WORKFLOWS
from tests.project_checkout import REPOSITORY
from tests.required_programs import path_of

PAGE = (REPOSITORY / "docs" / "activation.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^(Tried|Tried, by `make faults`|Not tried):\n\n((?:    .+\n)+)", PAGE, re.MULTILINE)


def commands(said: str) -> list[str]:
    return [line.strip() for how, block in BLOCKS if how == said for line in block.splitlines()]


@pytest.mark.parametrize("line", commands("Tried"))
def test_what_the_page_calls_tried_ends_well(line: str) -> None:
    program, *words = shlex.split(line)
    program = path_of(program)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}

    ran = subprocess.run(
        [program, *words], cwd=REPOSITORY, env=environ, capture_output=True, text=True, check=False, timeout=120
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_what_make_faults_is_said_to_try_is_there() -> None:
    (line,) = commands("Tried, by `make faults`")

    assert "@pytest.mark.faults" in (REPOSITORY / line.split()[-1]).read_text(encoding="utf-8")


def test_every_command_of_the_page_says_whether_it_was_tried() -> None:
    lines = re.findall(r"^    (\S.*)$", PAGE, re.MULTILINE)

    assert lines == [line.strip() for _, block in BLOCKS for line in block.splitlines()]


def test_each_environment_gets_its_five_of_the_seven_secrets_by_their_names() -> None:
    given = re.findall(r"^    gh secret set (\w+) --env (\w+)$", PAGE, re.MULTILINE)
    of = {"development": "DEV", "staging": "STAGING", "production": "PROD"}
    everywhere = {name for name in SECRETS if not name.startswith("DOPPLER_")}

    assert {name for name, _ in given} == set(SECRETS)
    assert set(of) <= set(environments(REPOSITORY / "deploy.yaml"))
    for environment, short in of.items():
        assert {name for name, at in given if at == environment} == {*everywhere, f"DOPPLER_TOKEN_{short}"}
        assert re.search(rf"--method PUT repos/\{{owner\}}/\{{repo\}}/environments/{environment} ", PAGE)


def test_the_variables_that_the_page_sets_are_those_that_the_workflows_read() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in WORKFLOWS.glob("*.yml"))

    assert set(re.findall(r"gh variable set (\w+)", PAGE)) == set(re.findall(r"vars\.(\w+)", text))


def test_every_workflow_stands_in_the_table() -> None:
    assert re.findall(r"^\| `([a-z-]+\.yml)` \|", PAGE, re.MULTILINE) == [
        "deploy-development.yml", "deploy-staging.yml", "deploy-production.yml", "rollback.yml", "recover.yml",
    ]  # fmt: skip


def test_the_specifications_own_rollback_command_is_on_the_page() -> None:
    specification = (REPOSITORY / "spec" / "ops-deployment-automation.md").read_text(encoding="utf-8")
    written = re.search(r"^gh workflow run rollback\.yml (?:.*\\\n)+.*$", specification, re.MULTILINE)

    assert written is not None
    assert " ".join(written.group().replace("\\\n", "").split()) in PAGE
