"""A pytest session that is a deployment: what is registered, and how the parts are joined."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import allure_commons
import pytest

from pytest_deploy.approvals import rehearsal_roster
from pytest_deploy.errors import DeployError, UsageError
from pytest_deploy.pipeline import processes, requests
from pytest_deploy.pipeline.processes import Interruption
from pytest_deploy.platform.environment import Environment
from pytest_deploy.plugin import configuration, fixtures, kept_out
from pytest_deploy.plugin.collection import Collection
from pytest_deploy.plugin.controller import Controller
from pytest_deploy.plugin.cross_check import CrossCheck
from pytest_deploy.plugin.distributed import DistributedController
from pytest_deploy.plugin.guard import GuardChannel
from pytest_deploy.plugin.leftovers import Leftovers
from pytest_deploy.plugin.progress import Progress
from pytest_deploy.plugin.recorder import SignalWindow, StepRecorder
from pytest_deploy.plugin.redaction import Terminal, log_lines
from pytest_deploy.plugin.report_writers import AllureTexts, Labels, write_categories
from pytest_deploy.plugin.scopes import Scopes
from pytest_deploy.plugin.step_reports import StepReports
from pytest_deploy.plugin.stop_points import is_stop_point
from pytest_deploy.plugin.stopped import Stopped
from pytest_deploy.plugin.time_limit import TimeLimits
from pytest_deploy.policy.policy import Policy
from pytest_deploy.policy.run_context import RunContext
from pytest_deploy.record.atomic_file import keep_from_others
from pytest_deploy.record.clock import SystemClock
from pytest_deploy.record.run_id import new_run_id


def begin(config: pytest.Config, requested: RunContext, guard_channel: GuardChannel | None) -> None:
    """Register a deployment with pytest; `guard_channel` is how it reports to its guard, None in a worker.

    Raises pytest.UsageError (exit 4) where it was not asked for rightly.
    """
    keep_from_others()
    worker: Mapping[str, Any] | None = getattr(config, "workerinput", None)
    runs = not config.option.collectonly
    if worker is None and guard_channel is None and runs:
        raise pytest.UsageError(
            "this deployment has no guard, which gives its exit code and holds its time limits: PYTEST_XDIST_WORKER is set, and this is no "
            "worker of xdist's; take it out of the environment"
        )
    context = requested if worker is None else RunContext.from_json(worker["deploy"])
    try:
        policy = context.policy()
        kept_out.refuse_missing(config, policy.plugins)
        if worker is None:
            context = with_run_id(context, policy, runs=runs)
        environment = Environment(context.workspace, policy, run=context.run, shift_s=context.shift_s)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    except DeployError as error:
        # The record is looked at before there is a run: what is wrong with it is said, not thrown.
        raise Stopped(f"nothing was started: {error}", returncode=error.exit_code) from None
    interruption = Interruption()
    interruption.may_stop = is_stop_point
    handover_file = None if worker is None else context.session / f"collected-{worker['workerid']}"
    collection = Collection(
        config,
        context,
        policy=policy,
        handover_file=handover_file,
    )
    config.args = [configuration.suites_of(config)]
    config.stash[fixtures.ENVIRONMENT] = environment
    config.stash[fixtures.CONTEXT] = context
    if worker is not None:
        processes.register_worker(context.session, worker["workerid"])
    recorder = StepRecorder(environment, interruption, worker=worker is not None)
    plugins = {
        "deploy-fixtures": fixtures,
        "deploy-collection": collection,
        "deploy-recorder": recorder,
        "deploy-step-reports": StepReports(environment),
        "deploy-signal-window": SignalWindow(interruption),
    }
    if runs:
        _make_folders(context, worker)
        _write_allure(config, context, environment)
        limits = TimeLimits(interruption, tell=None if guard_channel is None else guard_channel.report_limit)
        leftovers = Leftovers(config)
        if guard_channel is not None:
            kind = DistributedController if getattr(config.option, "dist", "no") != "no" else Controller
            controller = kind(
                config,
                environment,
                context,
                collection,
                interruption,
                Progress(config),
                recorder,
                limits,
                leftovers,
                guard_channel,
            )
            plugins |= {
                "deploy-labels": Labels(_suite_labels(controller)),
                "deploy-progress": controller.progress,
                "deploy-controller": controller,
                "deploy-cross-check": controller.cross_check,
                "deploy-scopes": Scopes(recorder, controller.following),
            }
            _redirect_reports(config, context)
        else:
            plugins |= {"deploy-cross-check": CrossCheck(config), "deploy-scopes": Scopes(recorder)}
        plugins["deploy-time-limits"] = limits
        plugins["deploy-leftovers"] = leftovers
        plugins["deploy-terminal"] = Terminal(environment.redact)
    for name, plugin in plugins.items():
        config.pluginmanager.register(plugin, name)
    if runs:
        interruption.install(worker=worker is not None)
        limits.install()
    log_lines(config, environment.redact)


def with_run_id(context: RunContext, policy: Policy, *, runs: bool) -> RunContext:
    """The context with its run's name: a new one, or the approved request's, and its clock, where policy asks for approval.

    A rehearsal's roster is enrolled here if it is new. Raises UsageError where there is not exactly one live request.
    `runs`: False where the steps are only to be shown, which needs no request.
    """
    if runs:
        requests.refuse_unwanted_request(context, policy)
        Environment(context.workspace, policy).require_ready()
        if context.rehearsal:
            rehearsal_roster.prepare(context.workspace, policy)
        asks = {"deploy": policy.approval.roles, "rollback": policy.rollback.roles}
        if asks.get(context.pipeline):
            request = requests.choose_request(context, policy)
            shift_s = context.shift_s or request.shift.total_seconds()
            return replace(context, run=request.run, request=request.run, shift_s=shift_s)
    return replace(context, run=new_run_id(policy.environment, SystemClock(), rehearsal=context.rehearsal))


def _suite_labels(controller: Controller) -> dict[str, str]:
    context = controller.context
    labels = {"run": context.run, "environment": context.workspace.environment}
    with suppress(UsageError):  # what is no checkout is refused once the collection is judged
        labels["release"] = controller.source.version
    return labels | ({"rehearsal": "REHEARSAL"} if context.rehearsal else {})


def _write_allure(config: pytest.Config, context: RunContext, environment: Environment) -> None:
    """Each process writes the results of its own steps; xdist tells workers the command line only."""
    config.option.allure_report_dir = str(context.session / "allure-results")
    texts = AllureTexts(environment.redact)
    allure_commons.plugin_manager.register(texts, "deploy-allure-texts")
    config.pluginmanager.register(texts, "deploy-allure-texts")


def _make_folders(context: RunContext, worker: Mapping[str, Any] | None) -> None:
    """Make what a run writes into before it has a record, once. Raises Stopped where the checkout is read-only, or the disk is full."""
    if worker is not None:
        return
    try:
        context.workspace.state.mkdir(mode=0o700, exist_ok=True)
        context.session.mkdir(parents=True, mode=0o700)
        write_categories(context.session / "allure-results")
    except OSError as error:
        raise Stopped(
            f"nothing was started: {error.filename or context.session} cannot be written: {error.strerror}; a deployment keeps its state in "
            ".deploy/ and its record in reports/ of the checkout: let this user write there, and make room",
            returncode=UsageError.exit_code,
        ) from None


def _redirect_reports(config: pytest.Config, context: RunContext) -> None:
    """Let pytest's own report writers fill a private folder of this run; the run folder gets what they wrote."""
    config.option.xmlpath = str(context.session / "junit.xml")
    config.option.htmlpath = str(context.session / "pytest.html")
    config.option.self_contained_html = True
