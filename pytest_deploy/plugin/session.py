"""A pytest session that is a deployment: what is registered, and how the parts are joined."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Any, TextIO

import pytest

from pytest_deploy.approvals import rehearsal_roster
from pytest_deploy.errors import DeployError, RecordError, UsageError
from pytest_deploy.pipeline import authorize_run, processes
from pytest_deploy.pipeline.processes import Interruption
from pytest_deploy.pipeline.run import Listener, Run
from pytest_deploy.pipeline.steps_lock import Step
from pytest_deploy.platform.environment import Environment
from pytest_deploy.plugin import fixtures, option_policy
from pytest_deploy.plugin.collection import Collection
from pytest_deploy.plugin.controller import Conductor, Controller, distributed
from pytest_deploy.plugin.deployment import Deployment
from pytest_deploy.plugin.progress import Progress
from pytest_deploy.plugin.recorder import Redacting, StepRecorder, StopWindow
from pytest_deploy.plugin.report_writers import Labels
from pytest_deploy.policy.policy import Policy
from pytest_deploy.policy.run_context import RunContext
from pytest_deploy.record.clock import SystemClock
from pytest_deploy.record.run_id import new_run_id


def begin(config: pytest.Config, asked: RunContext) -> None:
    """Register a deployment with pytest. Raises pytest.UsageError (exit 4) where it was not asked for rightly."""
    worker: Mapping[str, Any] | None = getattr(config, "workerinput", None)
    context = asked if worker is None else RunContext.from_json(worker["deploy"])
    try:
        policy = context.policy()
        if worker is None:
            collecting = config.option.collectonly
            context = newly_named(context, policy) if collecting else named(context, policy)
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
        handover=None if worker is None else context.session / f"collected-{worker['workerid']}",
    )
    config.args = collection.folders()
    config.stash[fixtures.ENVIRONMENT] = environment
    config.stash[fixtures.CONTEXT] = context
    if not config.option.collectonly:
        # Each process writes the results of its own steps; xdist tells workers the command line only.
        config.option.allure_report_dir = str(context.session / "allure-results")
    if worker is not None:
        processes.register_worker(context.session, worker["workerid"])
    parent = os.getppid()
    recorder = StepRecorder(
        lambda: environment.log,
        lambda: context,
        interruption,
        redaction=environment,
        orphaned=lambda: worker is not None and os.getppid() != parent,
        guarded=worker is not None,
    )
    config.pluginmanager.register(fixtures, "deploy-fixtures")
    config.pluginmanager.register(collection, "deploy-collection")
    config.pluginmanager.register(recorder, "deploy-recorder")
    config.pluginmanager.register(Redacting(environment), "deploy-redacting")
    config.pluginmanager.register(StopWindow(interruption), "deploy-stop-window")
    if worker is None and not config.option.collectonly:
        _conduct(config, environment, context, collection, interruption)
    if not config.option.collectonly:
        config.pluginmanager.register(Terminal(environment.redact), "deploy-terminal")
        interruption.install(worker=worker is not None)


def named(context: RunContext, policy: Policy) -> RunContext:
    """The context with its run's name: a new one, or the approved request's where policy asks for approval.

    A rehearsal's roster is enrolled here if it is new. Raises UsageError where there is not exactly one live request.
    """
    authorize_run.unwanted(context, policy)
    if context.rehearsal:
        rehearsal_roster.prepare(context.workspace, policy)
    if context.pipeline != "deploy" or not policy.approval.roles:
        return newly_named(context, policy)
    run = authorize_run.chosen(context, policy)
    return replace(context, run=run, request=run)


def newly_named(context: RunContext, policy: Policy) -> RunContext:
    """The context with a run id that nobody had."""
    return replace(context, run=new_run_id(policy.environment, SystemClock(), rehearsal=context.rehearsal))


def _conduct(
    config: pytest.Config,
    environment: Environment,
    context: RunContext,
    collection: Collection,
    interruption: Interruption,
) -> None:
    """Register what only the controller (or the only process) holds."""
    progress = Progress(config)
    hook = config.hook

    def phase_started(phase: str) -> None:
        progress.phase_started(phase)
        hook.pytest_deploy_phase_started(phase=phase)

    def phase_finished(phase: str, passed: bool | None, seconds: float) -> None:  # noqa: FBT001 -- the listener's signature
        progress.phase_finished(phase, passed, seconds)
        hook.pytest_deploy_phase_finished(phase=phase, passed=passed, seconds=seconds)

    deployment = Deployment(
        environment,
        context,
        plugins=active_plugins(config),
        options=option_policy.settings(config),
        listener=Listener(phase_started=phase_started, phase_finished=phase_finished, not_run=progress.not_run),
        say=progress.line,
    )
    _report_into(config, context)
    config.pluginmanager.register(Labels(deployment.labels()), "deploy-labels")
    kind = Controller if distributed(config) else Conductor
    edge = Announced(deployment, progress, config)
    config.pluginmanager.register(progress, "deploy-progress")
    config.pluginmanager.register(kind(context, collection, edge, interruption), "deploy-conductor")


class Terminal:
    """What pytest writes to the terminal is cut of secrets too: CI keeps it for months."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._file: TextIO | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Stand between the terminal's writer and its file."""
        writer = session.config.get_terminal_writer()
        self._file, writer._file = writer._file, self  # noqa: SLF001 -- there is no other way in

    def write(self, text: str) -> int:
        """Write what is left of a text."""
        return self._file.write(self._redact(text)) if self._file is not None else 0

    def __getattr__(self, name: str) -> Any:
        """All else is the file's."""
        return getattr(self._file, name)


class Announced:
    """The deployment, with its begin and end said to the person watching and to the hooks."""

    def __init__(self, deployment: Deployment, progress: Progress, config: pytest.Config) -> None:
        self._deployment = deployment
        self._progress = progress
        self._config = config

    def open(self, steps: tuple[Step, ...]) -> Run:
        """Say what begins, and open the run."""
        self._progress.open([*self._deployment.headline(), f"run {self._deployment.context.run}"], steps)
        run = self._deployment.open(steps)
        self._config.hook.pytest_deploy_run_opened(run=run.context.run, environment=run.context.workspace.environment)
        return run

    def refused(self) -> None:
        """Leave nothing of a run that was not opened."""
        self._progress.close()
        self._deployment.forget()

    def undo(self, run: Run) -> None:
        """Say that the rollback runs without steps, and run it."""
        self._progress.line()
        self._progress.line("rollback without steps: from the log and the live state", bold=True)
        self._deployment.undo(run)

    def conclude(self, run: Run) -> None:
        """Let a plan make its request."""
        self._deployment.conclude(run)

    def stranded(self, run: Run, error: RecordError) -> int:
        """Say that the record cannot be written, and what became of the environment."""
        self._progress.line()
        self._progress.line(f"the record cannot be written: {error}", red=True, bold=True)
        code = self._deployment.stranded(run)
        self._progress.close()
        return code

    def seal(self, run: Run) -> int:
        """Seal the run, and say how it went and what serves now."""
        code = self._deployment.seal(run)
        self._progress.line()
        for line, markup in self._deployment.summary(run, code):
            self._progress.line(line, **markup)
        self._progress.close()
        self._config.hook.pytest_deploy_run_decided(run=run.context.run, judgement=run.judgement)
        return code


def active_plugins(config: pytest.Config) -> dict[str, str]:
    """Name and version of each installed plug-in that is active, and of pytest itself."""
    installed = {dist.metadata["Name"]: dist.version for _, dist in config.pluginmanager.list_plugin_distinfo()}
    return dict(sorted((installed | {"pytest": version("pytest")}).items()))


def _report_into(config: pytest.Config, context: RunContext) -> None:
    """Let pytest's own report writers fill a private folder of this run; the run folder gets what they wrote."""
    context.session.mkdir(parents=True, mode=0o700)
    config.option.xmlpath = str(context.session / "junit.xml")
    config.option.htmlpath = str(context.session / "pytest.html")
    config.option.self_contained_html = True
