"""Requests of one run: which one it carries out, what was approved, what one would say now, and the making of one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from pytest_deploy.errors import UsageError
from pytest_deploy.pipeline import steps_lock
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.policy import Policy
from pytest_deploy.policy.run_context import RunContext
from pytest_deploy.record.actor import PIPELINE_ACTOR
from pytest_deploy.record.event import Event
from pytest_deploy.record.run_folder import RunFolder
from pytest_deploy.release import request, source
from pytest_deploy.release.request import PendingRequest, Plan, Request
from pytest_deploy.release.source import Source
from pytest_deploy.rollback.request import PIPELINE, AskedRollback, build_request
from pytest_deploy.rollback.target import EARLIER


def refuse_unwanted_request(context: RunContext, policy: Policy) -> None:
    """Refuse a request where none is asked for. Raises UsageError."""
    roles = policy.rollback.roles if context.pipeline == PIPELINE else policy.approval.roles
    if context.request and not roles and context.pipeline in {"deploy", PIPELINE}:
        raise UsageError(f"--deploy-run={context.request}: {policy.environment} asks for no approval; leave it out")
    if context.request and context.pipeline not in {"deploy", PIPELINE}:
        raise UsageError(
            f"--deploy-run={context.request}: a request is run by the pipeline deploy, or rollback, not {context.pipeline}"
        )


def choose_request(context: RunContext, policy: Policy) -> PendingRequest:
    """The request to execute. Raises UsageError with the list where there is not exactly one; writes nothing.

    A rehearsed one lives, and is run, by the clock it was made by, unless another was asked for (`--deploy-at`).
    """
    environment = Environment(context.workspace, policy, run=context.run, shift_s=context.shift_s)
    # With other settings, or by another clock, a plan would make another request.
    options = [f"--deploy-set={setting}" for setting in context.sets]
    if context.shift_s:
        options.append(f"--deploy-at={environment.clock.now():%Y-%m-%dT%H:%M:%SZ}")
    if context.goes_back:
        options.append(f"--deploy-to={context.to or EARLIER}")
    choose = partial(request.choose, workspace=context.workspace, run=context.request, options=options)
    if not environment.has_record:
        return choose([], commit="")
    waiting = request.pending(environment.log.history(), environment.clock.now(), real=not context.shift_s)
    live = [one for one in waiting if one.pipeline == context.pipeline]
    # A rollback is of an earlier commit than the checkout's, and but one request of one lives at a time.
    commit = live[-1].commit if live and context.goes_back else source.read(context.workspace.root).commit
    return choose(live, commit=commit)


def approved_request(environment: Environment, context: RunContext) -> Request:
    """The request of this run, as it was approved. Raises Refused where request.json is not what was made."""
    events = environment.log.run(context.run)
    return request.stored_request(context.workspace.store, context.run, events)


def request_now(
    environment: Environment,
    context: RunContext,
    source_: Source,
    image: str,
    *,
    run: str = "",
    plan: Plan | None = None,
    previewed: Mapping[str, Any] | None = None,
) -> Request:
    """What a request to deploy this image would say now, for the run `run`, by default the one that asks.

    `previewed`: what a request made a moment ago says of the infrastructure, which takes minutes to be asked.
    """
    steps = steps_lock.of_pipeline(context.workspace.steps_lock, request.PIPELINE)
    return request.build_request(
        environment,
        context,
        source_,
        run=run or context.run,
        image=image,
        steps_sha256=steps_lock.digest(steps),
        plan=plan,
        previewed=previewed,
    )


def rollback_request(
    environment: Environment,
    context: RunContext,
    source_: Source,
    asked: AskedRollback,
    *,
    run: str = "",
    plan: Plan | None = None,
) -> Request:
    """What a request to go back would say now, for the run `run`, by default the one that asks."""
    digest = steps_lock.digest(steps_lock.of_pipeline(context.workspace.steps_lock, PIPELINE))
    return build_request(environment, context, source_, asked, steps_sha256=digest, run=run, plan=plan)


def make_request(environment: Environment, run: str, rendered: Request) -> Event:
    """Put a request into the folder of the run that shall execute it, and into the log."""
    RunFolder(environment.log.store, run).create("request.json", rendered.content)
    return environment.log.append(rendered.event_content(), run=run, actor=PIPELINE_ACTOR)
