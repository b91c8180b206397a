"""`pytest-deploy recover ENV`: what a run left behind is explained, undone or completed, and closed in the record.

Reads the log and the live state, nothing else: the process that began the run may have died at any instant.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pytest_deploy.commands import Env, Rehearse, say
from pytest_deploy.errors import CollectionRefused, DeployError, LeaseHeld, UsageError
from pytest_deploy.notify import outbox
from pytest_deploy.pipeline import processes, steps_lock
from pytest_deploy.pipeline.outcome import MANUAL_INTERVENTION
from pytest_deploy.pipeline.run import Run, RunObserver
from pytest_deploy.pipeline.sequence import Cause
from pytest_deploy.pipeline.served import require_served
from pytest_deploy.pipeline.steps_lock import Step, title_of
from pytest_deploy.pipeline.undo import roll_back
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.load import policy_of
from pytest_deploy.policy.run_context import RunContext
from pytest_deploy.record import lease as leases
from pytest_deploy.record.actor import PIPELINE_ACTOR, local_actor
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import (
    ClockSkewed,
    LeaseRenewed,
    LeaseTaken,
    RunAbandoned,
    RunOpened,
    RunPlanned,
    StepFinished,
    StepStarted,
    given,
)
from pytest_deploy.record.lease import Lease
from pytest_deploy.record.log import Log
from pytest_deploy.record.planned import PLAN
from pytest_deploy.record.run_folder import ABANDONED_SUMS, RunFolder
from pytest_deploy.record.run_state import LogState
from pytest_deploy.reports.anchor_record import anchor_record
from pytest_deploy.reports.seal import release_run, seal, set_aside, summary
from pytest_deploy.rollback.infrastructure import StackRollback, told_as_alert
from pytest_deploy.workspace import Workspace

_POLL_SECONDS = 1.0
_GRACE_SECONDS = 5.0


def recover(
    env: Env,
    *,
    rehearse: Rehearse = False,
    clock: Annotated[
        bool,
        typer.Option(
            "--clock", help="first let the record's time start again, where a wrong clock wrote into the future"
        ),
    ] = False,
    unattended: Annotated[
        bool,
        typer.Option(
            "--unattended", help="for CI and schedules: what may still run on another machine is left alone, exit 0"
        ),
    ] = False,
    looked_up: Annotated[
        list[str] | None,
        typer.Option(
            "--id", metavar="URN=ID", help="the id of a resource that a person looked up, where recover asks for it"
        ),
    ] = None,
) -> None:
    """Finish what a run left behind: explain, undo or complete, close. 0: consistent, no run open; 20: a person is needed."""
    workspace = Workspace(Path.cwd(), env, rehearsal=rehearse)
    ids = _ids(looked_up or [])
    environment = Environment(workspace, policy_of(workspace))
    if clock:
        event = environment.log.mend_clock(actor=local_actor())
        typer.echo(
            f"the record's time starts again at {stamp(event.earliest_next)}: event {event.seq}, {event.read(ClockSkewed).skew_s:.0f} s back"
        )
    if not environment.has_record:
        typer.echo(f"{env}: no record yet, so nothing to recover")
        return
    log = environment.log
    state = LogState.of(log.events())
    # The one that may have changed something first, then plans, which need no lease to be open.
    runs = sorted(state.open_runs(), key=lambda run: state.run(run).pipeline == PLAN)
    if not runs:
        typer.echo(f"{env}: no run is open in the record's {log.checkpoint().split()[2]} events")
    raise typer.Exit(
        max((_recover_run(workspace, log.run(run), unattended=unattended, ids=ids) for run in runs), default=0)
    )


def _ids(looked_up: list[str]) -> dict[str, str]:
    """URN -> id. Raises UsageError."""
    for text in looked_up:
        urn, _, id_ = text.rpartition("=")
        if not urn.startswith("urn:pulumi:") or not id_:
            raise UsageError(f"--id={text}: right is URN=ID, with the URN as `recover` printed it")
    return {urn: id_ for urn, _, id_ in (text.rpartition("=") for text in looked_up)}


class _Lines(RunObserver):
    """Of what the run tells, its lines: recover itself says the rest."""

    def line(self, text: str = "", **markup: bool) -> None:  # noqa: ARG002 -- a command's output has no markup
        say(text)


def _recover_run(workspace: Workspace, events: list[Event], *, unattended: bool, ids: Mapping[str, str]) -> int:
    opened, content = next(of_type(events, RunOpened))
    sets = tuple(f"{key}={value}" for key, value in given(content.sets, {}).items())
    context = RunContext(workspace, pipeline=content.pipeline, sets=sets, reason=content.reason or "", run=opened.run)
    environment = Environment(context.workspace, context.policy(), run=context.run, shift_s=context.shift_s)
    _explain(events)
    if unattended and _may_still_run(environment, events):
        say(f"       left alone: {context.run} may still run, and no time has shown that it does not")
        environment.close()
        return 0
    try:
        lease = None if context.pipeline == PLAN else _take_over(environment.log, events)
        return _finish(context, environment, opened, lease, ids)
    finally:
        environment.close()


def _explain(events: list[Event]) -> None:
    started = {step.nodeid: step for _, step in of_type(events, StepStarted)}
    finished = {step.nodeid for _, step in of_type(events, StepFinished)}
    typer.echo(f"found: run {events[-1].run}, open; its last event is {events[-1].type} at {stamp(events[-1].time)}")
    for nodeid, step in started.items():
        if nodeid not in finished:
            changing = "which changes the environment" if step.changes else "which changes nothing"
            typer.echo(f"       in {step.phase}, `{title_of(nodeid)}` began and did not end, {changing}")
    changed = [step for step in started.values() if step.changes]
    typer.echo(f"       {len(changed)} changing steps were announced" if changed else "       nothing had been changed")


def _may_still_run(environment: Environment, events: list[Event]) -> bool:
    """Whether a run's process may live somewhere: its lease does and nobody can tell, or, of a plan, its time limit has not passed.

    A decided run is no exception: who decided it may be sealing it.
    """
    now = environment.system_clock.now()
    opened, content = next(of_type(events, RunOpened))
    if content.pipeline == PLAN:
        return (now - opened.time).total_seconds() < environment.policy.run_limit
    taken = [event for event, _ in of_type(events, LeaseTaken)][-1]
    until = [e.content.until for e in events if isinstance(e.content, LeaseTaken | LeaseRenewed)][-1]
    return now < until and not leases.holder_gone(taken)


def _take_over(log: Log, events: list[Event]) -> Lease:
    name = next(lease.name for _, lease in of_type(events, LeaseTaken))
    until = [e.content.until for e in events if isinstance(e.content, LeaseTaken | LeaseRenewed)][-1]
    announced = False
    while True:
        try:
            return leases.take(log, events[0].run, name=name, actor=local_actor(), recovering=True)
        except LeaseHeld as refusal:
            if datetime.now(UTC) > until:
                raise
            if not announced:
                say(f"       waiting until {stamp(until)}: {refusal}")
                announced = True
            time.sleep(_POLL_SECONDS)


def _finish(
    context: RunContext, environment: Environment, opened: Event, lease: Lease | None, ids: Mapping[str, str]
) -> int:
    clock = environment.system_clock
    run = Run(
        environment=environment,
        context=context,
        steps=_steps(context, environment.log.run(opened.run)),
        observer=_Lines(),
        lease=lease,
        started_at=clock.monotonic() - max(0.0, (clock.now() - opened.time).total_seconds()),
    )
    with nullcontext() if lease is None else lease.renewing():
        # 1. Nothing is undone beside a step that still runs: a worker ends its step though its controller is gone.
        if left := processes.living_workers(context.session):
            typer.echo(f"       stopping what still runs of it: {', '.join(str(process.pid) for process in left)}")
            processes.stop_workers(left, grace_s=_GRACE_SECONDS)
        run.resume()
        # 2. Where nothing had been announced as changing, nothing is undone; a rollback that was begun is finished.
        if not (run.sequence.changed or run.sequence.rolling_back or run.decided):
            return _abandon(environment, run)
        # 3. An interrupted update of the infrastructure is made good first: where a person has to look something up, the run stays open.
        if not run.decided and not _make_good(run, ids):
            return MANUAL_INTERVENTION
        # 4. What the process left open is accounted for and undone; a decided run stays as it was decided.
        if not run.decided:
            run.settle(Cause("internal", "the process that ran it was gone; recovered"))
            require_served(run)
            if run.needs_rollback:
                typer.echo("doing: rolling back, from the log and the live state")
                roll_back(run)
        sealed = seal(run)
    code = MANUAL_INTERVENTION if run.outcome == "rollback-failed" else 0
    for line, _ in summary(run, sealed, code=code):
        say(line)
    outbox.deliver_run(environment, run.context.run, say=say)
    return code


def _make_good(run: Run, ids: Mapping[str, str]) -> bool:
    """Resolve what an interrupted update of the stack left; whether nothing is left of it."""
    try:
        recovered = StackRollback(run.environment, run.events()).make_good(ids)
    except DeployError as error:
        say(f"       the infrastructure: {run.environment.redact(str(error))}")
        again = run.context.workspace.command_line("recover")
        say(f"done: nothing yet, and the run stays open; mend that, then `{again}` again (ids: --id URN=ID)")
        return False
    if recovered is not None and (told := told_as_alert(recovered)) is not None:
        run.append(told)
        for line in recovered.told():
            say(f"       {line}")
    return True


def _abandon(environment: Environment, run: Run) -> int:
    """Nothing had been announced as changing: the run is closed as abandoned, over the files that are found."""
    set_aside(run)
    sums = RunFolder(run.log.store, run.context.run).seal(sums=ABANDONED_SUMS)
    cause = "the process that ran it was gone; nothing had been changed"
    run.log.append(RunAbandoned(cause=cause, found_sha256=sums), run=run.context.run, actor=PIPELINE_ACTOR)
    anchor_record(environment, run=run.context.run, say=say)
    release_run(run)
    typer.echo(f"done: run {run.context.run} abandoned; the environment is as it was")
    return 0


def _steps(context: RunContext, events: list[Event]) -> tuple[Step, ...]:
    """The steps that were planned: the lock's, if it is still the planned one, else those the log names."""
    planned = [plan.steps_sha256 for _, plan in of_type(events, RunPlanned)]
    try:
        steps = steps_lock.of_pipeline(context.workspace.steps_lock, context.pipeline)
    except CollectionRefused:
        steps = ()
    if planned and steps_lock.digest(steps) == planned[0]:
        return steps
    return tuple(
        Step(started.nodeid, started.phase, "rollback" if started.phase == "rollback" else "always", started.changes)
        for _, started in of_type(events, StepStarted)
    )
