"""`pytest-deploy local` and `reset`: an embedded environment in the foreground, and its store archived, never deleted."""

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
from pytest_deploy.policy.load import embedded, policy_of
from pytest_deploy.record.bucket import copy_of
from pytest_deploy.record.open_record import begun_file
from pytest_deploy.workspace import Workspace, program_command


def local(
    env: Annotated[
        str, typer.Argument(metavar="[ENV]", help="an embedded environment; left out where there is one")
    ] = "",
) -> None:
    """Run the embedded platform in the foreground until Ctrl-C, to click through what serves on it."""
    ending = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    workspace = _workspace("local", env)
    environment = Environment(workspace, policy_of(workspace))
    # Blocked before any thread starts, so that sigwait below gets them and nothing else does.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ending)
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
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def reset(
    env: Annotated[str, typer.Argument(metavar="ENV", help="an embedded environment that asks nobody for approval")],
) -> None:
    """Archive an embedded environment's store and start anew: record, database and revisions."""
    workspace = _workspace("reset", env)
    if policy_of(workspace).holds_subjects(rehearsal=False):
        raise UsageError(f"reset {env}: it asks for approval, so that its record is evidence, and is kept for good")
    from pytest_deploy.platform.embedded import reset as reset_platform

    root = workspace.root
    if bucket := copy_of(workspace.store):
        raise UsageError(
            f"the record of {env} lies in {bucket}, where nothing is moved or deleted: give it another prefix"
        )
    reset_platform(root, env)
    typer.echo(f"forgotten: the database and revisions of {env} on the embedded platform")
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    if workspace.store.exists():
        archived = workspace.reports / "archive" / f"{env}-{stamp}"
        archived.parent.mkdir(parents=True, exist_ok=True)
        workspace.store.rename(archived)
        say(
            f"archived: {archived.relative_to(root)} (still verifies: `{program_command('verify', workspace.shown(archived))}`)"
        )
    key = workspace.key_file
    if key.exists():
        key.rename(key.with_name(f"{env}-{stamp}.pem"))
        begun_file(key).unlink(missing_ok=True)
        typer.echo("retired: the archived store's key; the next run begins a new store with a new one")


def _workspace(command: str, asked: str) -> Workspace:
    """The embedded environment that is asked for, or the only one there is. Raises UsageError naming those there are."""
    root = Path.cwd()
    known = embedded(root / "deploy.yaml")
    if not known:
        raise UsageError(f"{command}: deploy.yaml describes no environment with platform: {{kind: embedded}}")
    if not asked and len(known) > 1:  # `local` alone may be typed without a name
        said = " or ".join(f"`{program_command('local', name)}`" for name in known)
        raise UsageError(f"{command}: several environments are on the embedded platform; say which: {said}")
    if asked and asked not in known:
        raise UsageError(
            f"{command} {asked}: no environment on the embedded platform; there is {', '.join(known)}; what any other records is kept for good"
        )
    return Workspace(root, asked or known[0])
