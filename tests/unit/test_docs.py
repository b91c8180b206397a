"""README names every option, marker, hook, fixture, command and error class there is; nothing is found out by reading code."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_deploy import errors
from pytest_deploy.cli import app
from pytest_deploy.plugin import fixtures, hookspecs, plugin

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CLAUSES = (ROOT / "docs/part11.md").read_text(encoding="utf-8")


def options() -> list[str]:
    said = subprocess.run(
        [sys.executable, "-m", "pytest", "--help"], capture_output=True, text=True, check=True, timeout=60, cwd=ROOT
    )
    return sorted(set(re.findall(r"--deploy-[a-z]+", said.stdout)))


def test_every_option_is_in_the_readme() -> None:
    found = options()

    assert found
    assert [option for option in found if option not in README] == []


@pytest.mark.parametrize("marker", [marker.partition("(")[0] for marker in plugin.MARKERS])
def test_every_marker_is_in_the_readme(marker: str) -> None:
    assert f"@pytest.mark.{marker}(" in README


@pytest.mark.parametrize("hook", [name for name in vars(hookspecs) if name.startswith("pytest_deploy_")])
def test_every_hook_is_in_the_readme_with_its_parameters(hook: str) -> None:
    parameters = ", ".join(inspect.signature(getattr(hookspecs, hook)).parameters)

    assert f"`{hook}({parameters})`" in README


@pytest.mark.parametrize(
    "fixture", [name for name, found in vars(fixtures).items() if "fixture" in type(found).__name__.lower()]
)
def test_every_fixture_is_in_the_readme(fixture: str) -> None:
    assert f"| `{fixture}` |" in README


@pytest.mark.parametrize(
    "command", [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
)
def test_every_command_is_in_the_readme(command: str) -> None:
    assert re.search(rf"`{command}[ `]", README)


@pytest.mark.parametrize(
    "name, code",
    [
        (name, found.exit_code)
        for name, found in vars(errors).items()
        if inspect.isclass(found) and issubclass(found, errors.DeployError)
    ],
)
def test_every_error_class_is_in_the_readme_with_its_exit_code(name: str, code: int) -> None:
    row = next(line for line in README.splitlines() if line.startswith(f"| `{name}`"))

    assert name == "Faults" or row.split("|")[2].strip() == str(code)


@pytest.mark.parametrize(
    "name",
    [name for name, found in vars(errors).items() if inspect.isclass(found) and issubclass(found, errors.DeployError)],
)
def test_every_error_class_is_drawn_in_the_tree(name: str) -> None:
    assert name == "Faults" or re.search(rf"\b{name}\b", errors.__doc__ or "")


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", README))
def test_every_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_the_product_supports_part_11_and_claims_no_compliance() -> None:
    texts = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "pytest_deploy").rglob("*.py")]

    assert [
        path.name
        for path in texts
        if re.search(r"\bis (fully )?compliant\b", path.read_text(encoding="utf-8").replace('never "is compliant"', ""))
    ] == []


def test_every_test_that_a_clause_is_shown_by_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", CLAUSES))
    written = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))

    assert len(named) > 40
    assert [name for name in sorted(named) if f"def {name}(" not in written] == []
