"""Commands of whoever reads the record: can it be trusted, what does it say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pytest_deploy.commands.app import Env, Rehearse, app
from pytest_deploy.errors import UsageError
from pytest_deploy.workspace import Workspace

_SCREEN = 50
"""Runs that a table shows unless told otherwise."""


@app.command()
def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="a run that is closed")],
    into: Annotated[Path, typer.Argument(metavar="DIR", help="a new folder, outside reports/")],
    *,
    purpose: Annotated[str, typer.Option(help="what it is read for; goes into the record")] = "export",
    reader: Annotated[str, typer.Option(help="who reads it, where that is not you; goes into the record")] = "",
) -> None:
    """Hand out a run: its sealed files, its events, the current report, PDF and Allure's page where they can be made."""
    from pytest_deploy.reports.export import export as hand_out

    hand_out(Path.cwd(), run, into, reader=reader, purpose=purpose, say=typer.echo)


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
    from pytest_deploy.verify.verify import verify as verify_store

    if signatures not in {"newest", "all"}:
        raise UsageError(f"--signatures={signatures}: right is newest or all")
    if not path.is_dir():
        raise UsageError(f"{path} is no folder; right is a store, e.g. reports/local")
    if (path / "EXPORT.txt").is_file() and not (path / "log" / "00000000.event").exists():
        raise UsageError(
            f"{path} is an export of one run, not a whole store; its report.html prints the commands that verify it"
        )
    found = verify_store(path, anchor=anchor, signatures="all" if signatures == "all" else "newest")
    for check in found.checks:
        typer.echo(f"{'ok  ' if check.ok else 'BAD '} {check.number:>2} {check.title}: {check.detail}")
    for finding in found.findings:
        typer.echo(f"     {finding}")
    for note in found.notes:
        typer.echo(f"note {note}")
    typer.echo(f"{'VERIFIED' if found.ok else 'NOT VERIFIED'}: {found.size} events, root {found.root}")
    if not found.ok:
        raise typer.Exit(1)


@app.command()
def audit(
    env: Annotated[str, typer.Argument(metavar="[ENV]", help="one environment; else all of deploy.yaml")] = "",
    rehearse: Rehearse = False,  # noqa: FBT002 -- typer makes flags of booleans
) -> None:
    """Verify again everything of every record, for a scheduled job: one line each, and what to do. 0, or 1 where something is wrong."""
    from pytest_deploy.commands.audit import Audit

    well = True
    for found in Audit(Path.cwd(), rehearsal=rehearse).all(env):
        typer.echo(str(found))
        well = well and found.ok
    if not well:
        raise typer.Exit(1)


@app.command()
def anchor(env: Env, rehearse: Rehearse = False) -> None:  # noqa: FBT002
    """Make the anchors that policy names now: for a record that has none yet, or where the last could not be made."""
    from pytest_deploy.anchors.anchoring import anchor as make
    from pytest_deploy.platform.environment import Environment
    from pytest_deploy.policy.run_context import policy_of
    from pytest_deploy.record.run_id import NO_RUN

    workspace = Workspace(Path.cwd(), env, rehearsal=rehearse)
    environment = Environment(workspace, policy_of(workspace))
    named = environment.policy.anchors
    if not (named.lines or named.copies or named.github or named.timestamp):
        raise UsageError(f"deploy.yaml names no anchors for {env}: give anchors: {{copies: ...}}")
    if not environment.has_record:
        raise UsageError(f"{env} has no record yet: there is nothing to anchor")
    if not make(environment, run=NO_RUN, say=typer.echo):
        raise typer.Exit(1)
    typer.echo(environment.log.checkpoint())


Format = Annotated[str, typer.Option("--format", help="table, json, jsonl or csv")]
Reports = Annotated[Path, typer.Option(help="the folder that holds the records")]
Rebuild = Annotated[bool, typer.Option("--rebuild", help="build the index anew first")]


@app.command()
def history(
    *,
    env: Annotated[list[str] | None, typer.Option(help="an environment; may be given several times; else all")] = None,
    since: Annotated[
        str, typer.Option(help="runs not over before this day or instant (UTC day, or instant with zone)")
    ] = "",
    until: Annotated[str, typer.Option(help="runs begun up to the end of this day, or before this instant")] = "",
    commit: Annotated[str, typer.Option(help="the beginning of a commit")] = "",
    digest: Annotated[str, typer.Option(help="the beginning of an artefact's digest")] = "",
    version: Annotated[str, typer.Option(help="exactly this version")] = "",
    deployer: Annotated[str, typer.Option(help="part of who deployed")] = "",
    approver: Annotated[str, typer.Option(help="part of who signed: address or printed name")] = "",
    outcome: Annotated[str, typer.Option(help="some outcomes, with commas between")] = "",
    pipeline: Annotated[str, typer.Option(help="some pipelines, with commas between")] = "",
    migration: Annotated[str, typer.Option(help="runs that applied or rolled back this version")] = "",
    requirement: Annotated[
        str, typer.Option(help="runs with a step that verifies it: REQ-o00043 or REQ-o00043-K")
    ] = "",
    as_of: Annotated[str, typer.Option("--as-of", help="instead: what served at this instant, who approved it")] = "",
    form: Format = "table",
    limit: Annotated[
        int | None, typer.Option(min=0, help="at most so many runs; 0: all; else 50 in a table, all elsewhere")
    ] = None,
    rehearse: Rehearse = False,
    reports: Reports = Path("reports"),
    rebuild: Rebuild = False,
) -> None:
    """Which runs there were, or what served at an instant; each answer names the events it rests on."""
    from pytest_deploy.history import as_of as moment
    from pytest_deploy.history import words as query_words
    from pytest_deploy.history.answers import History
    from pytest_deploy.reports import text

    if form not in text.FORMATS:
        raise UsageError(f"--format={form}: right is {', '.join(text.FORMATS)}")
    words = {
        "since": since, "until": until, "commit": commit, "digest": digest, "version": version, "deployer": deployer,
        "approver": approver, "outcome": outcome, "pipeline": pipeline, "migration": migration, "requirement": requirement,
    }  # fmt: skip
    asked = query_words.ask(words)
    stores = query_words.stores(reports, env or [], rehearsal=rehearse)
    with History(stores, Path(".deploy") / "history", anew=rebuild) as known:
        if not as_of:
            most = limit if limit is not None else _SCREEN if form == "table" else 0
            said = text.listing_lines(known.runs(asked, limit=most), form)
        elif any(words.values()) or limit is not None:
            raise UsageError(
                "--as-of asks what served, not for runs: beside it stand --env, --rehearse and --format alone"
            )
        else:
            instant = query_words.instant("as-of", as_of)
            said = text.moment_lines([moment.at(known, name, instant) for name in stores], form)
        for line in said:
            typer.echo(line)


@app.command()
def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="the run's name")],
    form: Annotated[str, typer.Option("--format", help="table or json")] = "table",
    *,
    reports: Reports = Path("reports"),
    rebuild: Rebuild = False,
) -> None:
    """One run in words, from its request to what was said of it after it closed, with the events it rests on."""
    from pytest_deploy.history import words
    from pytest_deploy.history.answers import History
    from pytest_deploy.reports import text

    if form not in {"table", "json"}:
        raise UsageError(f"--format={form}: right is table or json")
    stores = words.stores(reports, [], rehearsal=run.startswith("rehearsal-"))
    with History(stores, Path(".deploy") / "history", anew=rebuild) as known:
        for line in text.run_lines(known.show(run), form):
            typer.echo(line)
