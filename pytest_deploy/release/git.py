"""Git asked about a checkout: with none of the caller's GIT_* variables, which could name another repository or index.

It shows objects as they were hashed: neither `git replace` nor a graft gives one another author, parent or content.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.record.programs import system_program

_TIMEOUT_S: Final = 60
_OF_ANOTHER: Final = "detected dubious ownership"
"""What git says of a checkout that is not its user's: of a folder that a container was given, say."""
_AS_HASHED: Final = {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_GRAFT_FILE": os.devnull}


class _GitFailed(Exception):
    """Git did not do what it was asked."""


def setting(name: str) -> str:
    """What the caller's own git configuration says of a key, e.g. `user.signingkey`; empty where it says nothing."""
    try:
        return _git("config", name, environ=os.environ).decode(errors="replace").strip()
    except (_GitFailed, FileNotFoundError, subprocess.TimeoutExpired):
        return ""


def text(root: Path, *words: str) -> str:
    """What git says of a checkout. Raises UsageError where git is missing, or `root` is no checkout with a commit."""
    return os.fsdecode(content(root, *words)).strip()


def content(root: Path, *words: str, asked: bytes = b"") -> bytes:
    """The same as the bytes that they are; `asked` is what git reads. Raises UsageError as `text`."""
    try:
        return _git("-C", str(root), *words, environ=_environ(), asked=asked)
    except FileNotFoundError:
        raise UsageError("git is not installed: a release is a commit, and git names it; install git") from None
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"git {words[0]} did not answer: {error}") from None
    except _GitFailed as error:
        if _OF_ANOTHER in str(error):
            trust = shlex.join(["git", "config", "--global", "--add", "safe.directory", str(root)])
            raise UsageError(
                f"git does not read {root}, which belongs to another user: let it belong to who deploys, or type `{trust}`"
            ) from None
        raise UsageError(
            f"{root} is no git checkout with a commit (git {words[0]}: {error}); a release is a commit: "
            "run `git init` and commit, or run in a clone"
        ) from None


def history(root: Path, *words: str) -> str:
    """What git says of commits. Raises Refused: who wrote what is released is a question that must be answered."""
    try:
        return _git("-C", str(root), *words, environ=_environ()).decode(errors="replace")
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise Refused(f"git {words[0]} did not answer: {error}") from None
    except _GitFailed as error:
        raise Refused(f"git {words[0]}: {error}") from None


def _environ() -> Mapping[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | _AS_HASHED


def _git(*words: str, environ: Mapping[str, str], asked: bytes = b"") -> bytes:
    ran = subprocess.run(
        [system_program("git"), *words],
        env={**environ, "LC_ALL": "C"},
        input=asked,
        capture_output=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if ran.returncode:
        raise _GitFailed(ran.stderr.decode(errors="replace").strip())
    return ran.stdout
