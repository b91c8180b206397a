"""What a plan concludes with: the request that people approve, what is still owed, and the earliest start."""

from __future__ import annotations

import hashlib
import json
import shlex
import statistics
from collections.abc import Callable, Sequence
from datetime import datetime

from pytest_deploy.errors import DeployError, MigrationsRefused, Refused
from pytest_deploy.gates.earliest import Earliest, earliest
from pytest_deploy.gates.registry import Gates
from pytest_deploy.migrate.migrations import Migrations
from pytest_deploy.pipeline import steps_lock
from pytest_deploy.pipeline.run import Run
from pytest_deploy.pipeline.sequence import Cause
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.run_context import RunContext
from pytest_deploy.record.actor import PIPELINE_ACTOR
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.run_folder import RunFolder
from pytest_deploy.record.run_id import new_run_id
from pytest_deploy.release import request
from pytest_deploy.release.candidate import of_request
from pytest_deploy.release.request import PendingRequest, Plan, build_request, built_image
from pytest_deploy.release.source import Source

_NEWEST = 10
PLANNED_DIFF = "schema/planned.diff"


def conclude(environment: Environment, source: Source, run: Run, say: Callable[[str], None]) -> None:
    """Make the request, unless something but a gate stands against it; say what is owed and from when it can go."""
    if faults := _unfit(run.events()):
        say("")
        say("no request was made: mend what failed, then plan again")
        for fault in faults:
            say(f"  {fault}")
        if waiting := _waiting(run.events()):
            say("what waits besides, whatever is mended:")
            for one in waiting:
                say(f"  {one}")
        return
    try:
        found, kept = _request(environment, source, run, say)
        waits = _waits(environment, found)
    except DeployError as error:
        run.close(Cause("request", f"the request could not be made: {error}"))
        return
    run.concluded = {
        "request": found.run,
        "earliest_start": None if waits.at is None else stamp(waits.at),
        "owed": list(waits.still_needed),
    }
    for line in _told(environment, run.context, found, waits, kept=kept):
        say(line)


def _unfit(events: Sequence[Event]) -> list[str]:
    """The steps that failed and are not gates: what is asked for is not fit to be asked for."""
    failed = [e for e in events if e.type == "step.finished" and e.data["outcome"] != "passed"]
    lost = [e for e in events if e.type == "step.not-run" and e.data["phase"] != "approval"]
    not_gates = [e for e in failed if not (isinstance(e.data["actual"], dict) and "gate" in e.data["actual"])]
    return [f"{e.data['nodeid']}: {e.data['message'] or e.data['outcome']}".splitlines()[0] for e in not_gates] + [
        f"{e.data['nodeid']}: {e.data['cause']}" for e in lost
    ]


def _waiting(events: Sequence[Event]) -> list[str]:
    """The gates that refused for now: time or signatures lift them, and their steps passed."""
    passed = {e.data["nodeid"] for e in events if e.type == "step.finished" and e.data["outcome"] == "passed"}
    said = [e.data["actual"] for e in events if e.type == "step.finished" and e.data["nodeid"] in passed]
    gates = {one["gate"] for one in said if isinstance(one, dict) and "gate" in one}
    told = [e.data for e in events if e.type == "gate.refused" and e.data["gate"] in gates]
    return [f"{one['gate']}: {one['reason']}" for one in told]


def _request(
    environment: Environment, source: Source, run: Run, say: Callable[[str], None]
) -> tuple[PendingRequest, bool]:
    """The request for what was planned: the one that lives already where nothing drifted, else a new one."""
    context, log = run.context, environment.log
    image = built_image(run.events())
    steps_sha256 = steps_lock.digest_of_pipeline(context.workspace.steps_lock, request.PIPELINE)
    now = environment.clock.now()
    found = build_request(
        environment, context, source, run=context.run, image=image, steps_sha256=steps_sha256
    ).parsed()
    for old in request.pending(log.history(), now):
        try:
            said = json.loads(request.stored_request(context.workspace.store, old.run, [old.made]))
            drifted = request.drift(said, found)
        except Refused as unreadable:
            drifted = (str(unreadable),)
        if not drifted:
            return old, True
        log.append(
            "request.voided",
            {"cause": "drift", "request_sha256": old.sha256, "detail": list(drifted), "by": context.run},
            run=old.run,
            actor=PIPELINE_ACTOR,
        )
        say(f"request {old.run} is void: {'; '.join(drifted)}")
    diff = _schema_diff(environment).encode()
    RunFolder(log.store, context.run).create(PLANNED_DIFF, diff)
    name = new_run_id(context.workspace.environment, environment.system, rehearsal=context.rehearsal)
    plan = Plan(context.run, hashlib.sha256(diff).hexdigest())
    made = build_request(environment, context, source, run=name, image=image, steps_sha256=steps_sha256, plan=plan)
    RunFolder(log.store, name).create("request.json", made.content)
    event = log.append("request.made", made.event_data(), run=name, actor=PIPELINE_ACTOR)
    (waiting,) = request.pending([event], now)
    return waiting, False


def _schema_diff(environment: Environment) -> str:
    """What applying would change, executed on the environment's own database and taken back."""
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


def _waits(environment: Environment, found: PendingRequest) -> Earliest:
    """From when every gate can pass, and what must be done until then."""
    gates = Gates(environment, of_request(environment, found.run))
    return earliest(gates.judges(), environment.clock.now())


def _told(
    environment: Environment, context: RunContext, found: PendingRequest, waits: Earliest, *, kept: bool
) -> list[str]:
    lines = ["", f"request   {found.run}" + (" stands: nothing drifted since it was made" if kept else "")]
    lines += [f"takes     {_expected(environment)}"]
    lines += ["preview   none: the embedded platform has no infrastructure of its own"]
    lines += [f"expires   {_both(found.expires, environment)}"]
    lines += [f"owed      {owed}" for owed in waits.still_needed] or ["owed      nothing"]
    start = "not within a year: see what is owed" if waits.at is None else _both(waits.at, environment)
    lines += [f"earliest  {start}"]
    if any(role for role in environment.policy.approval.roles):
        lines += [f"approve   python deploy.py approve {found.run}"]
    lines += [f"run       {_line(environment, context, found)}"]
    return lines


def _line(environment: Environment, context: RunContext, found: PendingRequest) -> str:
    """What runs it: with the settings it was planned with, for with others it is another request."""
    words = ["pytest", f"--deploy-env={environment.policy.environment}"]
    words += ["--deploy-rehearse"] if context.rehearsal else []
    words += [f"--deploy-set={one}" for one in context.sets]
    return shlex.join([*words, f"--deploy-run={found.run}"])


def _expected(environment: Environment) -> str:
    """How long it will take, by what earlier deployments took, against what policy allows."""
    allowed = f"allowed are {environment.policy.sla_s:g} s, and the window must hold them"
    done = [e for e in environment.log.history() if e.type == "run.decided" and e.data["outcome"] == "deployed"]
    if not done:
        return f"not known: nothing was deployed here yet; {allowed}"
    newest = [event.data["duration_s"] for event in done[-_NEWEST:]]
    return f"{statistics.median(newest):.1f} s, the median of the last {len(newest)}; {allowed}"


def _both(instant: datetime, environment: Environment) -> str:
    """An instant in UTC, and in the window's own zone where there is one."""
    window = environment.policy.window
    if window is None:
        return stamp(instant)
    from zoneinfo import ZoneInfo

    return f"{stamp(instant)} ({instant.astimezone(ZoneInfo(window.zone)):%A %H:%M} {window.zone})"
