"""The conductor: in the controller (or the only process), pytest's hooks joined to the run.

It opens the run once the collection is accepted, lets steps through or refuses them, and at the session's end undoes what
must be undone when pytest can run no more items, decides, and hands the run over to be sealed.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from pytest_deploy.errors import CollectionRefused, DeployError, RecordError
from pytest_deploy.pipeline import processes
from pytest_deploy.pipeline.processes import Interruption
from pytest_deploy.pipeline.run import Run
from pytest_deploy.pipeline.sequence import ROLLBACK, Cause, PhaseSequence
from pytest_deploy.pipeline.steps_lock import Step
from pytest_deploy.plugin import report_writers
from pytest_deploy.plugin.collection import STEP, Collection, collected_by_worker, refusal_beside
from pytest_deploy.plugin.scheduler import PhaseScheduler
from pytest_deploy.policy.run_context import RunContext

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

MAX_DEATHS = 8
"""A run in which more workers die than this ends: each is replaced, and a machine that kills them all would never end."""

GRACE_S = 5.0
"""How long a step may still take after an internal error; then its worker is killed."""


class Edge(Protocol):
    """What the conductor needs from the package's edge: the parts that lie after `phase` in the order of imports."""

    def open(self, steps: tuple[Step, ...]) -> Run:
        """Take the lease and open the run. Raises DeployError where it may not."""

    def refused(self) -> None:
        """The run was not opened: nothing of it is to be left behind."""

    def undo(self, run: Run) -> None:
        """Roll back without pytest, from the log and the live state."""

    def conclude(self, run: Run) -> None:
        """Before the run is decided: a plan makes the request that people approve."""

    def seal(self, run: Run) -> int:
        """Render, seal and close the decided run; return pytest's exit code."""

    def stranded(self, run: Run, error: RecordError) -> int:
        """The record cannot be written any more: lead the environment back without it; return pytest's exit code."""


class Conductor:
    """One deployment as pytest sees it."""

    def __init__(self, context: RunContext, collection: Collection, edge: Edge, interruption: Interruption) -> None:
        self._context = context
        self._collection = collection
        self._edge = edge
        self._interruption = interruption
        self.run: Run | None = None

    # --- opening

    def open(self, steps: tuple[Step, ...]) -> Run:
        """Open the run for an accepted collection. A refusal ends pytest with the error's own exit code."""
        try:
            self.run = self._edge.open(steps)
        except DeployError as error:
            pytest.exit(f"refused: {error}", returncode=error.exit_code)
        return self.run

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """The collection is accepted: the run may be opened. pytest says this, too, of a collection that was refused."""
        if self._collection.steps and not distributed(session.config):
            self.open(self._collection.steps)

    # --- steps

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Let a step through, or leave it out with its cause; before the recorder announces it."""
        run = self._opened()
        self._notice(run)
        cause = run.sequence.refusal(item.nodeid)
        if cause is not None:
            pytest.skip(f"not run: {cause}")
        run.step_started(item.stash[STEP].nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A step has ended, in this process or a worker; its event is written."""
        finished: dict[str, Any] | None = getattr(report, "deploy_step", None)
        if finished is None:
            return
        run = self._opened()
        self._notice(run, finished["signal"])
        if finished["nodeid"] not in {step.nodeid for step in run.sequence.running()}:
            # xdist let a step go that its worker held, because it shuts the workers down.
            run.step_started(finished["nodeid"])
        run.step_finished(finished["nodeid"], passed=finished["passed"], cause=finished["cause"])

    def _notice(self, run: Run, signum: int | None = None) -> None:
        """A signal, here or in a worker, closes the sequence, whether the step let itself be stopped or not."""
        first = self._interruption.first if self._interruption.first is not None else signum
        if first is not None and run.sequence.closed is None:
            run.close(Cause("signal", signal.Signals(first).name))
        if run.lease is not None and run.lease.lost.is_set() and run.sequence.closed is None:
            run.close(Cause("lease", f"the lease was lost: {run.lease.cause}"))

    # --- ending

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Generator[None]:
        """Undo what pytest could not and decide; let the other report writers finish; then seal and close."""
        run = self.run
        if run is None:
            try:
                return (yield)
            finally:
                self._edge.refused()  # after the report writers: they write theirs even of a run that never was
        with self._interruption.shielded():
            code = self._recorded(run, lambda: self._settle(run, exitstatus))
            try:
                self._reported(session.config, run)
                return (yield)
            finally:
                session.exitstatus = code if code is not None else self._seal(run)

    def _seal(self, run: Run) -> int:
        sealed: list[int] = []
        code = self._recorded(run, lambda: sealed.append(self._edge.seal(run)))
        return sealed[0] if code is None else code

    def _recorded(self, run: Run, act: Callable[[], None]) -> int | None:
        """Do what writes the record; where that cannot be written, the exit code that is left."""
        try:
            act()
        except RecordError as error:
            return self._edge.stranded(run, error)
        return None

    def _reported(self, config: pytest.Config, run: Run) -> None:
        """Without workers every item came by, run or left out: nothing is missing in the reports."""

    def _settle(self, run: Run, exitstatus: int) -> None:
        """Account for what pytest left open, and roll back where that is owed and no step can do it any more."""
        self._notice(run)
        if run.sequence.phase is not None:
            run.settle(Cause("internal", f"pytest ended before the steps did (status {int(exitstatus)})"))
        if run.rollback_owed:
            self._edge.undo(run)
        self._edge.conclude(run)
        run.decide()

    def _opened(self) -> Run:
        if self.run is None:
            raise RuntimeError("a step came before the run was opened")
        return self.run


class Controller(Conductor):
    """The conductor of a distributed run: xdist's hooks besides."""

    def __init__(self, context: RunContext, collection: Collection, edge: Edge, interruption: Interruption) -> None:
        super().__init__(context, collection, edge, interruption)
        self._workers: dict[str, Any] = {}
        self._heard: set[str] = set()
        self._deaths = 0
        interruption.on_signal = lambda signum: processes.terminate(list(self._workers.values()))

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: WorkerController) -> None:
        """What a worker must know of the run travels with it."""
        node.workerinput["deploy"] = self._context.to_json()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodeready(self, node: WorkerController) -> None:
        """A signal to the controller is passed on to every worker, also to one that comes after it."""
        process = processes.find_worker(self._context.session, node.gateway.id)
        if process is not None:
            self._workers[node.gateway.id] = process
            if self._interruption.first is not None:
                processes.terminate([process])

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: WorkerController, error: object | None) -> None:
        """A worker is gone. Where xdist will now shut the others down, what they hold must be known as not to be run."""
        self._workers.pop(node.gateway.id, None)
        if error is not None:
            self._deaths += 1
            if self._deaths > MAX_DEATHS:
                pytest.exit(f"workers died {self._deaths} times; see to the machine", returncode=3)
        elif self.run is not None and _ended_early(node.workeroutput):
            self.run.close(Cause("worker", f"a step ended the session of its worker {node.gateway.id}"))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config) -> PhaseScheduler:
        """A deployment is scheduled phase by phase."""
        return PhaseScheduler(self, len(config.option.tx))

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str) -> None:
        """A worker died in a step: the step failed."""
        run = self._opened()
        self._notice(run)
        run.step_lost(crashitem, "the worker that ran it died")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Keep count of what the report writers have heard of."""
        self._heard.add(nodeid)

    def _reported(self, config: pytest.Config, run: Run) -> None:
        """Tell the report writers of the steps that no worker was handed."""
        report_writers.report_skipped(
            config, [step for step in run.sequence.not_run() if step.nodeid not in self._heard]
        )

    def accept(self, collections: Sequence[tuple[str, Sequence[str]]]) -> PhaseSequence:
        """Hold every worker's collection against the lock, then open the run (once)."""
        for worker, nodeids in collections:
            told = self._context.session / f"collected-{worker}"
            if refusal_beside(told).is_file():
                raise pytest.UsageError(refusal_beside(told).read_text(encoding="utf-8"))
            try:
                steps = self._collection.accept(collected_by_worker(told))
            except CollectionRefused as refused:
                raise pytest.UsageError(str(refused)) from None
            if list(nodeids) != [step.nodeid for step in steps]:
                raise pytest.UsageError(f"worker {worker} collected the steps in another order than suites/steps.lock")
        run = self.run or self.open(steps)
        return run.sequence

    def lost(self, nodeid: str) -> None:
        """A worker could not write how a step ended: the step failed."""
        run = self._opened()
        self._notice(run)
        run.step_lost(nodeid, "the worker that ran it could not record its end")

    def _settle(self, run: Run, exitstatus: int) -> None:
        """After an internal error a worker may still run a step: nothing is undone beside it."""
        running = run.sequence.running()
        if running:
            rolling_back = any(step.phase == ROLLBACK for step in running)
            grace = run.policy.rollback.budget_s if rolling_back else GRACE_S
            processes.stop_workers(list(self._workers.values()), grace_s=grace, through=run.ends_told)
        super()._settle(run, exitstatus)


def _ended_early(output: Mapping[str, Any]) -> bool:
    """Whether a worker ended its session by itself, as `pytest.exit` in a step does; xdist then ends the others'."""
    return output["exitstatus"] == pytest.ExitCode.INTERRUPTED or bool(output["shouldstop"] or output["shouldfail"])


def distributed(config: pytest.Config) -> bool:
    """Whether xdist's workers run the steps."""
    return bool(getattr(config.option, "dist", "no") != "no")
