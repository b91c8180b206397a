"""Opening a run: what stands against it is refused, the lease is taken, `run.opened` and `run.planned` are written."""

from __future__ import annotations

import hashlib
import logging
import platform as machine
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from msgspec import UNSET, structs

from pytest_deploy.approvals.roster import in_force
from pytest_deploy.errors import DeployError, LeaseHeld, Refused, UsageError
from pytest_deploy.migrate.tools import require_tools
from pytest_deploy.pipeline import steps_lock
from pytest_deploy.pipeline.authorize_run import authorize_lease, rate_limit_condition
from pytest_deploy.pipeline.requests import approved_request, make_request, rollback_request
from pytest_deploy.pipeline.run import Run, RunObserver
from pytest_deploy.pipeline.steps_lock import Step
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.replaced_steps import STANDARD
from pytest_deploy.policy.run_context import RunContext
from pytest_deploy.record import lease, preimages, programs
from pytest_deploy.record.actor import PIPELINE_ACTOR, local_actor
from pytest_deploy.record.event import LIMIT, Event, canonical, of_type
from pytest_deploy.record.events import RequestMade, RequestVoided, RunOpened, given
from pytest_deploy.record.lease import Lease
from pytest_deploy.record.open_record import refuse_removed_record
from pytest_deploy.record.planned import PLAN
from pytest_deploy.release import live, source
from pytest_deploy.release.request import PIPELINE
from pytest_deploy.release.source import Source
from pytest_deploy.rollback import request as rollback
from pytest_deploy.rollback.request import AskedRollback
from pytest_deploy.rollback.target import EARLIER

logger = logging.getLogger(__name__)

_ROOM: Final = LIMIT - 4_096
"""Bytes of `run.opened` for what is known before the lease: its own keys, and the release that smoke finds, come on top."""
_CUT = re.compile(r"\[([^\[\]\"]+)\]")
"""What stands in place of a secret: its name."""


def headline(environment: Environment, context: RunContext, source_: Source) -> list[str]:
    """What begins, for the person watching: what is deployed, where, by whom."""
    policy = environment.policy
    what = f"{context.pipeline} {policy.service.name} {source_.version} to {policy.environment}"
    if context.goes_back:
        to = context.to if context.to not in {"", EARLIER} else "the release before"
        what = f"{'plan of a ' if context.pipeline == PLAN else ''}rollback of {policy.service.name} in {policy.environment} to {to}"
    lines = [f"{what}, by {local_actor()}"]
    if source_.dirty:
        lines.append("the tree has uncommitted changes: they are deployed too, and the record says so")
    lines += [f"set for this run: {key}={value}" for key, value in policy.settings.items()]
    if environment.substituted:
        replaced = ", ".join(environment.substituted)
        lines.append(f"in place of the environment's own, so that nothing of it is verified: {replaced}")
    return [*lines, f"run {context.run}"]


def open_run(
    environment: Environment,
    context: RunContext,
    source_: Source,
    steps: tuple[Step, ...],
    *,
    observer: RunObserver,
    plugins: Mapping[str, str],
    plugins_kept_out: Mapping[str, str],
    options: Mapping[str, object],
    began: float,
    stopped: Callable[[], int | None] = lambda: None,
) -> Run:
    """Ask the gates where a request was approved, take the lease (a plan takes none), open the run.

    Args:
        environment: what is deployed to.
        context: the run, named.
        source_: the checkout that is deployed.
        steps: the accepted collection, in order.
        observer: told what the run does.
        plugins: the active pytest plug-ins, name and version.
        plugins_kept_out: the installed ones that take no part, the same.
        options: pytest's options that differ from their defaults.
        began: when the deployment's process began, in seconds since the epoch.
        stopped: the signal that came, which ends the waiting for a lease.

    Raises:
        UsageError: a tool that moves the schema is not installed, or what opens the run does not fit its event.
        Refused: with every refusal, secrets that cannot be had among them; RequestRefused where the record holds why.
        PlatformUnavailable: there is no record yet, and it cannot be told whether a release serves.
        LeaseHeld: another run holds the environment, and goes on to as long as policy waits.
        Interrupted: a signal came while it was waited for.
        ManualInterventionRequired: a run was left open.
        RecordError: the record cannot be written or does not verify.
    """
    # 1. What moves the schema is installed; what is not committed is deployed only where policy allows that.
    if context.pipeline in {PIPELINE, PLAN} and environment.policy.migrations is not None:
        require_tools()
    if source_.dirty and not environment.policy.dirty_tree:
        raise Refused(
            f"the tree has uncommitted changes, and {environment.policy.environment} deploys commits only: commit or discard "
            "them (`git status` lists them), then run again"
        )
    environment.secrets.fetch()  # before anything is opened, and never first when a change needs them
    if environment.policy.approval.roles:
        refuse_secret_in_policy(environment)
    if context.goes_back:
        refuse_unfit_rollback(environment, context)
    if not environment.has_record:
        refuse_removed_record(environment.store, context.workspace.key_file)
        live.refuse_serving(environment)
    # 2. What the run is opened with fits the event that says it.
    opening_event = partial(
        _opening_event,
        environment,
        context,
        plugins=plugins,
        plugins_kept_out=plugins_kept_out,
        options=options,
    )
    require_room(opening_event(source_, judged=judged_by(environment, context)))
    # 3. The lease, after the gates; it is renewed until the run is sealed.
    lease: Lease | None = None
    waited_s = 0.0
    if context.pipeline != PLAN:
        lease, waited_s = take_lease(environment, context, source_, say=observer.line, stopped=stopped)
        lease.start_renewing()
    if context.goes_back:
        source_ = goes_back_to(environment, context, source_, say=observer.line)
    # 4. The run. Where it cannot be opened the lease is given back. Who waited for another did not work meanwhile.
    age_s = max(0.0, time.time() - began - waited_s)
    run = Run(
        environment=environment,
        context=context,
        steps=steps,
        observer=observer,
        lease=lease,
        started_at=environment.system_clock.monotonic() - age_s,
        source=source_,
    )
    try:
        judged = judged_by(environment, context)
        preimages.keep(environment.log.store, judged)
        opening = opening_event(source_, judged=judged)
        # Smoke alone checks what serves: which release that is makes it evidence for the next environment.
        target = live.serving(environment.platform) if context.pipeline == "smoke" else UNSET
        run.open(structs.replace(opening, target=target))
    except DeployError:
        if lease is not None:
            lease.stop_renewing()
            with suppress(DeployError):  # once the run is open its lease runs out, and recover is what follows
                lease.release()
        raise
    logger.info("run %s is open", context.run)
    return run


def refuse_secret_in_policy(environment: Environment) -> None:
    """People sign the digest of a policy whose text is kept, so nothing may have to be cut from it. Raises Refused."""
    text = environment.policy.canonical()
    environment.secrets.take_in()
    kept = environment.secrets.redactor.data(text)
    if kept == text:
        return
    names = sorted(set(_CUT.findall(kept.decode())) - set(_CUT.findall(text.decode())))
    raise Refused(
        f"the policy of {environment.policy.environment} holds the value of a secret ({', '.join(names)}), "
        "and is kept as it is signed: take it out of deploy.yaml, or give the secret another value, then plan again"
    )


def take_lease(
    environment: Environment,
    context: RunContext,
    source_: Source,
    *,
    say: Callable[[str], None],
    stopped: Callable[[], int | None],
) -> tuple[Lease, float]:
    """Take the environment's lease, once it is free; where a request was approved, only after every gate passed.

    With it the seconds that it was waited for, `lease.wait_s` of policy at most. A rollback's request is made when nobody else
    works any more: what it goes back from is what serves then.
    """
    waited_s, limit_s = 0.0, environment.policy.lease.wait_s
    asked: Event | None = None
    while True:
        waited_s += lease.wait_until_free(environment.log, max(0.0, limit_s - waited_s), say=say, stopped=stopped)
        if context.request:
            authorize_lease(environment, context, source_)
        elif context.pipeline == rollback.PIPELINE and asked is None:
            asked = ask_for_rollback(environment, context, source_, say=say)
        try:
            taken = lease.take(
                environment.log,
                context.run,
                name=environment.policy.environment,
                actor=local_actor(),
                extra_condition=rate_limit_condition(environment, context) if context.pipeline == PIPELINE else None,
                waited_s=waited_s,
            )
        except LeaseHeld:
            # Of several that waited one was faster: the others wait on.
            if waited_s >= limit_s or not lease.is_held_by_the_living(environment.log):
                if asked is not None:
                    void = RequestVoided(cause="lease", request_sha256=asked.read(RequestMade).request_sha256)
                    environment.log.append(void, run=context.run, actor=PIPELINE_ACTOR)
                raise
            continue
        logger.info("lease of %s taken for %s", environment.policy.environment, context.run)
        return taken, waited_s


def refuse_unfit_rollback(environment: Environment, context: RunContext) -> None:
    """Refuse a rollback by hand that policy does not let be asked for so, before anything is written. Raises Refused, UsageError."""
    asked, given = environment.policy.rollback, {"reason": context.reason, "ticket": context.ticket}
    if context.request:
        _refuse_another_target(environment, context)
        return  # what it states was judged when it was planned, and is by the gates
    if missing := [what for what, text in given.items() if asked.ticket and not text.strip()]:
        options = " ".join(f"--{what} TEXT" for what in missing)
        raise Refused(
            f"a rollback of {environment.policy.environment} states a reason and a ticket (rollback.ticket): add {options}"
        )
    if asked.roles and "approval" in environment.policy.phases.leave_out:
        raise Refused(
            f"a rollback of {environment.policy.environment} needs signatures of {', '.join(asked.roles)} (rollback.roles), and policy leaves "
            "the phase approval out, which asks for them: keep the phase, or take the roles out of deploy.yaml"
        )
    if not environment.has_record:
        raise UsageError(
            f"{environment.policy.environment} has no record: nothing was deployed that could be gone back to"
        )


def ask_for_rollback(
    environment: Environment, context: RunContext, source_: Source, *, say: Callable[[str], None]
) -> Event:
    """Find what is gone back to, say what lies between, and make the request of this run.

    Raises UsageError where there is no such release, Refused where it cannot be gone back to.
    """
    asked = look_back(environment, context, say=say)
    return make_request(environment, context.run, rollback_request(environment, context, source_, asked))


def look_back(environment: Environment, context: RunContext, *, say: Callable[[str], None]) -> AskedRollback:
    """Find what is gone back to, and say what lies between. Raises UsageError, Refused."""
    asked = rollback.plan_rollback(environment, context.to)
    say(f"from {asked.leaves} ({asked.now.revision}) back to {asked.release.version} ({asked.target.revision})")
    for one in asked.between:
        say(f"  undoes {one}")
    if environment.policy.infrastructure is not None:
        say("  leaves the infrastructure as it is")
    return asked


def _refuse_another_target(environment: Environment, context: RunContext) -> None:
    """Refuse to carry out a request to go back to another release than the one that is named. Raises UsageError, Refused."""
    approved = approved_request(environment, context).parsed
    if (
        context.to
        and rollback.plan_rollback(environment, context.to).target.revision != approved["earlier"]["revision"]
    ):
        raise UsageError(
            f"--to {context.to}: the request that waits, {context.run}, goes back to {approved['version']}: name that, or plan another"
        )


def goes_back_to(
    environment: Environment, context: RunContext, source_: Source, *, say: Callable[[str], None]
) -> Source:
    """The release that is gone back to, in the place of the checkout that does it. Its request is made, but in a plan."""
    if context.pipeline == PLAN:
        stated = look_back(environment, context, say=say).release.to_json()
    else:
        stated = approved_request(environment, context).parsed
    return replace(source_, commit=stated["commit"], version=stated["version"], branch="")


def _opening_event(
    environment: Environment,
    context: RunContext,
    source_: Source,
    *,
    plugins: Mapping[str, str],
    plugins_kept_out: Mapping[str, str],
    options: Mapping[str, object],
    judged: Mapping[str, bytes],
) -> RunOpened:
    root, policy = context.workspace.root, environment.policy
    goes_back = context.pipeline == rollback.PIPELINE
    made = context.request or (goes_back and any(of_type(environment.log.run(context.run), RequestMade)))
    approved = approved_request(environment, context) if made else None
    return RunOpened(
        environment=policy.environment,
        pipeline=context.pipeline,  # type: ignore[arg-type] # the options allow the record's pipelines alone
        deployer=local_actor(),
        commit=source_.commit,
        branch=source_.branch,
        version=source_.version,
        image=None if approved is None else approved.image,
        rehearsal=context.rehearsal,
        dirty=source_.dirty,
        request_sha256=None if approved is None else approved.sha256,
        workflow_run=None,
        plugins=dict(plugins),
        plugins_kept_out=dict(plugins_kept_out),
        config_sha256=policy.digest(),
        spec_sha256=None if policy.requirements is None else _sha256(root / policy.requirements),
        suites_sha256=source.tree_digest(root, ["suites"]),
        lock_sha256=_sha256(context.workspace.steps_lock),
        reason=context.reason,
        sets=dict(policy.settings),
        preimages=preimages.digests(judged),
        substituted={key: dict(values) for key, values in environment.substituted.items()},
        programs=dict(programs.used()),
        python=machine.python_version(),
        options=dict(options),
        ticket=context.ticket or None,
        organisation=policy.organisation.model_dump(include={"name", "references"}),
    )


def require_room(opening: RunOpened) -> None:
    """Refuse a run that its first event cannot hold: it names each file that the run is judged by. Raises UsageError."""
    size = len(canonical(opening.as_data()))
    if size > _ROOM:
        files = len(given(opening.preimages, {}))
        raise UsageError(
            f"what opens this run takes {size} bytes in {files} names of files, options and settings; an event holds {_ROOM} of them: "
            "put the steps and what lies beside them in suites/ into fewer files"
        )


def judged_by(environment: Environment, context: RunContext) -> dict[str, bytes]:
    """The texts that this run is judged by: requirements, policy, calendar, files of the steps, lock, roster; no secret in them."""
    root, policy = context.workspace.root, environment.policy
    paths = [
        *([] if policy.requirements is None else [root / policy.requirements]),
        context.workspace.config_file,
        context.workspace.steps_lock,
        *source.files(root, "suites"),
    ]
    if policy.blackout is not None and policy.blackout.calendar is not None:
        paths.append(root / policy.blackout.calendar)
    texts = {path.relative_to(root).as_posix(): path.read_bytes() for path in paths if path.is_file()}
    texts |= {f"{STANDARD}{name}": text for name, text in steps_lock.standard_files().items()}
    roster, _ = in_force(environment.log.store, environment.log.history())
    texts |= {f"roster/{name}": text for name, text in roster.files().items()}
    texts["policy.json"] = policy.canonical()
    environment.secrets.take_in()
    return {name: environment.secrets.redactor.data(text) for name, text in texts.items()}


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
