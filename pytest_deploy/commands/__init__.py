"""The commands, a file each; `cli.py` registers them. Here stand the arguments that several of them take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from pytest_deploy.errors import UsageError
from pytest_deploy.program import as_called
from pytest_deploy.record.run_id import workspace_of
from pytest_deploy.workspace import Workspace

Env = Annotated[str, typer.Argument(metavar="ENV", help="an environment of deploy.yaml")]
Rehearse = Annotated[bool, typer.Option("--rehearse", help="the environment's rehearsals, not the environment itself")]
Key = Annotated[
    Path | None, typer.Option("--key", help="the key that signs: a private key, or the public one of an agent or token")
]
Role = Annotated[str, typer.Option("--role", help="the role signed for; else the first of yours that is asked for")]

GROUP: Final[Mapping[str, Any]] = {
    "no_args_is_help": True,
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
}
"""How a group of commands, e.g. `keys init`, is set up."""


def workspace_of_run(root: Path, run: str) -> Workspace:
    """The environment, or its rehearsals, that a run's name leads to. Raises UsageError where it is no run's name."""
    try:
        return workspace_of(run, root)
    except ValueError:
        raise UsageError(
            f"{run!r} is no run; right is the name a plan printed, e.g. production-20261122T201500Z-4f1c"
        ) from None


def say(line: str) -> None:
    """Print a line of a command's answer; what it tells people to type they can paste.

    What a person typed, what is signed and what programs read is echoed as it is.
    """
    typer.echo(as_called(line))


def print_lines(lines: Iterable[str], echo: Callable[[str], None] = say) -> None:
    """Print a command's answer as it comes. `echo`: `typer.echo` where each line is to be shown as it is recorded."""
    for line in lines:
        echo(line)
