"""Every command that the product prints can be pasted as it is: whole, quoted, and one that the command line takes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import pytest_deploy
from pytest_deploy.approvals.roster import Person, Roster, enroll_command
from pytest_deploy.cli import COMMANDS, app
from pytest_deploy.errors import UsageError
from pytest_deploy.workspace import NOT_SAID, Workspace, program_command, verify_command
from tests.printed_commands import commands_in, fault_of

PACKAGE = Path(pytest_deploy.__file__).parent
REHEARSAL = Workspace(Path("/srv/check out"), "production", rehearsal=True)
TINA = Person("tina@example.org", "Tina Tech", ("Tech Lead", "QA Lead"), 7, "tina", ("tina@example.org", "t@x.org"))
NOBODY = Roster({}, ())
BUILT_BY = {"program_command", "command_line"}
"""What makes a command: `workspace.program_command`, and `Workspace.command_line`, which adds the environment."""
ANY = "1"
"""In the place of a word that is known when the product runs: a path, a name, a number."""
_OF_A_COMMAND = re.compile(
    rf"deploy\.py|pytest-deploy (?=(?:{'|'.join(COMMANDS)})\b)(?![a-z -]*(?::|$))|pytest --deploy"
)
"""A command inside a text; `pytest-deploy sign-off: say …` begins a refusal and is none."""


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


RECOGNISES = "program.py"
"""The one module that knows how the program may be called."""


def texts(module: ast.Module) -> Iterator[ast.Constant]:
    """The texts of a module that are no docstrings, of anything."""
    told = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node


def built(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Each command that a module builds, with its line; what is not known before it runs is ANY."""
    of_environment = Workspace(Path(), "local", rehearsal=True).command_line
    for node in ast.walk(module):
        if (
            isinstance(node, ast.Call)
            and (name := getattr(node.func, "attr", getattr(node.func, "id", ""))) in BUILT_BY
        ):
            words = [
                str(word.value) if isinstance(word, ast.Constant) else ANY
                for word in node.args
                if not isinstance(word, ast.Starred)
            ]
            yield node.lineno, program_command(*words) if name == "program_command" else of_environment(*words)


BUILDERS = {"workspace.py", "approvals/roster.py"}
"""Modules whose functions build a command of words they are given; the commands themselves are held below."""
BUILT = [
    (f"{name}:{line}", command) for name, module in modules() if name not in BUILDERS for line, command in built(module)
]


def test_no_text_holds_a_command_that_nothing_built() -> None:
    """Written out by hand it would lack its quotes, or its --rehearse."""
    found = {
        f"{name}:{text.lineno}: {text.value!r}"
        for name, module in modules()
        if name != RECOGNISES
        for text in texts(module)
        if _OF_A_COMMAND.search(str(text.value))
    }

    assert sorted(found) == []


def test_commands_are_built_everywhere() -> None:
    assert len(BUILT) > 20


@pytest.mark.parametrize("place, command", BUILT)
def test_a_built_command_is_one_that_the_command_line_takes(place: str, command: str) -> None:
    assert fault_of(command) == "", place


@pytest.mark.parametrize(
    "command",
    [
        verify_command(Path("reports/local")),
        verify_command(Path("a folder/store")),
        enroll_command(REHEARSAL, NOBODY),
        enroll_command(REHEARSAL, NOBODY, "tina@example.org"),
        enroll_command(REHEARSAL, NOBODY, known=TINA),
    ],
)
def test_a_command_of_many_words_is_one_that_the_command_line_takes(command: str) -> None:
    assert fault_of(command) == ""


def test_a_command_is_quoted_and_says_that_it_is_of_a_rehearsal() -> None:
    assert program_command("approve", "x", "--role", "QA Lead") == "pytest-deploy approve x --role 'QA Lead'"
    assert REHEARSAL.command_line("keys list", "--x") == "pytest-deploy keys list production --rehearse --x"
    assert replace(REHEARSAL, rehearsal=False).command_line("recover") == "pytest-deploy recover production"
    assert "--name 'Tina Tech' --role 'Tech Lead' --role 'QA Lead' --github 7" in enroll_command(
        REHEARSAL, NOBODY, known=TINA
    )


@pytest.mark.parametrize("workspace", [REHEARSAL, replace(REHEARSAL, rehearsal=False)])
def test_a_store_leads_back_to_whose_it_is(workspace: Workspace) -> None:
    assert Workspace.of_store(workspace.store) == workspace


def test_a_store_in_a_checkout_is_verified_by_its_name_there_and_any_other_by_its_path() -> None:
    assert verify_command(REHEARSAL.store) == "pytest-deploy verify reports/rehearsal/production"
    assert verify_command(Path("/srv/a copy")) == "pytest-deploy verify '/srv/a copy'"


@pytest.mark.parametrize(
    "words",
    [
        ("thaw", "local", "--reason", NOT_SAID),
        ("annotate", "local", "1", "--note", NOT_SAID),
        ("keys", "enroll", "local", "--person", NOT_SAID, "--name", "T", "--public-key", "x", "--reason", "y"),
        ("keys", "enroll", "local", "--person", "t@x.org", "--name", NOT_SAID, "--public-key", "x", "--reason", "y"),
        ("keys", "enroll", "local", "--person", "t@x.org", "--name", "T", "--public-key", "x", "--reason", NOT_SAID),
    ],
)
def test_what_only_a_person_can_say_is_asked_for_and_not_recorded(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="say --"):
        app([*words, *(["--yes"] if words[0] != "keys" else [])], standalone_mode=False)


@pytest.mark.parametrize("page", sorted((PACKAGE / "reports" / "pages").iterdir()), ids=lambda page: page.name)
def test_a_command_of_a_page_is_one_that_the_command_line_takes(page: Path) -> None:
    text = re.sub(r"\{\{.*?\}\}", ANY, page.read_text(encoding="utf-8"))

    assert [fault for command in commands_in(text) if (fault := fault_of(command))] == []


@pytest.mark.parametrize(
    "command, fault",
    [
        ("python deploy.py recover local", ""),
        ("python deploy.py approve run --role 'QA Lead'", ""),
        ("python deploy.py run staging -- --deploy-at=2026-11-23T15:00:00Z", ""),
        ("pytest --deploy-env=local --deploy-run=x -n 2", ""),
        ("'/srv/a b/bin/pytest-deploy' recover local", ""),
        (".venv/bin/python -m pytest --deploy-env=local", ""),
        ("python3 -m pytest_deploy recover local", ""),
        ("pytest-deploy recoup local", "no command 'recoup'"),
        (".venv/bin/python -m pytest --deploy-env=local QA", "not known: ['QA']"),
        ("python deploy.py recover", "Missing parameter: env"),
        ("python deploy.py approve run --role QA Lead", "unexpected extra argument"),
        ("python deploy.py verify reports/'local", "No closing quotation"),
        ("python deploy.py recoup local", "no command 'recoup'"),
        ("python deploy.py run staging -- --deploy-att=x", "not known: ['--deploy-att=x']"),
        ("pytest --deploy-env=local QA", "not known: ['QA']"),
    ],
)
def test_what_holds_commands_against_the_command_line_tells_them_apart(command: str, fault: str) -> None:
    assert fault in fault_of(command) if fault else fault_of(command) == ""


@pytest.mark.parametrize(
    "told, commands",
    [
        ("see `pytest-deploy show x` first", ["pytest-deploy show x"]),
        ("see `'/srv/ä b/bin/python' deploy.py show x`", ["'/srv/ä b/bin/python' deploy.py show x"]),
        ("$ .venv/bin/pytest-deploy verify reports/local", [".venv/bin/pytest-deploy verify reports/local"]),
        ("run       .venv/bin/python -m pytest --deploy-env=x", [".venv/bin/python -m pytest --deploy-env=x"]),
        ("pytest-deploy keys enroll: say --reason", []),
        ("Made by pytest-deploy, which supports", []),
        ("Usage: pytest-deploy keys [OPTIONS]", []),
    ],
)
def test_a_command_is_known_however_the_program_is_called(told: str, commands: list[str]) -> None:
    assert commands_in(told) == commands


def test_a_command_stands_between_backticks_or_ends_its_line() -> None:
    told = (
        "see `python deploy.py show x`; then: python deploy.py recover local\nrun  pytest --deploy-env=local\ndeploy.py"
    )

    assert commands_in(told) == [
        "python deploy.py show x",
        "python deploy.py recover local",
        "pytest --deploy-env=local",
    ]
