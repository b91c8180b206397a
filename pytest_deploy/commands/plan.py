"""`pytest-deploy plan`: run the plan of a release, or show the newest one as Markdown."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from pytest_deploy.commands import Env, Rehearse, print_lines
from pytest_deploy.commands.rollback import options_of
from pytest_deploy.errors import MigrationsRefused, Refused
from pytest_deploy.history.history import History, RunEvents
from pytest_deploy.history.runs import RunQuery
from pytest_deploy.migrate.migration_folder import read_migrations
from pytest_deploy.migrate.trial_result import Trial
from pytest_deploy.pipeline.plan import read_planned_diff
from pytest_deploy.policy.load import policy_of
from pytest_deploy.policy.policy import Policy
from pytest_deploy.record import stored_file
from pytest_deploy.record.event import of_type
from pytest_deploy.record.events import RequestMade, RunDecided, RunOpened, given
from pytest_deploy.record.open_record import record_store
from pytest_deploy.release.request import stored_request
from pytest_deploy.reports.plan_summary import Planned, plan_summary
from pytest_deploy.rollback.request import PIPELINE
from pytest_deploy.workspace import Workspace, program_command

_INDEX = Path(".deploy") / "history"
_TRIAL = "schema/rehearsal.json"


def plan(
    env: Env,
    *,
    rehearse: Rehearse = False,
    summary: Annotated[
        bool, typer.Option("--summary", help="run nothing: print the newest plan as Markdown, for a job or a comment")
    ] = False,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="VERSION", help="plan a rollback: to this version, the run that deployed it, or `earlier`"
        ),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="why; goes into the request")] = "",
    ticket: Annotated[str, typer.Option("--ticket", help="the ticket; goes into the request")] = "",
    rest: Annotated[list[str] | None, typer.Argument(metavar="[-- PYTEST OPTIONS]")] = None,
) -> None:
    """Plan a release, or a rollback: what would go, tried, and the request that people sign; `--summary` shows the newest plan as Markdown."""
    if not summary:
        from pytest_deploy.commands.run import run

        options = options_of(to=to, reason=reason, ticket=ticket)
        run(env, rehearse=rehearse, pipeline="plan", rest=[*options, *(rest or [])])
        return
    workspace = Workspace(Path.cwd(), env, rehearsal=rehearse)
    policy = policy_of(workspace)
    record = record_store(workspace, policy)
    none = Refused(f"{env} has no plan on record: `{workspace.command_line('run', '--pipeline', 'plan')}`")
    if next(iter(record.names("log/")), None) is None:
        raise none
    store = record.folder()
    with History({env: store}, _INDEX) as history:
        newest = history.runs(RunQuery(pipelines=("plan",)), limit=1).runs
        if not newest:
            raise none
        planned = _planned(store, history.show(newest[0].row.run), history)
    try:
        migrations = () if policy.migrations is None else read_migrations(workspace.root / policy.migrations)
    except MigrationsRefused:  # the plan says what is wrong with them
        migrations = ()
    print_lines(plan_summary(planned, migrations, _next(planned, policy)).splitlines())


def _planned(store: Path, shown: RunEvents, history: History) -> Planned:
    run = shown.events[0].run
    decided = next((decided for _, decided in of_type(shown.events, RunDecided)), None)
    named = None if decided is None else given(decided.request, None)
    trial = stored_file.file_of(store, f"runs/{run}/{_TRIAL}")
    tried = Trial.from_json(stored_file.read(trial).decode()) if trial.is_file() else None
    if named is None:
        return Planned(run, shown.events, None, "", tried, "")
    made = [event for event, _ in of_type(history.show(named).events, RequestMade)]
    request = stored_request(store, named, made).parsed
    return Planned(
        run,
        shown.events,
        request,
        made[-1].read(RequestMade).request_sha256,
        tried,
        "" if request["plan"] is None else read_planned_diff(store, request["plan"]),
    )


def _next(planned: Planned, policy: Policy) -> list[str]:
    """What to type: by people who approve, then by whoever runs it."""
    if planned.request is None:
        return []
    name = planned.request["run"]
    opened = next(opened for _, opened in of_type(planned.events, RunOpened))
    settings = [f"--deploy-set={key}={value}" for key, value in given(opened.sets, {}).items()]
    rehearse = ["--deploy-rehearse"] if opened.rehearsal else []
    goes_back = planned.request.get("pipeline") == PIPELINE
    approve = [program_command("approve", name)] if (policy.rollback if goes_back else policy.approval).roles else []
    settings += [f"--deploy-pipeline={PIPELINE}"] if goes_back else []
    return [
        *approve,
        shlex.join(["pytest", f"--deploy-env={policy.environment}", *rehearse, *settings, f"--deploy-run={name}"]),
    ]
