"""`pytest-deploy history` and `show`: which runs there were, what served at an instant, and one run in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from pytest_deploy.commands import Rehearse, print_lines, say
from pytest_deploy.errors import UsageError
from pytest_deploy.history.history import History
from pytest_deploy.history.runs import RunQuery, find_stores, parse_instant
from pytest_deploy.record.plain_text import escape_line
from pytest_deploy.reports import text
from pytest_deploy.reports.assertions import answers
from pytest_deploy.reports.trail import unreviewed
from pytest_deploy.traceability import register
from pytest_deploy.workspace import Workspace

_SCREEN = 50
"""Runs that a table shows unless told otherwise."""
_INDEX = Path(".deploy") / "history"

Format = Annotated[str, typer.Option("--format", help="table, json, jsonl or csv")]
Reports = Annotated[Path, typer.Option(help="the folder that holds the records")]
Rebuild = Annotated[bool, typer.Option("--rebuild", help="build the index anew first")]


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
        str,
        typer.Option(help="when it was exercised last, and the runs that did: PARCEL-12, or PARCEL for all of them"),
    ] = "",
    unreviewed: Annotated[
        bool, typer.Option("--unreviewed", help="closed runs alone that nobody has signed off, as reviewed or rejected")
    ] = False,
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
    if form not in text.FORMATS:
        raise UsageError(f"--format={form}: right is {', '.join(text.FORMATS)}")
    options = {
        "since": since, "until": until, "commit": commit, "digest": digest, "version": version, "deployer": deployer,
        "approver": approver, "outcome": outcome, "pipeline": pipeline, "migration": migration, "requirement": requirement,
    }  # fmt: skip
    query = RunQuery.from_options(options, unreviewed=unreviewed)
    stores = find_stores(reports, env or [], rehearsal=rehearse)
    with History(stores, _INDEX, rebuild=rebuild) as stores_history:
        if not as_of:
            most = limit if limit is not None else _SCREEN if form == "table" else 0
            asked = query.requirement
            about = answers(stores_history, asked, register.of_checkout(Path.cwd())) if asked else ()
            lines = text.listing_lines(stores_history.runs(query, limit=most), form, about)
            if form == "table":
                lines = chain(lines, _trails(stores_history, stores))
        elif any(options.values()) or unreviewed or limit is not None:
            raise UsageError(
                "--as-of asks what served, not for runs: beside it stand --env, --rehearse and --format alone"
            )
        else:
            instant = parse_instant("as-of", as_of)
            lines = text.moment_lines([stores_history.as_of(name, instant) for name in stores], form)
        print_lines(lines, say if form == "table" else typer.echo)


def _trails(asked: History, stores: Mapping[str, Path]) -> Iterator[str]:
    """How far the trail of each store was reviewed."""
    for name, store in stores.items():
        yield escape_line(f"{name} {unreviewed(Workspace.of_store(store), *asked.last_review(name))}")


def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="the run's name")],
    form: Annotated[str, typer.Option("--format", help="table or json")] = "table",
    *,
    reports: Reports = Path("reports"),
    rebuild: Rebuild = False,
) -> None:
    """One run in words, from its request to what was said of it after it closed, with the events it rests on."""
    if form not in {"table", "json"}:
        raise UsageError(f"--format={form}: right is table or json")
    stores = find_stores(reports, [], rehearsal=run.startswith("rehearsal-"))
    with History(stores, _INDEX, rebuild=rebuild) as stores_history:
        print_lines(text.run_lines(stores_history.show(run), form), say if form == "table" else typer.echo)
