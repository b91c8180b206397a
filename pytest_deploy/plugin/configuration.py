"""A deployment's own configuration of pytest (deployment.ini): the project's settings and root conftest.py are its own tests' affair.

Pytest reads the project's settings before it loads any plug-in. So a process that was started by a person is started anew, once, with
this configuration, with this plug-in first, and with the folder of deploy.yaml as its root: nothing of the project's settings is left.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from pytest_deploy.errors import UsageError
from pytest_deploy.plugin.allowed_options import FIRST
from pytest_deploy.program import hand_down
from pytest_deploy.record.plain_text import encodable
from pytest_deploy.workspace import CONFIG_FILE, NOT_SAID, checkout_of, program_command

FILE: Final = Path(__file__).with_name("deployment.ini")
OPTION: Final = "--deploy-config"
SUITES: Final = "suites"


def suites_of(config: pytest.Config) -> str:
    """The suites as pytest is to be given them: relative, since of a path it takes only what stands before a `[` or `::`."""
    return os.path.relpath(config.rootpath / SUITES, config.invocation_params.dir)


def words(root: Path) -> list[str]:
    """What begins the command line of a deployment of the checkout at `root`."""
    return ["-p", FIRST, "-c", str(FILE), f"--rootdir={root}", f"--confcutdir={root / 'suites'}"]


def options(root: Path, file: str | None) -> dict[str, str]:
    """The same by the names on `config.option`; `file` is what was given as the configuration."""
    return {
        "inifilename": file if file and is_own(file) else str(FILE),
        "rootdir": str(root),
        "confcutdir": str(root / "suites"),
    }


def is_own(file: str) -> bool:
    """Whether a path is that of a deployment's configuration: this package's, or an equal one of another copy of it.

    A checkout of this package itself may start one copy and then run another.
    """
    path = Path(file)
    try:
        return path.name == FILE.name and path.read_bytes() == FILE.read_bytes()
    except OSError:
        return False


def root_of(given: Sequence[str], start: Path) -> Path:
    """The checkout that a command line means, started in `start`: the folder of --deploy-config, else of the next deploy.yaml.

    Raises UsageError where there is none, or it has no suites/.
    """
    named = ""
    for at, word in enumerate(given):
        if word.partition("=")[0] == OPTION:
            named = word.partition("=")[2] or "".join(given[at + 1 : at + 2])
    file = (start / named).absolute() if named else None
    if file is not None and (file.name != CONFIG_FILE or not file.is_file()):
        raise UsageError(
            f"nothing was started: {OPTION}={named}: there is no such file; right is the path of a {CONFIG_FILE}"
        )
    root = file.parent if file is not None else checkout_of(start)
    if root is None:
        raise UsageError(
            f"nothing was started: there is no {CONFIG_FILE} in {start}, nor in a folder above: start it in the checkout, or name the file "
            f"({OPTION}=PATH); `{program_command('init')}` writes a first one"
        )
    if not (root / "suites").is_dir():
        raise UsageError(
            f"nothing was started: there is no suites/ in {root}, which holds steps.lock and your own steps; `{program_command('init')}` writes a first one"
        )
    root = Path(os.path.normpath(root))
    _refuse_odd_path(root, os.path.relpath(root, start))
    return root


def _refuse_odd_path(root: Path, given: str) -> None:
    """Raise UsageError where no record could hold the checkout's path, or pytest would take apart what it is given of it."""
    shown = encodable(str(root))
    if shown != str(root):
        raise UsageError(
            f"nothing was started: the path of this checkout is not UTF-8 where this runs, {shown}: give the folder another name"
            f"{_WHERE_ASCII if sys.getfilesystemencoding() != 'utf-8' else ''}"
        )
    if "[" in given or "::" in given:
        raise UsageError(
            f"nothing was started: pytest takes apart a path with [ or :: in it: start it in {root}, and without {OPTION}"
        )


_WHERE_ASCII: Final = "; Python takes paths for ASCII here: set PYTHONUTF8=1, or LC_ALL=C.UTF-8"


def require(config: pytest.Config) -> None:
    """Start this process anew with a deployment's configuration, unless it has been told it.

    Raises UsageError where a program called pytest with words of its own: then it cannot be started anew.
    """
    given = [str(word) for word in config.invocation_params.args]
    if any(map(is_own, given)):
        return  # whether it has the last word is judged among the options
    root = root_of(given, Path(config.invocation_params.dir))
    rest = len(sys.orig_argv) - len(given)
    if given != sys.argv[1:] or given != sys.orig_argv[rest:]:
        raise UsageError(
            "nothing was started: a program called pytest, so that it reads the project's settings, and a deployment has a configuration of "
            f"its own: start pytest itself, or `{program_command('run', NOT_SAID)}`"
        )
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.environ |= hand_down()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:rest], *words(root), *given])  # noqa: S606 -- the same words, behind ours
