"""`pytest-deploy local` and `reset local`: the embedded platform in the foreground, and its store archived, never deleted."""

from __future__ import annotations

import shlex
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pytest_deploy.commands import say
from pytest_deploy.errors import UsageError
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.load import policy_of
from pytest_deploy.record.bucket import copy_of
from pytest_deploy.record.open_record import begun_file
from pytest_deploy.workspace import Workspace, program_command

ENVIRONMENT = "local"


def local() -> None:
    """Run the embedded platform in the foreground until Ctrl-C, to click through what serves on it."""
    ending = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    # Blocked before any thread starts, so that sigwait below gets them and nothing else does.
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    workspace = Workspace(Path.cwd(), ENVIRONMENT)
    environment = Environment(workspace, policy_of(workspace))
    try:
        state = environment.platform.runtime.state()
        typer.echo(f"service   {state.url}")
        for share in state.shares:
            typer.echo(f"          {share.percent:>3} % {share.revision} {share.url}")
        if environment.platform.has_database:
            typer.echo(f"database  {shlex.join(('psql', environment.platform.database.owner))}")
        typer.echo("Ctrl-C stops it.")
        signal.sigwait(ending)
    finally:
        environment.close()


def reset(env: Annotated[str, typer.Argument(metavar="local", help="only local can be reset")]) -> None:
    """Archive the local store and start anew: record, database and revisions."""
    if env != ENVIRONMENT:
        raise UsageError(f"reset {env}: only `local` can be reset; every other environment's record is kept for good")
    from pytest_deploy.platform.embedded import reset as reset_platform

    root = Path.cwd()
    workspace = Workspace(root, ENVIRONMENT)
    if bucket := copy_of(workspace.store):
        raise UsageError(
            f"the record of {ENVIRONMENT} lies in {bucket}, where nothing is moved or deleted: give it another prefix"
        )
    reset_platform(root)
    typer.echo("forgotten: the embedded platform's database and revisions")
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    if workspace.store.exists():
        archived = workspace.reports / "archive" / f"{ENVIRONMENT}-{stamp}"
        archived.parent.mkdir(parents=True, exist_ok=True)
        workspace.store.rename(archived)
        say(
            f"archived: {archived.relative_to(root)} (still verifies: `{program_command('verify', workspace.shown(archived))}`)"
        )
    key = workspace.key_file
    if key.exists():
        key.rename(key.with_name(f"{ENVIRONMENT}-{stamp}.pem"))
        begun_file(key).unlink(missing_ok=True)
        typer.echo("retired: the archived store's key; the next run begins a new store with a new one")
