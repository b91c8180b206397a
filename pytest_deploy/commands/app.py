"""The command line's frame: the program, the words several commands share, and how it ends."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from pytest_deploy.errors import DeployError, UsageError

app = typer.Typer(
    help="Deployments as pytest runs: what CI, QA and auditors type beside `pytest --deploy-env=ENV`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 160},  # as wide as the terminal: what a command does is said whole
)

Env = Annotated[str, typer.Argument(metavar="ENV", help="an environment of deploy.yaml")]
Rehearse = Annotated[bool, typer.Option("--rehearse", help="the environment's rehearsals, not the environment itself")]
Key = Annotated[
    Path | None, typer.Option("--key", help="the key that signs: a private key, or the public one of an agent or token")
]
Role = Annotated[str, typer.Option("--role", help="the role signed for; else the first of yours that is asked for")]


def main() -> None:
    """Run one command; an error of ours is one message and its exit code, never a traceback."""
    try:
        _said(app)
    except SystemExit as ended:
        # The command line's own usage errors end with 2; here 2 means a signal, and usage is 4.
        raise SystemExit(UsageError.exit_code if ended.code == 2 else ended.code) from None  # noqa: PLR2004 -- click's number
    except DeployError as error:
        typer.echo(f"{error}", err=True)
        raise SystemExit(error.exit_code) from None


def _said(command: Callable[[], None]) -> None:
    """Run it until all it says is out: a disk that is full is told while somebody can still be told."""
    try:
        try:
            command()
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.filename is not None:
            raise
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is not tried again at exit
        if error.errno == errno.EPIPE:
            raise SystemExit(1) from None  # whoever read it has read enough
        raise DeployError(f"the answer could not be written: {error.strerror}; it is not whole") from error
