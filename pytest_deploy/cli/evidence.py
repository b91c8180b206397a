"""Commands of whoever reads the record: can it be trusted, what does it say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pytest_deploy.cli.app import Env, Rehearse, app
from pytest_deploy.errors import NotAsked


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(help="a store, e.g. reports/local")],
    anchor: Annotated[
        list[str] | None,
        typer.Option(help="a line `tlog ORIGIN SIZE ROOT` kept outside the store; may be given several times"),
    ] = None,
    signatures: Annotated[str, typer.Option(help="newest, or all: every event's own signature")] = "newest",
) -> None:
    """Verify a record from its files alone; name the first bad event."""
    from pytest_deploy.audit.verify import verify as verify_store

    if signatures not in {"newest", "all"}:
        raise NotAsked(f"--signatures={signatures}: right is newest or all")
    if not path.is_dir():
        raise NotAsked(f"{path} is no folder; right is a store, e.g. reports/local")
    found = verify_store(path, anchor=anchor, signatures="all" if signatures == "all" else "newest")
    for check in found.checks:
        typer.echo(f"{'ok  ' if check.ok else 'BAD '} {check.number:>2} {check.title}: {check.detail}")
    for finding in found.findings:
        typer.echo(f"     {finding}")
    typer.echo(f"{'VERIFIED' if found.ok else 'NOT VERIFIED'}: {found.size} events, root {found.root}")
    if not found.ok:
        raise typer.Exit(1)


@app.command()
def audit(
    env: Annotated[str, typer.Argument(metavar="[ENV]", help="one environment; else all of deploy.yaml")] = "",
    rehearse: Rehearse = False,  # noqa: FBT002 -- typer makes flags of booleans
) -> None:
    """Verify again everything of every record, for a scheduled job: one line each, and what to do. 0, or 1 where something is wrong."""
    from pytest_deploy.audit_command import Audit

    well = True
    for found in Audit(Path.cwd(), rehearsal=rehearse).all(env):
        typer.echo(str(found))
        well = well and found.ok
    if not well:
        raise typer.Exit(1)


@app.command()
def anchor(env: Env, rehearse: Rehearse = False) -> None:  # noqa: FBT002
    """Make the anchors that policy names now: for a record that has none yet, or where the last could not be made."""
    from pytest_deploy.anchoring import anchor as make
    from pytest_deploy.environment import Environment
    from pytest_deploy.phase.context import RunContext
    from pytest_deploy.record.run_id import NO_RUN

    context = RunContext(str(Path.cwd()), env, "deploy", rehearsal=rehearse)
    environment = Environment(context, context.policy())
    named = environment.policy.anchors
    if not (named.lines or named.copies or named.timestamp):
        raise NotAsked(f"deploy.yaml names no anchors for {env}: give anchors: {{copies: ...}}")
    if not environment.has_record:
        raise NotAsked(f"{env} has no record yet: there is nothing to anchor")
    if not make(environment, run=NO_RUN, say=typer.echo):
        raise typer.Exit(1)
    typer.echo(environment.log.checkpoint())
