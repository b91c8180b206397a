"""How this program was called, so that a command that is printed works where it is pasted: in the shell that printed it.

Commands are built, recorded and reported as `pytest-deploy …` and `pytest --deploy-…`: what is kept for years tells nothing of
the path of a day. `as_called` says them as this program was called; it stands where a text leaves for a terminal. Who starts a
child that prints hands down what was typed (`hand_down`); all else is read from this process itself.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

NAME: Final = "pytest-deploy"
"""The console script, and what the record calls the program."""
_HANDED_DOWN: Final = "DEPLOY_CALLED_AS"
"""Tells a child how the first process was called; taken out of the environment by who reads it, so no step sees it."""
_CHECKOUT_SCRIPT: Final = "deploy.py"
_ITS_IMPORT: Final = "pytest_deploy.cli"
"""A script of that name is this program's where it says so."""
_LONGEST: Final = 4096
_AT_ITS_BEGIN: Final = r"^|(?<=`)|(?<=  )|(?<=^\$ )"
"""A command begins a line, stands between backticks, behind the name of a fact, or behind a prompt."""
_COMMAND: Final = re.compile(
    rf"(?:{_AT_ITS_BEGIN})(?:(?P<program>{NAME})(?= [a-z])|(?P<pytest>pytest)(?= +--deploy-))", re.MULTILINE
)


@dataclass(frozen=True)
class Call:
    """The words that come first in a command."""

    program: tuple[str, ...] = (NAME,)
    """For a command of this program, e.g. `python deploy.py`."""
    pytest: tuple[str, ...] = ("pytest",)
    """For a deployment, e.g. `.venv/bin/python -m pytest`."""


def as_called(text: str) -> str:
    """A text whose commands are those that whoever called this program can paste."""
    if NAME not in text and "pytest --deploy-" not in text:
        return text
    call = called()
    return _COMMAND.sub(lambda found: shlex.join(call.program if found["program"] else call.pytest), text)


def hand_down() -> dict[str, str]:
    """What a child's environment needs so that it prints commands as this process does."""
    return {_HANDED_DOWN: json.dumps(asdict(called()))}


@cache
def called() -> Call:
    """How this program was called: as it was handed down, else as the process itself tells. Asked once."""
    handed_down = _read(os.environ.pop(_HANDED_DOWN, ""))
    try:
        call = handed_down or Call(_program(), _pytest())
    except OSError:  # the working folder is gone
        return Call()
    return call if _is_fit(call.program) and _is_fit(call.pytest) else Call()


def _read(text: str) -> Call | None:
    """What was handed down; None where nothing was, or it is not what `hand_down` writes."""
    try:
        told = json.loads(text) if len(text) <= _LONGEST else None
    except ValueError:
        return None
    if not isinstance(told, dict) or told.keys() != asdict(Call()).keys():
        return None
    if not all(isinstance(words, list) and _is_fit(words) for words in told.values()):
        return None
    return Call(tuple(told["program"]), tuple(told["pytest"]))


def _is_fit(words: Sequence[object]) -> bool:
    """Whether words can be printed and begin with a program that is there."""
    texts = [word for word in words if isinstance(word, str) and word and word.isprintable()]
    return 0 < len(texts) == len(words) and shutil.which(texts[0]) is not None


# --- what the process itself tells


def _program() -> tuple[str, ...]:
    script = sys.argv[0]
    if _runs_module("pytest") or Path(script).stem in {"pytest", "py.test"}:
        return _beside_pytest()
    if _runs_module("pytest_deploy"):
        return (_interpreter(), "-m", "pytest_deploy")
    if Path(script).stem == NAME:
        return (_shortest(script),)
    # `python -c`, and a program that imports this one, have no script that takes commands.
    return (_interpreter(), script) if _is_checkout_script(Path(script)) else _beside_pytest()


def _beside_pytest() -> tuple[str, ...]:
    """The program where it is not what was called: the checkout's own script, else the console script of this interpreter."""
    if _is_checkout_script(Path(_CHECKOUT_SCRIPT)):
        return (_interpreter(), _CHECKOUT_SCRIPT)
    script = Path(sys.executable).with_name(NAME)
    return (_shortest(str(script)),) if script.is_file() else (_interpreter(), "-m", "pytest_deploy")


def _pytest() -> tuple[str, ...]:
    if _runs_module("pytest"):
        return (_interpreter(), "-m", "pytest")
    typed = Path(sys.argv[0]).stem in {"pytest", "py.test"}
    script = sys.argv[0] if typed else str(Path(sys.executable).with_name("pytest"))
    short = _shortest(script)
    # A bare name, or what was typed; any other path says less than the interpreter that was typed.
    return (short,) if typed or short == "pytest" else (_interpreter(), "-m", "pytest")


def _runs_module(name: str) -> bool:
    """Whether this is `python -m NAME`."""
    given = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv) + 1]
    return given[-2:] == ["-m", name] or given[-1:] == [f"-m{name}"]


def _is_checkout_script(path: Path) -> bool:
    """Whether a file is a script that is this program."""
    try:
        return path.suffix == ".py" and _ITS_IMPORT in path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False


def _interpreter() -> str:
    """The interpreter as it was typed; as short as it can be where it was not typed, or by its whole path."""
    typed = sys.orig_argv[0] if sys.orig_argv else ""
    found = shutil.which(typed) if typed and not Path(typed).is_absolute() else None
    if found is not None and _is_same(found, sys.executable):
        return typed
    for name in ("python", "python3"):
        on_path = shutil.which(name)
        if on_path is not None and _is_same(on_path, sys.executable):
            return name
    return _below_here(sys.executable)


def _shortest(script: str) -> str:
    """A script by its name where PATH finds that very file, else by its path from here."""
    name = Path(script).name
    on_path = shutil.which(name)
    if on_path is not None and Path(script).exists() and Path(on_path).samefile(script):
        return name
    return _below_here(script)


def _below_here(path: str) -> str:
    """A path from the working folder where it lies below, else whole; one that was typed with others in it stays."""
    if not Path(path).is_absolute():
        return path if os.sep in path else f".{os.sep}{path}"
    here = Path.cwd()
    if not Path(path).is_relative_to(here):
        return path
    below = str(Path(path).relative_to(here))
    return below if os.sep in below else f".{os.sep}{below}"


def _is_same(one: str, other: str) -> bool:
    """Whether two paths are one interpreter with the same packages: an environment's own is a link to the system's."""
    first, second = Path(one), Path(other)
    return first.parent.resolve() == second.parent.resolve() and first.exists() and first.samefile(second)


# --- an interpreter that lacks what this program needs

_NEEDED: Final = (
    "allure_pytest",
    "cryptography",
    "holidays",
    "jinja2",
    "msgspec",
    "psutil",
    "psycopg",
    "pydantic",
    "pytest_html",
    "requests",
    "rich",
    "typer",
    "xdist",
    "yaml",
)
"""The modules of what pyproject.toml names as dependencies, but pytest and tzdata."""
_ENVIRONMENTS: Final = (".venv", "venv")


def wrong_interpreter(module: str = NAME.replace("-", "_")) -> str:
    """Why this interpreter cannot run the program, and what to type instead; empty where it can.

    A checkout is found from its folder by any Python, also by the system's, which has none of what is needed. `module` is what
    was started, as `python -m` names it.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if not missing:
        return ""
    own = next((path for name in _ENVIRONMENTS if (path := Path(name, "bin", "python")).is_file()), None)
    right = [str(own), "-m", module, *sys.argv[1:]] if own else [sys.executable, "-m", "pip", "install", NAME]
    shown = ", ".join(missing[:_SHOWN]) + (f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else "")
    return f"{sys.executable} cannot run {NAME}: {shown} are not installed for it; type `{shlex.join(right)}`"


_SHOWN: Final = 3
