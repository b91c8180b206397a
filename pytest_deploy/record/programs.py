"""The programs that judge: from the system's own folders or a path that policy names, never whatever comes first on PATH."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from pytest_deploy.errors import Refused
from pytest_deploy.policy.types import PROGRAMS

SYSTEM_FOLDERS: Final = tuple(
    map(Path, ("/usr/bin", "/bin", "/usr/local/bin", "/opt/homebrew/bin", "/run/current-system/sw/bin"))
)
"""Where only who administers the machine puts programs, most trusted first."""
_OF_DEBIANS_POSTGRES: Final = re.compile(r"/usr/lib/postgresql/[0-9.]+/bin")

_ASKS_VERSION: Final[Mapping[str, tuple[str, ...]]] = {
    "ssh-keygen": ("ssh", "-V"),  # ssh-keygen has no such option; ssh beside it is of the same OpenSSH
    "openssl": ("openssl", "version"),
}
"""Of those that do not answer `--version`."""
_ANSWER_S: Final = 30

_configured: Final[dict[str, Path]] = {}


def use(configured: Mapping[str, str]) -> None:
    """From here on this process takes these programs from the paths that policy names: name -> absolute path."""
    _configured.clear()
    _configured.update({name: Path(path) for name, path in configured.items()})


def system_program(name: str) -> str:
    """The path of git, ssh-keygen, openssl, pg_dump: policy's, else the first in SYSTEM_FOLDERS; only where none lies there, PATH's.

    Raises FileNotFoundError where there is none at all, or none where policy says.
    """
    found = next(places(name), None)
    if found is not None:
        return str(found)
    on_path = None if name in _configured else shutil.which(name)
    if on_path is None:
        raise FileNotFoundError(name)
    return on_path


def places(name: str) -> Iterator[Path]:
    """Each path at which a program of this name is trusted and there, best first: policy's alone, or those in SYSTEM_FOLDERS."""
    trusted = [_configured[name]] if name in _configured else [folder / name for folder in SYSTEM_FOLDERS]
    yield from (path for path in trusted if path.is_file() and os.access(path, os.X_OK))


def refuse_strangers(environment: str) -> None:
    """Raises Refused, naming each program that PATH gives and nobody vouches for, or that is not where policy says.

    It would not be asked where the system has one of the same name; what a step or a check starts by name would meet it.
    """
    faults = [fault for name in PROGRAMS if (fault := _fault(name))]
    if faults:
        lines = "".join(f"\n  {fault}" for fault in faults)
        raise Refused(
            f"{environment} is judged by programs of the system's folders, or those that deploy.yaml names; take these off "
            f"PATH, or name the right one there, as `programs: {{git: /the/path/of/git}}`:{lines}"
        )


def _fault(name: str) -> str:
    used = next(places(name), None)
    if used is None and name in _configured:
        return f"{name}: {_configured[name]}, which deploy.yaml names, is no program"
    on_path = shutil.which(name)
    if on_path is None or _is_trusted(Path(on_path), used):
        return ""
    instead = f"; the one that is used is {used}" if used is not None else "; the system's folders hold none"
    return f"{name}: PATH gives {on_path} first{instead}"


def _is_trusted(path: Path, used: Path | None) -> bool:
    folder = path.absolute().parent
    if used is not None and path.samefile(used):
        return True
    return folder in SYSTEM_FOLDERS or _OF_DEBIANS_POSTGRES.fullmatch(str(folder)) is not None


# --- what the record says of them


def described(path: str | Path) -> dict[str, str]:
    """A program as the record names it: `path`, `version` (its own words, empty where it has none), `sha256` of the file.

    Read once a process for as long as the file stays the same. Raises OSError where it cannot be read.
    """
    status = os.stat(path)  # noqa: PTH116 -- of a text or a Path
    return dict(_described(str(path), (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)))


def used() -> dict[str, dict[str, str]]:
    """Git, ssh-keygen and openssl as this process takes them, by name; one that is not installed is left out."""
    found = {}
    for name in ("git", "openssl", "ssh-keygen"):
        try:
            found[name] = described(system_program(name))
        except OSError:
            continue
    return found


@cache
def _described(path: str, _as_it_was: tuple[int, ...]) -> Mapping[str, str]:
    with open(path, "rb") as file:  # noqa: PTH123 -- a text
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"path": path, "version": _version(Path(path)), "sha256": digest}


def _version(path: Path) -> str:
    program, *words = _ASKS_VERSION.get(path.name, (path.name, "--version"))
    try:
        ran = subprocess.run(
            [path.with_name(program), *words],
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ANSWER_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    said = (ran.stdout + ran.stderr).decode("utf-8", "replace").strip()
    return said.partition("\n")[0][:200] if ran.returncode == 0 else ""
