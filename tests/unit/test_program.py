"""A command that is printed works where it is pasted, however the program was called; what is kept says `pytest-deploy`."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pytest_deploy import program
from pytest_deploy.program import as_called, called

OURS = "from pytest_deploy.cli import main\n\nif __name__ == '__main__':\n    main()\n"
SAYS = """
def pytest_terminal_summary(terminalreporter):
    import os
    from pytest_deploy.program import as_called
    terminalreporter.write_line(as_called("told  `pytest-deploy steps` `pytest --deploy-env=x`"))
    terminalreporter.write_line(f"left  {os.environ.get('DEPLOY_CALLED_AS', 'nothing')}")
"""
"""A project whose pytest says two commands in its summary, and what is left of what was handed down."""
HERE = str(Path(sys.executable).parent)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project in a path that a shell takes apart, with the environment of these tests as its `.venv`."""
    made = tmp_path / "ours & ümlaut"
    made.mkdir()
    (made / ".venv").symlink_to(sys.prefix)
    (made / "pyproject.toml").write_text('[tool.pytest]\naddopts = ["-p", "no:cacheprovider"]\n', encoding="utf-8")
    (made / "conftest.py").write_text(SAYS, encoding="utf-8")
    (made / "test_it.py").write_text("def test_it(): pass\n", encoding="utf-8")
    return made


def typed(folder: Path, line: str, *, active: bool = False, **variables: str) -> subprocess.CompletedProcess[str]:
    """A line as a shell in `folder` takes it. `active`: the environment's programs are on PATH."""
    path = [f"{folder}/.venv/bin"] if active else []
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environ = {**kept, "PATH": os.pathsep.join([*path, "/usr/bin", "/bin"]), **variables}
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize(
    "line, active, called_as",
    [
        ("pytest-deploy", True, "pytest-deploy"),
        (".venv/bin/pytest-deploy", False, ".venv/bin/pytest-deploy"),
        (".venv/bin/pytest-deploy", True, "pytest-deploy"),
        (f"{HERE}/pytest-deploy", False, f"{HERE}/pytest-deploy"),
        ('"$PWD"/.venv/bin/pytest-deploy', False, ".venv/bin/pytest-deploy"),
        ("cd .venv && bin/pytest-deploy", False, "bin/pytest-deploy"),
        ("python deploy.py", True, "python deploy.py"),
        ("python3 deploy.py", True, "python3 deploy.py"),
        (".venv/bin/python ./deploy.py", False, ".venv/bin/python ./deploy.py"),
        (".venv/bin/python -X dev deploy.py", True, ".venv/bin/python deploy.py"),
        (f"{HERE}/python deploy.py", False, f"{HERE}/python deploy.py"),
        (".venv/bin/python 'release it.py'", False, ".venv/bin/python 'release it.py'"),
        ("python -m pytest_deploy", True, "python -m pytest_deploy"),
        (".venv/bin/python -m pytest_deploy", False, ".venv/bin/python -m pytest_deploy"),
    ],
)
def test_a_command_is_named_as_it_was_called_and_so_it_can_be_pasted(
    folder: Path, line: str, called_as: str, *, active: bool
) -> None:
    for name in ("deploy.py", "release it.py"):
        (folder / name).write_text(OURS, encoding="utf-8")

    refused = typed(folder, f"{line} steps", active=active)
    told = refused.stderr.removesuffix(": say --write or --check\n")
    help_text = typed(folder, f"{line} steps --help", active=active)
    inside = line.partition("&& ")[0] + "&& " if "&& " in line else ""

    assert (refused.returncode, told) == (4, f"{called_as} steps")
    assert typed(folder, f"{inside}{told}", active=active).stderr == refused.stderr
    assert f"Usage: {called_as} steps" in help_text.stdout


@pytest.mark.parametrize(
    "line, active, script, called_as, again",
    [
        (".venv/bin/python -m pytest", False, OURS, ".venv/bin/python deploy.py", ".venv/bin/python -m pytest"),
        (".venv/bin/python -m pytest", False, "", ".venv/bin/pytest-deploy", ".venv/bin/python -m pytest"),
        (".venv/bin/python -m pytest", False, "import fabric", ".venv/bin/pytest-deploy", ".venv/bin/python -m pytest"),
        (".venv/bin/pytest", False, OURS, f"{HERE}/python deploy.py", ".venv/bin/pytest"),
        ("pytest -n 2", True, OURS, "python deploy.py", "pytest"),
        ("pytest", True, "", "pytest-deploy", "pytest"),
        ("python -m pytest -n 2", True, "", "pytest-deploy", "python -m pytest"),
    ],
)
def test_a_session_of_pytest_names_the_program_that_lies_with_it(
    folder: Path, line: str, script: str, called_as: str, again: str, *, active: bool
) -> None:
    if script:
        (folder / "deploy.py").write_text(script, encoding="utf-8")

    ran = typed(folder, line, active=active)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"told  `{called_as} steps` `{again} --deploy-env=x`\n" in ran.stdout
    assert typed(folder, f"{called_as} steps", active=active).stderr == f"{called_as} steps: say --write or --check\n"


@pytest.mark.parametrize(
    "handed_down",
    [
        "",
        "pytest-deploy",
        "[]",
        '{"program": ["sh"]}',
        '{"program": ["sh"], "pytest": []}',
        '{"program": ["sh"], "pytest": ["sh", 1]}',
        '{"program": ["sh", "a\\u001b[2Kb"], "pytest": ["sh"]}',
        '{"program": ["no-such-program"], "pytest": ["sh"]}',
        '{"program": "sh", "pytest": "sh"}',
        json.dumps({"program": ["sh", "x" * 5000], "pytest": ["sh"]}),
    ],
)
def test_what_was_handed_down_and_is_malformed_is_ignored(handed_down: str) -> None:
    assert program._read(handed_down) is None


def test_what_is_malformed_leaves_what_the_process_itself_tells(folder: Path) -> None:
    ran = typed(
        folder, ".venv/bin/python -m pytest", DEPLOY_CALLED_AS='{"program": ["no-such-program"], "pytest": ["sh"]}'
    )

    assert "told  `.venv/bin/pytest-deploy steps` `.venv/bin/python -m pytest --deploy-env=x`\n" in ran.stdout
    assert "left  nothing\n" in ran.stdout


def test_what_was_handed_down_is_said_by_the_child_and_by_no_child_of_it(folder: Path) -> None:
    given = json.dumps({"program": ["sh", "our deploy"], "pytest": ["sh", "-c", "pytest"]})

    ran = typed(folder, ".venv/bin/python -m pytest", DEPLOY_CALLED_AS=given)

    assert "told  `sh 'our deploy' steps` `sh -c pytest --deploy-env=x`\n" in ran.stdout
    assert "left  nothing\n" in ran.stdout


def test_a_deployment_that_run_starts_names_the_program_that_was_typed(folder: Path) -> None:
    """It becomes another process, of an interpreter that nobody typed."""
    (folder / "conftest.py").unlink()

    ran = typed(folder, ".venv/bin/pytest-deploy run x -- --collect-only")

    assert ran.stdout.splitlines()[0].endswith("-m pytest --deploy-env=x --deploy-pipeline=deploy --collect-only")
    assert ran.returncode == 4, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    "text",
    [
        "`{program} show x`",
        "see `{program} show x`, then `{program} recover local`",
        "approve   {program} approve x",
        "$ {program} verify reports/local",
        "{program} keys enroll: say --reason",
        "two lines\n{program} show x",
        "run       {pytest} --deploy-env=local",
    ],
)
def test_commands_are_said_as_called_wherever_they_stand(text: str) -> None:
    call = called()

    said = as_called(text.format(program="pytest-deploy", pytest="pytest"))

    assert said == text.format(program=shlex.join(call.program), pytest=shlex.join(call.pytest))


@pytest.mark.parametrize(
    "text",
    [
        "Made by pytest-deploy, which supports 21 CFR Part 11 records",
        "pip install 'pytest-deploy[local]'",
        "/opt/pytest-deploy show x",
        "the reason: pytest-deploy recover was not there",
        "see `pytest --help`",
        "`python deploy.py recover local`, as an older version recorded it",
    ],
)
def test_what_is_no_command_of_ours_stays_as_it_is(text: str) -> None:
    assert as_called(text) == text


def test_nothing_is_kept_of_how_the_program_was_called() -> None:
    """What is built for the record says the same in every process."""
    asked = "from pytest_deploy.workspace import program_command as p; print(p('approve', 'x', '--role', 'QA Lead'))"
    found = {
        subprocess.run([sys.executable, "-c", asked], cwd=place, capture_output=True, text=True, check=True).stdout
        for place in ("/", Path.cwd())
    }

    assert found == {"pytest-deploy approve x --role 'QA Lead'\n"}
    assert not re.search(r"python|deploy\.py", found.pop())


def test_what_an_interpreter_needs_is_what_the_package_depends_on() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {re.split(r"[\[>=]", one)[0] for one in project["dependencies"]} - {"pytest", "tzdata"}
    modules = {"pytest-xdist": "xdist", "pyyaml": "yaml"}
    assert {modules.get(name, name.replace("-", "_")) for name in wanted} == set(program._NEEDED)
    assert program.wrong_interpreter() == ""
