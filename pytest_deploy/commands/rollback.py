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

    require_said(to)
    stated = {"to": to, "run": run_, "reason": reason, "ticket": ticket}
    options = [f"--deploy-{name}={text}" for name, text in stated.items() if text]
    run(env, rehearse=rehearse, pipeline="rollback", rest=[*options, *(rest or [])])


def require_said(to: str | None) -> None:
    """Refuse a `--to` that says nothing: an input that nobody filled in is not the release before. Raises UsageError."""
    if to is not None and not to.strip():
        raise UsageError("--to is empty: name a version, a run, or `earlier`, the release before the one that serves")
