"""The controller of a distributed run: xdist's hooks besides, and the workers' collections, signals and deaths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_deploy.pipeline import processes
from pytest_deploy.pipeline.run import Run
from pytest_deploy.pipeline.sequence import ROLLBACK, Cause, PhaseSequence
from pytest_deploy.plugin import report_writers
from pytest_deploy.plugin.collection import collected_by_worker
from pytest_deploy.plugin.controller import Controller
from pytest_deploy.plugin.leftovers import LEFT
from pytest_deploy.plugin.recorder import BROKEN_OFF
from pytest_deploy.plugin.scheduler import PhaseScheduler
from pytest_deploy.plugin.stopped import Stopped

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

MAX_DEATHS = 8
"""A run in which more workers die than this ends: each is replaced, and a machine that kills them all would never end."""

GRACE_S = 5.0
"""How long a step may still take after an internal error; then its worker is killed."""


class DistributedController(Controller):
    """One deployment whose steps run on xdist's workers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._workers: dict[str, Any] = {}
        self._reported: set[str] = set()
        self._deaths = 0
        self.interruption.on_signal = lambda signum: processes.terminate(list(self._workers.values()))

    def pytest_collection_finish(self) -> None:
        """The workers collect: the run is opened when all have (`accept`)."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: WorkerController) -> None:
        """What a worker must know of the run travels with it."""
        node.workerinput["deploy"] = self.context.to_json()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodeready(self, node: WorkerController) -> None:
        """A signal to the controller is passed on to every worker, also to one that comes after it."""
        process = processes.find_worker(self.context.session, node.gateway.id)
        if process is not None:
            self._workers[node.gateway.id] = process
            if self.interruption.first is not None:
                processes.terminate([process])

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: WorkerController, error: object | None) -> None:
        """A worker is gone. Where xdist will now shut the others down, what they hold must be known as not to be run."""
        self._workers.pop(node.gateway.id, None)
        self._left_by_workers += getattr(node, "workeroutput", {}).get(LEFT, [])
        if error is not None:
            self._deaths += 1
            if self._deaths > MAX_DEATHS:
                raise Stopped(f"workers died {self._deaths} times; see to the machine", returncode=3)
        elif self.run is not None:
            output = node.workeroutput
            # As `pytest.exit` in a step does; xdist then ends the others' sessions too.
            interrupted = output["exitstatus"] == pytest.ExitCode.INTERRUPTED
            if BROKEN_OFF in output or interrupted or output["shouldstop"] or output["shouldfail"]:
                self.run.close(Cause("worker", output.get(BROKEN_OFF, f"worker {node.gateway.id} ended its session")))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config) -> PhaseScheduler:
        return PhaseScheduler(self, len(config.option.tx))

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str) -> None:
        """A worker died in a step: the step failed."""
        self._run_after_stops().step_lost(crashitem, "the worker that ran it died")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._reported.add(nodeid)

    # --- what the scheduler calls

    def accept(self, collections: Sequence[tuple[str, Sequence[str]]]) -> PhaseSequence:
        """Hold every worker's collection against the lock, then open the run (once)."""
        for worker, nodeids in collections:
            steps = self.collection.accept(collected_by_worker(self.context.session / f"collected-{worker}"))
            if list(nodeids) != [step.nodeid for step in steps]:
                raise pytest.UsageError(f"worker {worker} collected the steps in another order than suites/steps.lock")
        run = self.run or self.open(steps)
        return run.sequence

    def lost(self, nodeid: str) -> None:
        """A worker could not write how a step ended: the step failed."""
        self._run_after_stops().step_lost(nodeid, "the worker that ran it could not record its end")

    # --- what differs

    def _stop_at_run_limit(self) -> bool:
        """The workers' steps are stopped as by a signal; what closes the run is its limit."""
        if super()._stop_at_run_limit():
            processes.terminate(list(self._workers.values()))
        return False

    def _settle(self, run: Run, session: pytest.Session, exitstatus: int) -> int:
        """After an internal error a worker may still run a step: nothing is undone beside it."""
        running = run.sequence.running()
        if running:
            rolling_back = any(step.phase == ROLLBACK for step in running)
            grace = run.policy.rollback.budget_s if rolling_back else GRACE_S
            processes.stop_workers(list(self._workers.values()), grace_s=grace, through=run.ends_recorded)
        return super()._settle(run, session, exitstatus)

    def _report_unrun_steps(self, run: Run) -> None:
        """Tell the report writers of the steps that no worker was handed."""
        not_run = run.sequence.not_run()
        rest = {step: cause for step, cause in not_run.items() if step.nodeid not in self._reported}
        report_writers.report_skipped(self.config, rest)
