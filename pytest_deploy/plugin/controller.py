"""The controller: pytest's hooks joined to the run, in the only process or, under xdist, in the one that shares steps out.

It opens the run once the collection is accepted, lets steps through or refuses them, and at the session's end undoes what
must be undone when pytest can run no more items, decides and seals.
"""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version

import pytest

from pytest_deploy.errors import DeployError, RecordError
from pytest_deploy.notify import outbox
from pytest_deploy.pipeline import plan
from pytest_deploy.pipeline.open_run import headline, open_run
from pytest_deploy.pipeline.processes import Interruption
from pytest_deploy.pipeline.run import Run
from pytest_deploy.pipeline.sequence import Cause
from pytest_deploy.pipeline.served import require_served
from pytest_deploy.pipeline.steps_lock import Step
from pytest_deploy.pipeline.undo import abort_unrecorded, roll_back
from pytest_deploy.platform.environment import Environment
from pytest_deploy.plugin import kept_out, option_policy
from pytest_deploy.plugin.collection import STEP, Collection
from pytest_deploy.plugin.cross_check import CrossCheck
from pytest_deploy.plugin.guard import GuardChannel
from pytest_deploy.plugin.leftovers import Leftovers, end_processes
from pytest_deploy.plugin.progress import Progress
from pytest_deploy.plugin.recorder import FinishedStep, StepRecorder
from pytest_deploy.plugin.stopped import Stopped
from pytest_deploy.plugin.time_limit import TimeLimits
from pytest_deploy.policy.run_context import RunContext
from pytest_deploy.program import as_called
from pytest_deploy.record.event import of_type
from pytest_deploy.record.events import AlertRaised, RunOpened
from pytest_deploy.record.planned import PLAN
from pytest_deploy.release import source
from pytest_deploy.release.source import Source
from pytest_deploy.reports import job_summary
from pytest_deploy.reports.refused_start import outcome_of, report_refusal
from pytest_deploy.reports.seal import Sealed, seal, summary
from pytest_deploy.traceability import register

UNDONE_AND_SEALED_S = 120.0
"""What a run that is over its limit has, beside the budget of its rollback, to be sealed; then its process is killed."""


@dataclass(eq=False)
class Controller:
    config: pytest.Config
    environment: Environment
    context: RunContext
    collection: Collection
    interruption: Interruption
    progress: Progress
    recorder: StepRecorder
    limits: TimeLimits
    leftovers: Leftovers
    guard_channel: GuardChannel
    run: Run | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.cross_check = CrossCheck(self.config)
        self._run_limit_passed = False
        self._left_by_workers: list[str] = []
        self._options = option_policy.settings(self.config)  # `log_lines` takes the log level away

    @cached_property
    def source(self) -> Source:
        """The checkout that is deployed, read once. Raises UsageError where it is none."""
        return source.read(self.context.workspace.root, self.environment.policy)

    # --- opening

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self) -> None:
        """The collection is accepted: the run may be opened. pytest says this, too, of a collection that was refused."""
        if self.collection.steps:
            self.open(self.collection.steps)

    def open(self, steps: tuple[Step, ...]) -> Run:
        """Say what begins, and open the run. A refusal ends pytest with the error's own exit code."""
        try:
            self.progress.open(headline(self.environment, self.context, self.source), steps)
            workspace = self.context.workspace
            self.guard_channel.report_opened(self.context.run, workspace.environment, rehearsal=workspace.rehearsal)
            named = {step.nodeid: step.verifies for step in steps}
            register.accept(workspace.root, self.environment.policy.requirements, named)
            self.run = open_run(
                self.environment,
                self.context,
                self.source,
                steps,
                observer=self.progress,
                plugins=kept_out.active(self.config) | {"pytest": version("pytest")},
                plugins_kept_out=self.config.stash.get(kept_out.KEPT_OUT, {}),
                options=self._options,
                began=self.guard_channel.began,
                stopped=lambda: self.interruption.first,
            )
        except DeployError as error:
            self._say_refusal(error)
            raise Stopped(outcome_of(error), returncode=error.exit_code) from None
        self._limit(self.run)
        self.run.begin()
        # Beside the run, which waits for no channel; joined before the end is told.
        self._telling = threading.Thread(target=self._notify, args=(self.run,), name="deploy-notify", daemon=True)
        self._telling.start()
        self.config.hook.pytest_deploy_run_opened(run=self.context.run, environment=self.context.workspace.environment)
        return self.run

    def _say_refusal(self, error: DeployError) -> None:
        """Say why nothing was started, and where that is to be read."""
        self.progress.line()
        self.progress.line(f"{outcome_of(error)}: {error}", red=True)
        self._add_to_job(f"{outcome_of(error)}: {error}")
        # Where the log says already that the run is open, the guard names it and what is due.
        if self._is_open_in_the_log():
            return
        self.guard_channel.report_ended(error.exit_code)
        try:
            self.progress.line()
            took_s = time.time() - self.guard_channel.began
            for line, markup in report_refusal(self.environment, self.context, error, took_s=took_s):
                self.progress.line(line, **markup)
        except Exception as fault:  # noqa: BLE001 -- it is refused: what is only said or read now decides nothing
            self.progress.line(f"after the refusal: {type(fault).__name__}: {fault}", red=True)

    def _is_open_in_the_log(self) -> bool:
        """Whether this process wrote that the run is open; where no log can be opened it wrote nothing."""
        try:
            if not self.environment.has_record:  # to look must not begin one
                return False
            events = self.environment.log.run_in_memory(self.context.run)
        except DeployError:
            return False
        return next(of_type(events, RunOpened), None) is not None

    def _limit(self, run: Run) -> None:
        """Hold the time limit of the whole run: at its end the run is stopped and undone; past that, killed."""
        seconds = run.policy.run_limit
        self.limits.limit_run(time.monotonic() + seconds, self._stop_at_run_limit)
        self.guard_channel.report_limit(
            seconds + run.policy.rollback.budget_s + UNDONE_AND_SEALED_S, f"run {run.context.run}"
        )

    def _stop_at_run_limit(self) -> bool:
        """The run's time is over: whether the step that runs is to be stopped."""
        sequence = None if self.run is None else self.run.sequence
        # A rollback that somebody asked for is not stopped half way: it has the time that its own budget gives.
        self._run_limit_passed = sequence is not None and sequence.closed is None and not sequence.rolling_back
        return self._run_limit_passed

    # --- steps

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Let a step through, or leave it out with its cause; before the recorder announces it."""
        run = self._run_after_stops()
        cause = run.sequence.refusal(item.nodeid)
        if cause is not None:
            pytest.skip(f"not run: {cause}")
        run.step_started(item.stash[STEP].nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A step has ended, in this process or a worker; its event is written."""
        finished: FinishedStep | None = getattr(report, "deploy_step", None)
        if finished is None:
            return
        run = self._run_after_stops(finished["signal"])
        if finished["nodeid"] not in {step.nodeid for step in run.sequence.running()}:
            # xdist let a step go that its worker held, because it shuts the workers down.
            run.step_started(finished["nodeid"])
        run.step_finished(finished["nodeid"], outcome=finished["outcome"], cause=finished["cause"])

    def _run_after_stops(self, signum: int | None = None) -> Run:
        """The run, closed first where a signal, its time limit or a lost lease stopped it. `signum`: a signal that a worker got."""
        run = self.run
        if run is None:
            raise RuntimeError("a step came before the run was opened")
        if (
            self._run_limit_passed and run.sequence.closed is None
        ):  # before the signal by which workers were stopped for it
            run.close(Cause("budget", f"the run took longer than its limit of {run.policy.run_limit:g} s"))
        first = self.interruption.first if self.interruption.first is not None else signum
        if first is not None and run.sequence.closed is None:
            run.close(Cause("signal", signal.Signals(first).name))
        if run.lease is not None and run.lease.lost.is_set() and run.sequence.closed is None:
            run.close(Cause("lease", f"the lease was lost: {run.lease.cause}"))
        return run

    def following(self, item: pytest.Item, nextitem: pytest.Item | None, passing: bool) -> pytest.Item | None:  # noqa: FBT001 -- as `Scopes` asks
        """The next item that will run, if this one ends as it went so far."""
        if self.run is None or nextitem is None:
            return nextitem
        left_out = self.run.sequence.left_out_after(item.nodeid, passed=passing)
        items = item.session.items
        later = items[items.index(nextitem) :]
        return next((one for one in later if one.nodeid not in left_out), None)

    # --- ending

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Generator[None]:
        """Undo what pytest could not and decide; let the other report writers finish; then seal and close."""
        run = self.run
        if run is None:
            try:
                return (yield)
            finally:  # after the report writers: they write theirs even of a run that never was
                self.progress.close()
                shutil.rmtree(self.context.session, ignore_errors=True)
                self.environment.close()
        self._tear_down(run, session)
        with self.interruption.shielded():
            code = self._with_record(run, lambda: self._settle(run, session, exitstatus))
            try:
                self._report_unrun_steps(run)
                return (yield)
            finally:
                session.exitstatus = code or self._with_record(run, lambda: self._seal(run))

    def _tear_down(self, run: Run, session: pytest.Session) -> None:
        """What a step that was broken off left set up, before anything is decided or undone."""
        if said := self.limits.tear_down(session):
            self.progress.line(said, red=True)
            if run.sequence.closed is None and self.recorder.broken_off is None:
                self.recorder.broken_off = Cause("internal", said)

    def _settle(self, run: Run, session: pytest.Session, exitstatus: int) -> int:
        """Account for what pytest left open, and roll back where that is needed and no step can do it any more; 0."""
        # 1. A signal or a lost lease that no step noticed; steps that pytest did not come to.
        self._run_after_stops()
        if run.sequence.phase is not None:
            run.settle(
                self.recorder.broken_off
                or Cause("internal", f"pytest ended before the steps did (status {int(exitstatus)})")
            )
        elif self.recorder.broken_off is not None and run.sequence.closed is None:
            run.overrule(self.recorder.broken_off)
        # 2. What pytest and the log tell differently.
        for difference in self.cross_check.differences(run.events(), session.testsfailed):
            self._differs(run, difference)
        # 3. What serves now, once more; then what is left to undo.
        require_served(run)
        if run.needs_rollback:
            self.progress.line()
            self.progress.line("rollback without steps: from the log and the live state", bold=True)
            roll_back(run)
        # 4. A plan makes its request; then the run is judged.
        if self.context.pipeline == PLAN and not run.decided:
            plan.conclude(run, self.source)
        run.decide()
        return 0

    def _differs(self, run: Run, difference: str) -> None:
        """Record and say a failure that no step's event tells; the run fails by it."""
        told = self.environment.redact(difference)
        run.append(AlertRaised(alert="cross-check", detail=told))
        self.progress.line(f"pytest and the record differ: {told}", red=True)
        if run.sequence.closed is None:
            run.overrule(Cause("step", told))

    def _seal(self, run: Run) -> int:
        """Seal the run, and say how it went and what serves now; pytest's exit code."""
        sealed = seal(run)
        self.guard_channel.report_sealed(sealed.exit_code)
        self.interruption.release()
        try:
            self._say_how_it_went(run, sealed)
            self._telling.join()
            self._notify(run)
            self.config.hook.pytest_deploy_run_decided(run=run.context.run, judgement=run.judgement)
        except Exception as error:  # noqa: BLE001 -- the run is sealed: what is only said or read now decides nothing
            self.progress.line(f"after the seal: {type(error).__name__}: {error}", red=True)
        # What steps left running is ended: processes here, a thread with this process, by the guard.
        threads = self.leftovers.threads()
        for name in [*self._left_by_workers, *threads, *end_processes()]:
            self.progress.line(f"left running, and ended: {name}", yellow=True)
        self.progress.close()
        self.guard_channel.report_left(threads)
        return sealed.exit_code

    def _notify(self, run: Run) -> None:
        """Tell who policy names what there is to tell so far; it decides nothing."""
        if outbox.is_told(self.environment):
            outbox.deliver_run(self.environment, run.context.run, say=self.progress.line)

    def _say_how_it_went(self, run: Run, sealed: Sealed) -> None:
        self.progress.line()
        lines = summary(run, sealed)
        for line, markup in lines:
            self.progress.line(line, **markup)
        self._add_to_job(*(line for line, _ in lines))

    def _add_to_job(self, *lines: str) -> None:
        """Show on the page of the CI job how this run ended; it is over, and nothing that fails here changes that."""
        heading = f"{self.context.workspace.environment}: {self.context.pipeline} {self.context.run}"
        try:
            job_summary.add(heading, [as_called(self.environment.redact(line)) for line in lines])
        except Exception as fault:  # noqa: BLE001
            self.progress.line(f"the job's summary was not written: {type(fault).__name__}: {fault}", red=True)

    def _with_record(self, run: Run, act: Callable[[], int]) -> int:
        """Do what writes the record, for its exit code; where that cannot be written, the code that is left (not 0)."""
        try:
            return act()
        except RecordError as error:
            self.progress.line()
            self.progress.line(f"the record cannot be written: {error}", red=True, bold=True)
            code = abort_unrecorded(run)
            self.guard_channel.report_ended(code)
            self.interruption.release()
            self.progress.close()
            return code

    def _report_unrun_steps(self, run: Run) -> None:
        """Without workers every item came by, run or left out: nothing is missing in the reports."""
