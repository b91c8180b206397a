"""`deploy.py recover ENV`: what a run left behind is explained, undone or completed, and closed in the record.

Reads the log and the live state, nothing else: the process that began the run may have died at any instant.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pytest_deploy.commands import Env, Rehearse, Say
from pytest_deploy.errors import CollectionRefused, LeaseHeld
from pytest_deploy.pipeline import processes, steps_lock
from pytest_deploy.pipeline.anchor_record import anchor_record
from pytest_deploy.pipeline.outcome import MANUAL_INTERVENTION
from pytest_deploy.pipeline.run import Listener, Run
from pytest_deploy.pipeline.sequence import Cause
from pytest_deploy.pipeline.steps_lock import Step, title_of
from pytest_deploy.platform.environment import Environment
from pytest_deploy.plugin.deployment import PLAN, Deployment
from pytest_deploy.policy.phases import phases_of
from pytest_deploy.policy.run_context import RunContext, policy_of
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
from pytest_deploy.record.lease import Holder, Lease
from pytest_deploy.record.log import Log
from pytest_deploy.record.run_folder import FOUND, RunFolder
from pytest_deploy.record.run_state import LogState
from pytest_deploy.reports import evidence, index
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
) -> None:
    """Finish what a run left behind: explain, undo or complete, close. 0: consistent, no run open; 20: a person is needed."""
    workspace = Workspace(Path.cwd(), env, rehearsal=rehearse)
    if clock:
        mend_clock(workspace, typer.echo)
    raise typer.Exit(recover_environment(workspace, typer.echo))


def recover_environment(workspace: Workspace, say: Say) -> int:
    """Leave the environment consistent and no run open: 0, or 20 where a person is needed. `say` gets what is left behind and what is done.

    Raises ConfigurationError, RecordError; waits for the lease of a holder that may still live, saying so.
    """
    name = workspace.environment
    environment = Environment(workspace, policy_of(workspace))
    if not environment.has_record:
        say(f"{name}: no record yet, so nothing to recover")
        return 0
    log = environment.log
    state = LogState.of(log.events())
    # The one that may have changed something first, then plans, which need no lease to be open.
    runs = sorted(state.open_runs(), key=lambda run: state.run(run).pipeline == PLAN)
    if not runs:
        say(f"{name}: no run is open in the record's {log.checkpoint().split()[2]} events")
    return max((_recover_run(workspace, log.run(run), say) for run in runs), default=0)


def mend_clock(workspace: Workspace, say: Say) -> None:
    """Let the record's time start again at this machine's, by a signed event that every verifier reports.

    For a record whose newest event a wrong clock wrote into the future. Raises RecordError where it did not.
    """
    event = Environment(workspace, policy_of(workspace)).log.mend_clock(actor=local_actor())
    say(
        f"the record's time starts again at {stamp(event.earliest_next)}: event {event.seq}, {event.read(ClockSkewed).skew_s:.0f} s back"
    )


def _recover_run(workspace: Workspace, events: list[Event], say: Say) -> int:
    opened, content = next(of_type(events, RunOpened))
    sets = tuple(f"{key}={value}" for key, value in given(content.sets, {}).items())
    context = RunContext(workspace, pipeline=content.pipeline, sets=sets, reason=content.reason or "", run=opened.run)
    environment = Environment(context.workspace, context.policy(), run=context.run, shift_s=context.shift_s)
    _explain(events, say)
    try:
        taken = None if context.pipeline == PLAN else _take_over(environment.log, events, say)
        return _finish(context, environment, opened, taken, say)
    finally:
        environment.close()


def _explain(events: list[Event], say: Say) -> None:
    started = {step.nodeid: step for _, step in of_type(events, StepStarted)}
    finished = {step.nodeid for _, step in of_type(events, StepFinished)}
    say(f"found: run {events[-1].run}, open; its last event is {events[-1].type} at {stamp(events[-1].time)}")
    for nodeid, step in started.items():
        if nodeid not in finished:
            changing = "which changes the environment" if step.changes else "which changes nothing"
            say(f"       in {step.phase}, `{title_of(nodeid)}` began and did not end, {changing}")
    changed = [step for step in started.values() if step.changes]
    say(f"       {len(changed)} changing steps were announced" if changed else "       nothing had been changed")


def _take_over(log: Log, events: list[Event], say: Say) -> Lease:
    name = next(lease.name for _, lease in of_type(events, LeaseTaken))
    until = [e.content.until for e in events if isinstance(e.content, LeaseTaken | LeaseRenewed)][-1]
    actor = local_actor()
    announced = False
    while True:
        try:
            return leases.take(
                log,
                events[0].run,
                name=name,
                actor=actor,
                holder=Holder.this_process(actor),
                recovering=True,
            )
        except LeaseHeld as refusal:
            if datetime.now(UTC) > until:
                raise
            if not announced:
                say(f"       waiting until {stamp(until)}: {refusal}")
                announced = True
            time.sleep(_POLL_SECONDS)


def _finish(context: RunContext, environment: Environment, opened: Event, lease: Lease | None, say: Say) -> int:
    run = Run(
        context=context,
        policy=environment.policy,
        log=environment.log,
        lease=lease,
        clock=environment.clock,
        steps=_steps(context, environment.log.run(opened.run)),
        started_at=environment.clock.monotonic() - max(0.0, (environment.clock.now() - opened.time).total_seconds()),
    )
    with nullcontext() if lease is None else lease.renewing():
        # 1. Nothing of it runs any more, and its state is what the log says.
        _stop_workers(run, say)
        run.resume()

        # 2. Where nothing was changed there is nothing to undo.
        if not run.sequence.changed and not run.decided:
            return _abandon(environment, run, say)

        # 3. What was changed is rolled back, and the run decided.
        deployment = Deployment(environment, context, plugins={}, options={}, listener=Listener(), say=say)
        if not run.decided:
            run.settle(Cause("internal", "the process that ran it was gone; recovered"))
            if run.rollback_owed:
                say("doing: rolling back, from the log and the live state")
                deployment.undo(run)

        # 4. The record is sealed, as at the end of any run.
        deployment.seal(run)
    for line, _ in deployment.summary(run, 0):
        say(line)
    return MANUAL_INTERVENTION if run.outcome == "rollback-failed" else 0


def _stop_workers(run: Run, say: Say) -> None:
    """A worker ends its step though its controller is gone; nothing is undone beside it."""
    left = processes.living_workers(run.context.session)
    if left:
        say(f"       stopping what still runs of it: {', '.join(str(process.pid) for process in left)}")
        processes.stop_workers(left, grace_s=_GRACE_SECONDS)


def _abandon(environment: Environment, run: Run, say: Say) -> int:
    """Nothing had been announced as changing: the run is closed as abandoned, over the files that are found."""
    sums = RunFolder(run.log.store, run.context.run).seal(sums=FOUND)
    cause = "the process that ran it was gone; nothing had been changed"
    run.log.append(RunAbandoned(cause=cause, found_sha256=sums), run=run.context.run, actor=PIPELINE_ACTOR)
    anchor_record(environment, run=run.context.run, say=say)
    if run.lease is not None:
        run.lease.release()
    evidence.remove(run.context.session)
    for fault in index.write(run.context.workspace.reports):
        say(fault)
    say(f"done: run {run.context.run} abandoned; the environment is as it was")
    return 0


def _steps(context: RunContext, events: list[Event]) -> tuple[Step, ...]:
    """The steps that were planned: the lock's, if it is still the planned one, else those the log names."""
    phases = phases_of(context.pipeline)
    planned = [plan.steps_sha256 for _, plan in of_type(events, RunPlanned)]
    try:
        steps = tuple(step for step in steps_lock.read(context.workspace.steps_lock) if step.phase in phases)
    except CollectionRefused:
        steps = ()
    if planned and steps_lock.digest(steps) == planned[0]:
        return steps
    return tuple(
        Step(one.nodeid, one.phase, "rollback" if one.phase == "rollback" else "always", one.changes)
        for _, one in of_type(events, StepStarted)
    )
