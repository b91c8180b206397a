"""The commands that a text prints, each held against the command line that would take it.

A command stands between backticks or goes to the end of its line: so a person knows what to copy, and so does a test.
"""

from __future__ import annotations

import functools
import html
import re
import shlex
from collections.abc import Iterator
from typing import Any

import typer
from _pytest.config import get_config
from _pytest.config.argparsing import Parser

from pytest_deploy.cli import app

_COMMAND = re.compile(r"(?P<quote>`?)(?<![\w./-])(?P<words>python deploy\.py .*|pytest +--deploy-.*)")
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
        if words[0] == "pytest":
            _parse_pytest(words[1:])
        else:
            _parse_deploy_py(words[2:])
    except (typer.BadParameter, ValueError) as error:
        return f"{command}: {error}"
    except SystemExit as error:
        return f"{command}: exits {error.code}"
    except Exception as error:
        if type(error).__module__.startswith(("click", "typer")):
            return f"{command}: {getattr(error, 'message', error)}"
        raise
    return ""


def _parse_deploy_py(words: list[str]) -> None:
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
