"""A pytest session that is a deployment: what is registered, and how the parts are joined."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from pytest_deploy.approvals import rehearsal_roster
from pytest_deploy.errors import DeployError, UsageError
from pytest_deploy.pipeline import authorize_run, processes
from pytest_deploy.pipeline.processes import Interruption
from pytest_deploy.platform.environment import Environment
from pytest_deploy.plugin import fixtures
from pytest_deploy.plugin.collection import Collection
from pytest_deploy.plugin.controller import Controller
from pytest_deploy.plugin.distributed import DistributedController, is_distributed
from pytest_deploy.plugin.guard import Told
from pytest_deploy.plugin.leftovers import Leftovers
from pytest_deploy.plugin.progress import Progress
from pytest_deploy.plugin.recorder import StepRecorder, StopWindow
from pytest_deploy.plugin.redaction import Redacting, Terminal, log_lines
from pytest_deploy.plugin.report_writers import Labels
from pytest_deploy.plugin.time_limit import TimeLimits
from pytest_deploy.policy.load import RunContext
from pytest_deploy.policy.policy import Policy
from pytest_deploy.record.clock import SystemClock
from pytest_deploy.record.run_id import new_run_id


def begin(config: pytest.Config, requested: RunContext, told: Told | None) -> None:
    """Register a deployment with pytest; `told` is what its guard hears, None in a worker.

    Raises pytest.UsageError (exit 4) where it was not asked for rightly.
    """
    worker: Mapping[str, Any] | None = getattr(config, "workerinput", None)
    if worker is None and told is None and not config.option.collectonly:
        raise pytest.UsageError(
            "this deployment has no guard, which gives its exit code and holds its time limits: PYTEST_XDIST_WORKER is set, and this is no "
            "worker of xdist's; take it out of the environment"
        )
    context = requested if worker is None else RunContext.from_json(worker["deploy"])
    try:
        policy = context.policy()
        if worker is None:
            collecting = config.option.collectonly
            context = with_new_run_id(context, policy) if collecting else with_run_id(context, policy)
        environment = Environment(context.workspace, policy, run=context.run, shift_s=context.shift_s)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    except DeployError as error:
        # The record is looked at before there is a run: what is wrong with it is said, not thrown.
        pytest.exit(f"nothing was started: {error}", returncode=error.exit_code)
    interruption = Interruption()
    collection = Collection(
        config,
        context.workspace.root,
        context.pipeline,
        step_timeout_s=policy.step_timeout_s,
        handover_file=None if worker is None else context.session / f"collected-{worker['workerid']}",
    )
    config.args = collection.folders()
    config.stash[fixtures.ENVIRONMENT] = environment
    config.stash[fixtures.CONTEXT] = context
    if not config.option.collectonly:
        # Each process writes the results of its own steps; xdist tells workers the command line only.
        config.option.allure_report_dir = str(context.session / "allure-results")
    if worker is not None:
        processes.register_worker(context.session, worker["workerid"])
    recorder = StepRecorder(environment, interruption, worker=worker is not None)
    config.pluginmanager.register(fixtures, "deploy-fixtures")
    config.pluginmanager.register(collection, "deploy-collection")
    config.pluginmanager.register(recorder, "deploy-recorder")
    config.pluginmanager.register(Redacting(environment), "deploy-redacting")
    config.pluginmanager.register(StopWindow(interruption), "deploy-stop-window")
    limits = TimeLimits(interruption, tell=None if told is None else told.limit)
    leftovers = Leftovers(config)
    if told is not None:
        _register_controller(
            config,
            environment,
            context,
            collection,
            interruption=interruption,
            limits=limits,
            leftovers=leftovers,
            told=told,
        )
    if not config.option.collectonly:
        config.pluginmanager.register(limits, "deploy-time-limits")
        config.pluginmanager.register(leftovers, "deploy-leftovers")
        config.pluginmanager.register(Terminal(environment.redact), "deploy-terminal")
        interruption.install(worker=worker is not None)
        limits.install()
    log_lines(config, environment.redact)


def with_run_id(context: RunContext, policy: Policy) -> RunContext:
    """The context with its run's name: a new one, or the approved request's where policy asks for approval.

    A rehearsal's roster is enrolled here if it is new. Raises UsageError where there is not exactly one live request.
    """
    authorize_run.refuse_unwanted_request(context, policy)
    if context.rehearsal:
        rehearsal_roster.prepare(context.workspace, policy)
    if context.pipeline != "deploy" or not policy.approval.roles:
        return with_new_run_id(context, policy)
    run = authorize_run.choose_request(context, policy)
    return replace(context, run=run, request=run)


def with_new_run_id(context: RunContext, policy: Policy) -> RunContext:
    """The context with a run id that nobody had."""
    return replace(context, run=new_run_id(policy.environment, SystemClock(), rehearsal=context.rehearsal))


def _register_controller(
    config: pytest.Config,
    environment: Environment,
    context: RunContext,
    collection: Collection,
    *,
    interruption: Interruption,
    limits: TimeLimits,
    leftovers: Leftovers,
    told: Told,
) -> None:
    """Register what only the controller (or the only process) holds."""
    progress = Progress(config)
    kind = DistributedController if is_distributed(config) else Controller
    controller = kind(
        config,
        environment=environment,
        context=context,
        collection=collection,
        interruption=interruption,
        progress=progress,
        limits=limits,
        leftovers=leftovers,
        told=told,
    )
    _redirect_reports(config, context)
    config.pluginmanager.register(Labels(_suite_labels(controller, context)), "deploy-labels")
    config.pluginmanager.register(progress, "deploy-progress")
    config.pluginmanager.register(controller, "deploy-controller")


def _suite_labels(controller: Controller, context: RunContext) -> dict[str, str]:
    """What pytest's own reports say of the run as a whole."""
    labels = {"run": context.run, "environment": context.workspace.environment}
    with suppress(UsageError):  # what is no checkout is refused once the collection is judged
        labels["release"] = controller.source.version
    return labels | ({"rehearsal": "REHEARSAL"} if context.rehearsal else {})


def _redirect_reports(config: pytest.Config, context: RunContext) -> None:
    """Let pytest's own report writers fill a private folder of this run; the run folder gets what they wrote."""
    context.session.mkdir(parents=True, mode=0o700)
    config.option.xmlpath = str(context.session / "junit.xml")
    config.option.htmlpath = str(context.session / "pytest.html")
    config.option.self_contained_html = True
