"""One run: what is written when, around the sequence that says what may happen. No pytest in here.

The controller (or the only process) holds this; the process that runs a step writes that step's own events.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from msgspec import UNSET

from pytest_deploy.errors import DeployError
from pytest_deploy.pipeline import steps_lock
from pytest_deploy.pipeline.authorize_run import authorize_change
from pytest_deploy.pipeline.freeze import freezes
from pytest_deploy.pipeline.outcome import Judgement, judge, lost_step, unpassed
from pytest_deploy.pipeline.requests import approved_request, make_request, request_now
from pytest_deploy.pipeline.sequence import ROLLBACK, Cause, PhaseSequence, goes_on
from pytest_deploy.pipeline.step_record import watched
from pytest_deploy.pipeline.steps_lock import Step
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.phases import PIPELINES
from pytest_deploy.policy.run_context import RunContext
from pytest_deploy.record.actor import PIPELINE_ACTOR, local_actor
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import (
    EnvironmentFrozen,
    EventContent,
    PhaseFinished,
    PhaseOutcome,
    PhaseStarted,
    RollbackFinished,
    RollbackStarted,
    RunDecided,
    RunOpened,
    RunPlanned,
    StepFinished,
    StepNotRun,
    StepOutcome,
    StepStarted,
    given,
)
from pytest_deploy.record.lease import Lease
from pytest_deploy.release import request
from pytest_deploy.release.live import Baseline
from pytest_deploy.release.source import Source
from pytest_deploy.rollback.request import who_asked
from pytest_deploy.rollback.rollback import baseline_of, order_of

logger = logging.getLogger(__name__)

NO_STEPS_ANY_MORE = "no step can run any more: undone from the log"
NOT_IN_POLICY = "not in this environment's policy"
BUILDS_NOTHING = "a rollback builds nothing"


class RunObserver:
    """Who is told what a run does while it goes on."""

    def phase_started(self, phase: str) -> None:
        """A phase has begun."""

    def phase_finished(self, phase: str, outcome: PhaseOutcome, seconds: float) -> None:
        """A phase has ended."""

    def steps_not_run(self, steps: Mapping[Step, str]) -> None:
        """Steps will never start, each for its cause; told as soon as that is known."""

    def line(self, text: str = "", **markup: bool) -> None:
        """One line for the person watching; `markup` as pytest's terminal writer takes it."""


@dataclass
class Run:
    environment: Environment
    context: RunContext
    steps: tuple[Step, ...]
    observer: RunObserver
    lease: Lease | None
    """None in a plan, which changes nothing."""
    started_at: float
    """`clock.monotonic()` at the start of the process: the SLA counts from there."""
    source: Source | None = None
    """What is deployed, as it was read before the run was opened; None in `recover`, which makes no request."""

    def __post_init__(self) -> None:
        self.policy, self.log = self.environment.policy, self.environment.log
        self.system_clock = self.environment.system_clock
        self._left_out = dict.fromkeys(self.policy.phases.leave_out, NOT_IN_POLICY)
        self._left_out |= {"build": BUILDS_NOTHING} if self.context.goes_back else {}
        self._gate_group = PIPELINES[self.context.pipeline].gate_group
        self.sequence = PhaseSequence(self.steps, self.context.pipeline, left_out=self._left_out)
        self._gates_asked_before_change = False
        self._phase: str | None = None
        self._phase_began = 0.0
        self._recorded_not_run: set[str] = set()
        self._rollback_began, self._rollback_target = 0.0, "none"
        self.judgement: Judgement | None = None
        self.plan_result: dict[str, Any] = {}
        """What `run.decided` says besides: a plan's request, earliest start and what is still needed."""

    # --- opening, and taking up what a process left behind

    def open(self, opened: RunOpened) -> None:
        """Write `run.opened` and `run.planned`."""
        self.log.append(opened, run=self.context.run, actor=local_actor())
        always = sum(step.when == "always" for step in self.steps)
        digest = steps_lock.digest(self.steps)
        self.append(RunPlanned(steps=always, conditional=len(self.steps) - always, steps_sha256=digest))

    def begin(self) -> None:
        """Begin the first phase."""
        self._advance()

    def resume(self) -> None:
        """Take up a run that its process left behind, from its own events; writes nothing."""
        events = self.events()
        self.sequence.replay(events)
        for event in events:
            match event.content:
                case StepNotRun(nodeid=nodeid):
                    self._recorded_not_run.add(nodeid)
                case PhaseStarted(phase=phase):
                    self._phase, self._phase_began = phase, self.system_clock.monotonic()
                case PhaseFinished():
                    self._phase = None
                case RollbackStarted(target=target, cause=cause):
                    self._rollback_target, self._rollback_began = target, self.system_clock.monotonic()
                    self.sequence.rolling_back = True
                    # What closed the run stands: a rollback that was begun is still needed, whatever became of its steps.
                    if not self.sequence.by_hand:
                        self.sequence.close(Cause("step", cause))

    def settle(self, cause: Cause) -> None:
        """Account for what a gone process left open; close for `cause`, unless the run had in truth completed."""
        self.sequence.halted = NO_STEPS_ANY_MORE
        running = self.sequence.running()
        if running and (self._phase != ROLLBACK or self.sequence.by_hand):
            # What ended the session closes the run: not the step alone that it ended in.
            self.sequence.close(cause)
        for step in running:
            self._record_end(step, "its end was never seen: the process that ran it is gone")
        ended = self.sequence.closed is None and self.sequence.phase is None
        if ended and not unpassed(self.events(), self.required, pipeline=self.context.pipeline):
            self._advance()
        else:
            self.close(cause)

    def overrule(self, cause: Cause) -> None:
        """Close a run whose steps are through: they are not all that counts. What it changed is undone without steps."""
        self.sequence.halted = self.sequence.halted or NO_STEPS_ANY_MORE
        self.close(cause)

    @property
    def required(self) -> list[Step]:
        """The steps that must pass: `always`, and not left out."""
        return [step for step in self.steps if step.when == "always" and step.phase not in self._left_out]

    # --- steps

    def step_started(self, nodeid: str) -> None:
        """The process that runs the step announces it in the log itself."""
        self.sequence.start(nodeid)

    def step_finished(self, nodeid: str, *, outcome: StepOutcome, cause: str = "") -> None:
        """A step has ended, its `step.finished` is written; go on from there."""
        self.sequence.finish(nodeid, outcome, cause=cause)
        self._advance()

    def step_lost(self, nodeid: str, message: str) -> None:
        """The process that ran the step is gone: what the log says of it, else an error in its place.

        A rollback that lost its step is not a failed one: it is still needed, and done without steps.
        """
        step = next(step for step in self.steps if step.nodeid == nodeid)
        if step.phase == ROLLBACK:
            self.sequence.halted = f"{message}: undone from the log"
        self._record_end(step, message)
        self._advance()

    def ends_recorded(self) -> bool:
        """Whether the log tells the end of every step that runs, as far as this process knows of it."""
        ended = {content.nodeid for _, content in of_type(self.events(), StepFinished)}
        return all(step.nodeid in ended for step in self.sequence.running())

    def close(self, cause: Cause) -> None:
        """Close the sequence: nothing goes forward any more."""
        in_rollback = self._phase == ROLLBACK
        self.sequence.close(cause, ROLLBACK if in_rollback and cause.kind != "signal" else None)
        self._advance()

    def _record_end(self, step: Step, message: str) -> None:
        """Take a step's end from the log; where nobody wrote one, write it."""
        events = self.events()
        ends = [content for _, content in of_type(events, StepFinished) if content.nodeid == step.nodeid]
        if not ends:
            if not any(content.nodeid == step.nodeid for _, content in of_type(events, StepStarted)):
                self.append(StepStarted(nodeid=step.nodeid, phase=step.phase, changes=step.changes))
            self.append(lost_step(step, message))
        outcome = ends[0].outcome if len(ends) == 1 else "error"
        self.sequence.finish(step.nodeid, outcome, cause=(ends[0].message or "") if ends else message)

    # --- deciding

    @property
    def decided(self) -> bool:
        return bool(self.outcome)

    @property
    def outcome(self) -> str:
        """The outcome as decided; empty before that."""
        return next((content.outcome for _, content in of_type(self.events(), RunDecided)), "")

    def decide(self) -> Judgement:
        """Judge the run from its own events and write `run.decided`, once; a decided run keeps its judgement."""
        events = self.events()
        for _, decided in of_type(events, RunDecided):
            self.judgement = Judgement(decided.outcome, decided.cause or "", given(decided.exit_code, 0))
            return self.judgement
        self.judgement = judge(events, self.required, self.sequence.closed, pipeline=self.context.pipeline)
        self._freeze(events, self.judgement)
        self.append(
            RunDecided(
                **self.plan_result,
                outcome=self.judgement.outcome,
                cause=self.judgement.cause,
                duration_s=self.elapsed(),
                watch_s=watched(events),
                sla_s=float(self.policy.sla_s),
                exit_code=self.judgement.exit_code,
            )
        )
        logger.info("decided: %s %s", self.judgement.outcome, self.judgement.cause)
        return self.judgement

    def _freeze(self, events: Sequence[Event], judgement: Judgement) -> None:
        """Write `environment.frozen`, once, where the run was rolled back, or could not be, and policy freezes then."""
        if not self.policy.freeze_after_rollback or next(of_type(events, EnvironmentFrozen), None) is not None:
            return
        for freeze in freezes(judgement, events, self.environment.workspace.store):
            self.append(freeze)
            logger.info("frozen until somebody signs thaw: %s", freeze.reason)

    def elapsed(self) -> float:
        return round(self.system_clock.monotonic() - self.started_at, 3)

    def events(self) -> list[Event]:
        return self.log.run(self.context.run)

    def append(self, content: EventContent) -> Event:
        return self.log.append(content, run=self.context.run, actor=PIPELINE_ACTOR)

    # --- phases

    def _advance(self) -> None:
        """Write what the sequence's new state means: phases that ended or began, steps that will never start."""
        while True:
            # 1. A phase whose last step has ended is finished; that may close the sequence.
            if self._phase is not None and self.sequence.complete(self._phase):
                self._finish_phase(self._phase)
                continue
            # 2. What can never start any more is recorded, once.
            self._record_not_run()
            # 3. The next phase begins, unless the gates refuse right before the first change.
            following = self.sequence.phase
            if following == self._phase or following is None:
                return
            if (cause := self._gates_before_change(following)) is not None:
                self.sequence.close(cause)
                continue
            self._start_phase(following)

    def _gates_before_change(self, phase: str) -> Cause | None:
        """Ask every gate once more, right before the first phase that changes something."""
        forward = phase != ROLLBACK or self.sequence.by_hand
        changing = forward and any(step.changes for step in self.steps if step.phase == phase)
        if not changing or self._gates_asked_before_change or self.source is None:
            return None
        self._gates_asked_before_change = True
        return authorize_change(self.environment, self.context, self.events())

    def _start_phase(self, phase: str) -> None:
        if phase == ROLLBACK:
            self.start_rollback()
        self._phase, self._phase_began = phase, self.system_clock.monotonic()
        self.append(PhaseStarted(phase=phase))
        logger.info("phase %s begins", phase)
        self.observer.phase_started(phase)

    def _finish_phase(self, phase: str) -> None:
        # 1. What it came to: its steps, its time budget, and what closed the run meanwhile.
        seconds = round(self.system_clock.monotonic() - self._phase_began, 3)
        outcome = self.sequence.phase_outcome(phase) or "not-run"
        well = goes_on(outcome, self.context.pipeline)
        budget = self.policy.smoke.budget_s if phase == "smoke" else None
        overrun = ""
        if well and budget is not None and seconds > budget:
            well, outcome = False, "failed"
            overrun = f"took {seconds:.0f} s, the budget is {budget:.0f} s"
            self.sequence.close(Cause("budget", f"{phase}: {overrun}"), phase)
        closed = self.sequence.rollback_closed if phase == ROLLBACK else self.sequence.closed
        # What a gate group closes is said of the run; a phase of it that went well went well.
        if closed is not None and outcome != "still-needed" and not (well and phase in self._gate_group):
            well, outcome = False, "failed"
        # 2. Record it, and tell it.
        self.append(
            PhaseFinished(
                phase=phase,
                duration_s=seconds,
                outcome=outcome,
                cause=overrun or UNSET,
                budget_s=float(budget) if overrun and budget is not None else UNSET,
            )
        )
        self._phase = None
        logger.info("phase %s: %s after %.3f s", phase, outcome, seconds)
        self.observer.phase_finished(phase, outcome, seconds)
        # 3. What follows from its end.
        if phase == ROLLBACK and self.sequence.halted is None:
            if self.sequence.by_hand and outcome != "passed":
                self.sequence.close(Cause("step", "rollback failed: no step shows that it was led back"), phase)
            self.finish_rollback("done" if outcome == "passed" else "failed")
        if phase == "build" and well and self.source is not None:
            self._request(self.source)

    def _record_not_run(self) -> None:
        not_run = self.sequence.not_run()
        steps = {step: cause for step, cause in not_run.items() if step.nodeid not in self._recorded_not_run}
        for step, cause in steps.items():
            self._recorded_not_run.add(step.nodeid)
            # Only what is known is said: a run finished by `recover` has no collection to read the assertions from.
            claims = list(step.verifies) or UNSET
            self.append(StepNotRun(nodeid=step.nodeid, phase=step.phase, cause=cause, claims=claims))
        if steps:
            self.observer.steps_not_run(steps)

    def _request(self, source: Source) -> None:
        """After the build: the run's own request where none was approved, else the artefact held against the approved one.

        A fault closes the run before any change.
        """
        try:
            image = request.built_image(self.events())
            if self.context.request:
                approved = approved_request(self.environment, self.context).image
                if image != approved:
                    self.close(Cause("request", f"the build made {image}; approved is {approved}"))
            elif self.context.pipeline == request.PIPELINE:
                rendered = request_now(self.environment, self.context, source, image)
                make_request(self.environment, self.context.run, rendered)
        except DeployError as error:
            self.close(Cause("request", f"the request could not be made: {error}"))

    # --- rollback

    @property
    def needs_rollback(self) -> bool:
        """Whether something was changed, or a rollback has begun, the run is closed, and no rollback has finished."""
        needed = self.sequence.closed is not None and (self.sequence.changed or self.sequence.rolling_back)
        return needed and next(of_type(self.events(), RollbackFinished), None) is None

    def start_rollback(self) -> Baseline | None:
        """Write `rollback.started` once; what the environment was before the first change."""
        events = self.events()
        baseline = baseline_of(events)
        self.sequence.rolling_back = True
        if next(of_type(events, RollbackStarted), None) is not None:
            return baseline
        cause = who_asked(events) if self.sequence.by_hand else str(self.sequence.closed or "")
        target = baseline.release.version if baseline is not None and baseline.release is not None else "none"
        order = ["traffic", "database"]
        folder = self.environment.migrations_folder
        if baseline is not None and order_of(self.policy.rollback.order, baseline, folder) == "database-first":
            order.reverse()
        if self.policy.infrastructure is not None and not self.sequence.by_hand:
            order.append("infrastructure")
        self._rollback_began, self._rollback_target = self.system_clock.monotonic(), target
        self.append(RollbackStarted(cause=cause, order=order, target=target))
        logger.info("rollback to %s begins: %s", target, cause)
        if target == "none":
            for step in self.steps:
                if step.when == "earlier":
                    self.sequence.leave_out(step.nodeid, "no prior release: there is nothing to expect")
        return baseline

    def finish_rollback(self, outcome: Literal["done", "failed"], cause: str = "") -> None:
        seconds = round(self.system_clock.monotonic() - self._rollback_began, 3)
        closed = self.sequence.rollback_closed
        text = cause or (closed.text if closed is not None and outcome != "done" else "")
        self.append(
            RollbackFinished(
                outcome="rolled-back" if outcome == "done" else "rollback-failed",
                duration_s=seconds,
                target=self._rollback_target,
                cause=text,
            )
        )
