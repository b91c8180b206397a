"""What a plan concludes with: the request that people approve, what is still needed, and the earliest start."""

from __future__ import annotations

import hashlib
import shlex
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from pytest_deploy.errors import DeployError, MigrationsRefused, Refused
from pytest_deploy.gates.registry import Earliest, Gatekeeper, earliest
from pytest_deploy.migrate.migrations import Migrations
from pytest_deploy.pipeline.outcome import judge
from pytest_deploy.pipeline.requests import make_request, request_now, rollback_request
from pytest_deploy.pipeline.run import Run
from pytest_deploy.pipeline.sequence import Cause, goes_on
from pytest_deploy.platform.environment import Environment
from pytest_deploy.platform.infrastructure import NoInfrastructure
from pytest_deploy.record import stored_file
from pytest_deploy.record.actor import PIPELINE_ACTOR
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import of_type
from pytest_deploy.record.events import GateRefused, RequestVoided, RunDecided, StepFinished, StepNotRun
from pytest_deploy.record.planned import PLAN_PASSED, plan_fault
from pytest_deploy.record.run_folder import RunFolder
from pytest_deploy.record.run_id import new_run_id
from pytest_deploy.release import infrastructure, request
from pytest_deploy.release.candidate import of_request
from pytest_deploy.release.request import PendingRequest, Plan, Request, built_image
from pytest_deploy.release.source import Source
from pytest_deploy.rollback import request as rollback
from pytest_deploy.workspace import program_command

_RUNS_COMPARED = 10
PLANNED_DIFF = "schema/planned.diff"


def read_planned_diff(store: Path, plan: Mapping[str, str]) -> str:
    """The schema's difference that a request names as its `plan` has it. Raises Refused where it is another."""
    place = stored_file.file_of(store, f"runs/{plan['run']}/{PLANNED_DIFF}")
    content = stored_file.read(place)
    if hashlib.sha256(content).hexdigest() != plan["schema_diff_sha256"]:
        raise Refused(f"{place} is not the diff the request names: somebody changed it; do not sign, verify the record")
    return content.decode()


def conclude(run: Run, source: Source) -> None:
    """Make the request where the plan passes; say what is still needed and from when it can go."""
    environment, say = run.environment, run.observer.line
    found = judge(run.events(), run.required, run.sequence.closed, pipeline=run.context.pipeline)
    if found.outcome not in PLAN_PASSED:
        say("")
        say("no request was made: mend what failed, then plan again")
        for fault in _failed_checks(run) or [found.cause]:
            say(f"  {fault}")
        if waiting := _waiting_gates(run):
            say("what waits besides, whatever is mended:")
            for gate in waiting:
                say(f"  {gate}")
        return
    try:
        pending, kept = _request(run, source)
        waits = earliest(
            Gatekeeper(
                environment, replace(of_request(environment.workspace.store, pending.run), planning=True)
            ).judges(),
            environment.clock.now(),
        )
    except DeployError as error:
        run.close(Cause("request", f"the request could not be made: {error}"))
        return
    run.plan_result = {"request": pending.run, "earliest_start": waits.at, "owed": list(waits.still_needed)}
    for line in _summary(run, pending, waits, kept=kept):
        say(line)


def _failed_checks(run: Run) -> list[str]:
    """The steps that failed, gates among them: what is asked for is not fit to be asked for."""
    events = run.events()
    failed = [step for _, step in of_type(events, StepFinished) if not goes_on(step.outcome, run.context.pipeline)]
    not_run = [step for _, step in of_type(events, StepNotRun) if step.phase != "approval"]
    return [f"{step.nodeid}: {step.message or step.outcome}".splitlines()[0] for step in failed] + [
        f"{step.nodeid}: {step.cause}" for step in not_run
    ]


def _waiting_gates(run: Run) -> list[str]:
    """The gates that refused for now: time or signatures lift them."""
    refusals = [refusal for _, refusal in of_type(run.events(), GateRefused)]
    return [f"{refusal.gate}: {refusal.reason}" for refusal in refusals if refusal.verdict == "still-needed"]


def _request(run: Run, source: Source) -> tuple[PendingRequest, bool]:
    """The request for what was planned, and whether it stood already: nothing drifted since it was made."""
    environment, context, log = run.environment, run.context, run.log
    # 1. What would be asked for now.
    ask = _rollback(run, source) if context.goes_back else _deployment(run, source)
    now = environment.clock.now()
    candidate = ask.now
    # 2. A request that lives and says the same stands; every other one is void.
    for pending in request.pending(log.history(), now):
        if pending.pipeline != candidate.pipeline:
            continue
        try:
            approved = request.stored_request(context.workspace.store, pending.run, [pending.made]).parsed
            unplanned = plan_fault(log.history(), pending.run)
            drifted = (unplanned,) if unplanned else request.drift(approved, candidate.parsed)
        except Refused as unreadable:
            drifted = (str(unreadable),)
        if not drifted:
            return pending, True
        void = RequestVoided(cause="drift", request_sha256=pending.sha256, detail=list(drifted), by=context.run)
        log.append(void, run=pending.run, actor=PIPELINE_ACTOR)
        run.observer.line(f"request {pending.run} is void: {'; '.join(drifted)}")
    # 3. A new one, with the schema's difference that people read before they sign.
    diff = ask.schema_diff().encode()
    RunFolder(log.store, context.run).create(PLANNED_DIFF, diff)
    name = new_run_id(context.workspace.environment, environment.system_clock, rehearsal=context.rehearsal)
    plan = Plan(context.run, hashlib.sha256(diff).hexdigest())
    (waiting,) = request.pending([make_request(environment, name, ask.render(name, plan))], now)
    return waiting, False


@dataclass(frozen=True)
class _Asked:
    """What a plan asks for."""

    now: Request
    """What the plan itself would ask for, to compare what waits with."""
    render: Callable[[str, Plan], Request]
    """The request for a run, by the plan that makes it."""
    schema_diff: Callable[[], str]
    """What people read of the schema before they sign."""


def _deployment(run: Run, source: Source) -> _Asked:
    environment, image = run.environment, built_image(run.events())
    asked = request_now(environment, run.context, source, image)
    previewed = asked.parsed[infrastructure.KEY]  # it takes minutes: asked once
    return _Asked(
        asked,
        lambda name, plan: request_now(
            environment, run.context, source, image, run=name, plan=plan, previewed=previewed
        ),
        lambda: _schema_diff(environment),
    )


def _rollback(run: Run, source: Source) -> _Asked:
    environment = run.environment
    asked = rollback.plan_rollback(environment, run.context.to)
    return _Asked(
        rollback_request(environment, run.context, source, asked),
        lambda name, plan: rollback_request(environment, run.context, source, asked, run=name, plan=plan),
        lambda: rollback.ways_back(environment, asked),
    )


def _schema_diff(environment: Environment) -> str:
    """What applying would change, executed on the environment's own database and taken back."""
    if environment.policy.database is None:
        return "-- this environment has no database\n"
    if environment.migrations_folder is None:
        return "-- a step of the project's own moves the schema: nothing is known of it before it runs\n"
    try:
        tried = Migrations.of(environment).dry_run()
    except MigrationsRefused as refused:
        if all("outside a transaction" in fault.problem for fault in refused.faults):
            return "".join(f"{fault}\n" for fault in refused.faults)
        raise
    locks = "".join(f"-- locks {relation}: {mode}\n" for relation, mode in tried.locks)
    times = "".join(
        f"-- {version} took {seconds:.3f} s\n"
        for version, seconds in zip(tried.versions, tried.durations_s, strict=True)
    )
    return f"{times}{locks}{tried.schema_diff}" or "-- no migration is pending: the schema stays as it is\n"


def _summary(run: Run, pending: PendingRequest, waits: Earliest, *, kept: bool) -> list[str]:
    environment, context = run.environment, run.context
    start = "not within a year: see what is needed" if waits.at is None else _in_both_zones(waits.at, environment)
    # With the settings it was planned with: with others it is another request. A rehearsal need not wait for its earliest start.
    rehearse = ["--deploy-rehearse"] if context.rehearsal else []
    if context.rehearsal and waits.at is not None and waits.at > environment.clock.now():
        rehearse.append(f"--deploy-at={waits.at + timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}")
    settings = [f"--deploy-set={setting}" for setting in context.sets]
    rehearse += [f"--deploy-pipeline={pending.pipeline}"] if context.goes_back else []
    words = [f"--deploy-env={environment.policy.environment}", *rehearse, *settings, f"--deploy-run={pending.run}"]
    return [
        "",
        f"request   {pending.run}" + (" stands: nothing drifted since it was made" if kept else ""),
        f"takes     {_expected_duration(environment)}",
        *_preview(environment, pending),
        f"expires   {_in_both_zones(pending.expires, environment)}",
        *([f"needed    {sentence}" for sentence in waits.still_needed] or ["needed    nothing"]),
        f"earliest  {start}",
        *_next_commands(environment, pending, waits, shlex.join(["pytest", *words])),
    ]


def _preview(environment: Environment, pending: PendingRequest) -> list[str]:
    """What the request would change of the infrastructure."""
    stored = request.stored_request(environment.workspace.store, pending.run, [pending.made])
    planned = infrastructure.PlannedInfrastructure.of(stored.parsed)
    if planned is None:
        stack = environment.platform.infrastructure
        return [f"preview   none: {stack.reason}" if isinstance(stack, NoInfrastructure) else "preview   none"]
    changes = planned.preview.changes
    count = "1 change" if len(changes) == 1 else f"{len(changes)} changes"
    return [f"preview   {count} of the infrastructure", *(f"            {change}" for change in changes)]


def _next_commands(environment: Environment, pending: PendingRequest, waits: Earliest, run: str) -> list[str]:
    """What to type next. Where the request expires before it can start: no command, since it would come to nothing."""
    if waits.at is None:
        return ["next      nothing to sign or to run: plan again when what is needed is there"]
    if waits.at >= pending.expires:
        lives = pending.expires - pending.made.instant
        after = _in_both_zones(waits.at - lives, environment)
        return [
            f"next      nothing to sign or to run: the request expires before it can start; plan again after {after}"
        ]
    policy = environment.policy
    roles = policy.rollback.roles if pending.pipeline == rollback.PIPELINE else policy.approval.roles
    approve = [f"approve   {program_command('approve', pending.run)}"] if roles else []
    return [*approve, f"run       {run}"]


def _expected_duration(environment: Environment) -> str:
    """How long it will take, by what earlier deployments took, against what policy allows."""
    allowed = f"allowed are {environment.policy.sla_s:g} s, and the window must hold them"
    deployed = [run for _, run in of_type(environment.log.history(), RunDecided) if run.outcome == "deployed"]
    if not deployed:
        return f"not known: nothing was deployed here yet; {allowed}"
    newest = [run.duration_s for run in deployed[-_RUNS_COMPARED:]]
    return f"{statistics.median(newest):.1f} s, the median of the last {len(newest)}; {allowed}"


def _in_both_zones(instant: datetime, environment: Environment) -> str:
    """An instant in UTC, and in the window's own zone where there is one."""
    window = environment.policy.window
    if window is None:
        return stamp(instant)
    from zoneinfo import ZoneInfo

    return f"{stamp(instant)} ({instant.astimezone(ZoneInfo(window.zone)):%A %H:%M} {window.zone})"
