"""What moves and judges a schema and is installed beside this package: whether it is here is asked before anything is opened.

yandex-pgmigrate asks for psycopg2 from source, which takes a compiler, while psycopg2-binary is the same module: no extra of
this package can say that, so it is installed by a command of its own (docs/decisions/0033-installation.md). A tool that is
missing is a fault of the machine, never of a migration's file.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any, Final

from pytest_deploy.errors import UsageError
from pytest_deploy.record.programs import SYSTEM_FOLDERS

PGMIGRATE: Final = "yandex-pgmigrate==1.0.13"
"""The engine, as pip takes it; the version is that of requirements/pgmigrate.txt."""
_OF_THE_ENGINE: Final = ("psycopg2", "sqlparse", "yaml")
"""What pgmigrate imports, and the extra `local` brings."""
_EXTRA: Final = "pytest-deploy[local]"


def require_tools(*, engine: bool = True, linter: bool = True) -> None:
    """Both pgmigrate and squawk are installed where this interpreter finds them; nothing is imported, nothing is asked of a database.

    Raises UsageError with what is missing and the commands to type.
    """
    missing, commands = [], []
    if (linter and squawk() is None) or (engine and not all(map(_is_there, _OF_THE_ENGINE))):
        missing += ["squawk"] if linter and squawk() is None else []
        missing += [name for name in _OF_THE_ENGINE if engine and not _is_there(name)]
        commands.append(pip_command(_EXTRA))
    if engine and not _is_there("pgmigrate"):
        missing.append("pgmigrate")
        commands.append(pip_command("--no-deps", PGMIGRATE))
    if missing:
        raise UsageError(_said(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed", *commands))


def import_pgmigrate() -> Any:
    """The engine's module. Raises UsageError where it is missing or cannot be imported."""
    require_tools(linter=False)
    try:
        return importlib.import_module("pgmigrate")
    except ImportError as error:
        raise UsageError(
            _said(f"pgmigrate cannot be imported ({error})", pip_command(_EXTRA), pip_command("--no-deps", PGMIGRATE))
        ) from None


def squawk(program: str | None = None) -> str | None:
    """The path of squawk: beside this Python, else the system's; None where there is none."""
    beside = os.pathsep.join(map(str, [Path(sys.executable).parent, *SYSTEM_FOLDERS]))
    return shutil.which(program or "squawk", path=beside)


def pip_command(*words: str) -> str:
    """`…/python -m pip install WORDS`, with the interpreter that runs this: the one that misses what is to be installed."""
    return shlex.join([sys.executable, "-m", "pip", "install", *words])


def _said(what: str, *commands: str) -> str:
    return f"{what}, and no migration is checked, tried or applied without; type `{' && '.join(commands)}`"


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
