"""Commands of whoever reads the record: can it be trusted, what does it say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pytest_deploy.cli.app import app
from pytest_deploy.errors import NotAsked


@app.command()
def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="a run that is closed")],
    into: Annotated[Path, typer.Argument(metavar="DIR", help="a new folder, outside reports/")],
    *,
    purpose: Annotated[str, typer.Option(help="what it is read for; goes into the record")] = "export",
    reader: Annotated[str, typer.Option(help="who reads it, where that is not you; goes into the record")] = "",
) -> None:
    """Hand out a run: its sealed files, its events, the current report, PDF and Allure's page where they can be made."""
    from pytest_deploy.export import export as hand_out

    hand_out(Path.cwd(), run, into, reader=reader, purpose=purpose, say=typer.echo)


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(help="a store, e.g. reports/local")],
    anchor: Annotated[str | None, typer.Option(help="a line `tlog ORIGIN SIZE ROOT` kept outside the store")] = None,
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
