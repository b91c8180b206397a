"""The commands that a text prints, each held against the command line that would take it, and whether a shell finds it.

A command stands between backticks or goes to the end of its line: so a person knows what to copy, and so does a test.
"""

from __future__ import annotations

import functools
import html
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from _pytest.config import get_config
from _pytest.config.argparsing import Parser

from pytest_deploy.cli import COMMANDS, app

_PATH = r"[\w./+~@-]*"
_PYTHON = rf"(?:{_PATH}python[\d.]*|'[^'`]*python[\d.]*')"
_PROGRAM = rf"(?:{_PYTHON} {_PATH}deploy\.py|{_PYTHON} -m pytest_deploy|{_PATH}pytest-deploy|'[^'`]*pytest-deploy')"
_PYTEST = rf"(?:{_PYTHON} -m pytest|{_PATH}pytest|'[^'`]*/pytest')"
_NAMES = "|".join(COMMANDS)
_COMMAND = re.compile(
    rf"(?P<quote>`?)(?<![\w./'-])(?<!Usage: )(?P<words>{_PROGRAM} (?=(?:{_NAMES})\b)(?![a-z -]*:).*|{_PYTEST} +--deploy-.*)"
)
"""However it is called; `pytest-deploy keys enroll: say …` begins a refusal and is none."""
_CODE = re.compile("</?code>")
_MARKUP = re.compile(r"\x1b\[[0-9;]*m|<[^>]*>")


def commands_in(text: str) -> list[str]:
    """Each command of this project that a text prints, as a person would copy it."""
    return list(_commands_in(html.unescape(_MARKUP.sub("", _CODE.sub("`", text))).replace("\\\n", " ")))


def _commands_in(text: str) -> Iterator[str]:
    for line in text.splitlines():
        rest = line
        while found := _COMMAND.search(rest):
            words = found["words"]
            if found["quote"]:
                words = words.partition("`")[0]
            yield words.strip()
            rest = rest[found.start("words") + len(words) :]


def fault_of(command: str) -> str:
    """Why the command line would not take a command; empty where it does."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        return f"{command}: {error}"
    try:
        called, rest = _taken_apart(words)
        if Path(called[-1]).name == "pytest":
            _parse_pytest(rest)
        else:
            _parse_program(rest)
    except (typer.BadParameter, ValueError) as error:
        return f"{command}: {error}"
    except SystemExit as error:
        return f"{command}: exits {error.code}"
    except Exception as error:
        if type(error).__module__.startswith(("click", "typer")):
            return f"{command}: {getattr(error, 'message', error)}"
        raise
    return ""


def why_not_found(command: str, folder: Path, path: str, programs: Path) -> str:
    """Why a shell in `folder` would not run the program of the environment `programs`; empty where it would. `path` is its PATH."""
    called, _ = _taken_apart(shlex.split(command))
    first = shutil.which(called[0], path=path) if "/" not in called[0] else str(folder / called[0])
    if first is None or not os.access(first, os.X_OK):
        return f"{command}: no {called[0]} is found"
    if Path(first).parent.resolve() != programs.resolve():
        return f"{command}: {first} is another's"
    script = called[1] if called[1:] and called[1] != "-m" else None
    return f"{command}: there is no {script}" if script is not None and not (folder / script).is_file() else ""


def _taken_apart(words: list[str]) -> tuple[list[str], list[str]]:
    """What calls the program, and what it is given."""
    number = 1
    if Path(words[0]).name.startswith("python"):
        number = 3 if words[1] == "-m" else 2
    return words[:number], words[number:]


def _parse_program(words: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    while hasattr(command, "get_command"):
        name = words.pop(0) if words else ""
        command = command.get_command(typer.Context(command), name)
        if command is None:
            raise ValueError(f"there is no command {name!r}")
    command.make_context(command.name, [*words])
    if command.name == "run" and "--" in words:
        _parse_pytest(["--deploy-env=x", *words[words.index("--") + 1 :]])


def _parse_pytest(words: list[str]) -> None:
    known, unknown = _pytest_parser().parse_known_and_unknown_args(words)
    if unknown or known.file_or_dir:
        raise ValueError(f"not known: {[*unknown, *known.file_or_dir]}")


@functools.cache
def _pytest_parser() -> Parser:
    """Pytest's own options, ours, and those of what else is installed."""
    config = get_config()
    config.pluginmanager.load_setuptools_entrypoints("pytest11")
    return config._parser
