"""The synthetic account that smoke tests log in with, made by the service's own command (`service.account`)."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pytest_deploy.bounded_output import run_bounded
from pytest_deploy.errors import Failed, UsageError
from pytest_deploy.platform.environment import Environment
from pytest_deploy.platform.program_search import find_program, search_path

TIMEOUT_S: Final = 60
_LINES: Final = 10
_CHARS: Final = 200


def make_account(environment: Environment) -> Any:
    """Run the command in the service's folder, with the owner's DATABASE_URL and every secret of policy; what it printed, as JSON.

    Raises Failed where it is not found, fails, takes over a minute, or prints anything but one JSON value; UsageError where
    policy names no command.
    """
    service, secrets = environment.policy.service, environment.secrets
    if service.account is None:
        raise UsageError("service.account names no command that makes an account")
    return run_account(
        service.account,
        folder=environment.workspace.root / service.source,
        variables={
            **({"DATABASE_URL": environment.platform.database.url} if environment.platform.has_database else {}),
            **{name: secrets[name] for name in secrets},
        },
    )


def run_account(words: Sequence[str], *, folder: Path, variables: Mapping[str, str]) -> Any:
    """The same in a folder of its own, given nothing but PATH and these variables."""
    path = search_path(os.environ)
    shown = f"service.account, `{shlex.join(words)}`,"
    command = find_program(words, folder=folder, path=path, setting="service.account")
    try:
        ran = run_bounded(command, cwd=folder, env={"PATH": path, **variables}, timeout_s=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        ran = None
    except OSError as error:
        raise Failed(f"{shown} cannot be run: {error.strerror}") from None
    if ran is None:
        raise Failed(f"{shown} was not done within {TIMEOUT_S} s")
    if ran.code:
        raise Failed(f"{shown} ended with {ran.code}; the end of its standard error:\n{_end(ran.stderr.text)}")
    try:
        return json.loads(ran.stdout.text)
    except (ValueError, RecursionError):
        raise Failed(
            f"{shown} is expected to print one JSON value to standard output and nothing else, e.g. {_EXAMPLE}; "
            f"the end of what it printed:\n{_end(ran.stdout.text)}"
        ) from None


_EXAMPLE: Final = '{"id": 7}'


def _end(text: str) -> str:
    """The last lines of an output; they may hold what the command was given, which is cut where they are shown."""
    lines = [_cut(line.rstrip()) for line in text.splitlines() if line.strip()][-_LINES:]
    return "\n".join(f"  {line}" for line in lines) or "  (nothing)"


def _cut(line: str) -> str:
    return line if len(line) <= _CHARS else f"{line[:_CHARS]}…"
