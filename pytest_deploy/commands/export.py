"""`pytest-deploy export RUN DIR`: the reading is recorded, then the run is handed out into a new folder, outside the store."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from pytest_deploy.commands import print_lines, workspace_of_run
from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.platform.environment import record_of
from pytest_deploy.policy.load import policy_of
from pytest_deploy.record.actor import local_actor
from pytest_deploy.record.clock import SystemClock
from pytest_deploy.record.events import RecordRead
from pytest_deploy.record.log import Log
from pytest_deploy.record.plain_text import require_plain
from pytest_deploy.record.run_folder import listing
from pytest_deploy.reports.export import Export
from pytest_deploy.workspace import Workspace


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="a run that is closed")],
    into: Annotated[Path, typer.Argument(metavar="DIR", help="a new folder, outside reports/")],
    *,
    purpose: Annotated[str, typer.Option(help="what it is read for; goes into the record")] = "export",
    reader: Annotated[str, typer.Option(help="who reads it, where that is not you; goes into the record")] = "",
) -> None:
    """Hand out a run: its sealed files, its events, the current report, PDF and Allure's page where they can be made."""
    require_plain("--reader", reader)
    require_plain("--purpose", purpose)
    workspace = workspace_of_run(Path.cwd(), run)
    _check_place(workspace, into)
    if not (workspace.store / "log").is_dir():
        raise Refused(f"{run}: there is no record in {workspace.shown(workspace.store)}")
    log = _open(workspace, run)
    out = Export(log, workspace.store, run, into, root=workspace.root)
    out.check()
    head = log.head()
    reading = RecordRead(
        reader=reader or local_actor(),
        purpose=purpose,
        place=str(into),
        size=0 if head is None else head.seq + 1,
        files=len(listing(workspace.run_folder(run))),
    )
    out.begin()
    read = log.append(reading, run=run, actor=local_actor())
    events = [event for event in log.run(run) if event.seq <= read.seq]
    try:
        out.copy(events)
        out.render(events)
        lines = out.conclude(read, reading)
    except OSError as error:
        raise Refused(f"{into} is not whole: {error}; remove it, make room, export again") from error
    print_lines(lines)


def _open(workspace: Workspace, run: str) -> Log:
    """The record, with a rehearsal's clock where the run left it: its events carry both times."""
    policy = policy_of(workspace)
    log = record_of(workspace, policy, SystemClock())
    if not workspace.rehearsal:
        return log
    events = log.run(run)
    shift = events[-1].instant - events[-1].time if events else timedelta()
    return record_of(workspace, policy, SystemClock(), shift=shift)


def _check_place(workspace: Workspace, into: Path) -> None:
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise UsageError(f"{into} is not empty; right is a new folder: an export is not mixed with anything")
    if into.resolve().is_relative_to(workspace.reports.resolve()):
        raise UsageError(
            f"{into} lies among the records; right is a folder outside reports/: a store holds what was recorded"
        )
