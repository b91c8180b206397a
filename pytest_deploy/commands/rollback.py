"""`pytest-deploy rollback ENV`: an environment goes back to an earlier release because somebody says so (REQ-o00044-H)."""

from __future__ import annotations

from typing import Annotated

import typer

from pytest_deploy.commands import Env, Rehearse
from pytest_deploy.errors import UsageError


def rollback(
    env: Env,
    *,
    rehearse: Rehearse = False,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="VERSION",
            help="the version to go back to, the run that deployed it, or `earlier` (default): the release before the one that serves",
        ),
    ] = None,
    run_: Annotated[
        str | None,
        typer.Option(
            "--run", metavar="RUN", help="the approved request, where policy asks for signatures (`plan ENV --to`)"
        ),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="why; policy may demand it")] = "",
    ticket: Annotated[str, typer.Option("--ticket", help="the ticket; policy may demand it")] = "",
    rest: Annotated[list[str] | None, typer.Argument(metavar="[-- PYTEST OPTIONS]")] = None,
) -> None:
    """Go back to an earlier release: traffic and schema, in a run of its own. 0: it serves again; 20: a person is needed."""
    from pytest_deploy.commands.run import run

    options = options_of(to=to, run=run_, reason=reason, ticket=ticket)
    run(env, rehearse=rehearse, pipeline="rollback", rest=[*options, *(rest or [])])


def options_of(*, to: str | None, **stated: str | None) -> list[str]:
    """What was said, as options of pytest. A `--to` that says nothing is refused: nobody filled in what is gone back to. Raises UsageError."""
    if to is not None and not to.strip():
        raise UsageError("--to is empty: name a version, a run, or `earlier`, the release before the one that serves")
    return [f"--deploy-{name}={text}" for name, text in {"to": to, **stated}.items() if text]
