"""What may happen next: a pure state machine over the planned steps.

Rules:
- one phase is open at a time; the next opens when the last is complete;
- mode `all`: every step of the phase runs, one failure fails the phase; mode `first`: in order, the first failure closes;
- a failed phase, a signal or any other cause closes the sequence for good: the remaining steps never start; of a gate
  group every phase runs first, so that no refusal hides another;
- rollback steps start only in a closed sequence in which a changing step had been announced; in the pipeline `rollback`, which a
  person asked for, they are a phase like others, and once it has begun nothing but its own failure stops it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_deploy.pipeline.steps_lock import Step
from pytest_deploy.policy.phases import ORDERED, PIPELINES
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import PhaseOutcome, StepFinished, StepNotRun, StepOutcome, StepStarted

ROLLBACK = "rollback"

CauseKind = Literal["step", "budget", "signal", "internal", "lease", "worker", "request", "gate"]


@dataclass(frozen=True)
class Cause:
    kind: CauseKind
    text: str
    """What failed and what was found, e.g. `smoke failed: "health answers 200": expected 200, got 500`."""
    short: str = ""
    """What is said of each step that is not run because of it, e.g. `smoke failed`; empty: the text."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class FailedStep:
    """A step that did not pass, as people are told."""

    phase: str
    title: str
    summary: str
    """What was found in place of what was expected, in one line; empty where nothing says it."""

    def __str__(self) -> str:
        return f'{self.phase} failed: "{self.title}"' + (f": {self.summary}" if self.summary else "")


def cause_of(failed: Sequence[FailedStep]) -> Cause:
    """The cause that steps' failures are: the first in full, the others as a number: the report links to each."""
    phases = " and ".join(dict.fromkeys(step.phase for step in failed))
    more = len(failed) - 1
    besides = f" (and {more} more {'step' if more == 1 else 'steps'})" if more else ""
    return Cause("step", f"{failed[0]}{besides}", f"{phases} failed")


def goes_on(outcome: StepOutcome | PhaseOutcome, pipeline: str) -> bool:
    """Whether a run goes on after a step, or a phase, that ended so. What is still needed stops every pipeline but a plan."""
    return outcome in {"passed", "not-applicable"} or (outcome == "still-needed" and pipeline == "plan")


class OutOfOrder(RuntimeError):
    """A step was started or finished where the order does not allow it: a fault in this package, never in a suite."""


class PhaseSequence:
    """The guard of one run. Feed it what happens; ask it what may happen."""

    def __init__(
        self, steps: Sequence[Step], pipeline: str = "deploy", *, left_out: Mapping[str, str] | None = None
    ) -> None:
        """`left_out` maps phases to the cause for which policy leaves them out."""
        self._pipeline = pipeline
        self._gate_group = PIPELINES[pipeline].gate_group
        self.by_hand = ROLLBACK in PIPELINES[pipeline].phases
        """Whether the rollback is what was asked for, not what follows a failure."""
        self.rolling_back = False
        """Whether the rollback has begun."""
        self._steps = {step.nodeid: step for step in steps}
        self._phases = tuple(dict.fromkeys(step.phase for step in steps))
        self._not_run = {step.nodeid: left_out[step.phase] for step in steps if left_out and step.phase in left_out}
        self._started: set[str] = set()
        self._outcomes: dict[str, StepOutcome] = {}
        self._found: dict[str, str] = {}
        self.closed: Cause | None = None
        """Why nothing more may start going forward; None while it goes well."""
        self.changed = False
        """Whether a changing step has been announced."""
        self.rollback_closed: Cause | None = None
        """Why the rollback itself stopped; None while it goes well or never began."""
        self.halted: str | None = None
        """Why no step at all can run any more, not even the rollback's: whoever runs them is gone."""

    @property
    def phase(self) -> str | None:
        """The phase whose steps may run now; None when the run is complete."""
        for phase in self._phases:
            if phase == ROLLBACK:
                if self._goes_back() and not self.complete(phase):
                    return phase
            elif (self.closed is None or self.running(phase)) and not self.complete(phase):
                return phase
        return None

    def ready(self) -> tuple[Step, ...]:
        """The steps that may start now, in order; an ordered phase offers one at a time."""
        phase = self.phase
        if phase is None:
            return ()
        if phase not in ORDERED:
            return self.waiting(phase)
        return () if self.running(phase) else self.waiting(phase)[:1]

    def waiting(self, phase: str | None = None) -> tuple[Step, ...]:
        """The steps, of all phases or of one, that have not started and may still, now or later, in order."""
        rollback = self._rollback_cause() if phase in {None, ROLLBACK} else None
        return tuple(s for s in self._of(phase) if s.nodeid not in self._started and self._cause(s, rollback) is None)

    def refusal(self, nodeid: str) -> str | None:
        """Why this step does not start, in the words of `step.not-run`; None when it may start now.

        Raises OutOfOrder where the step is neither startable nor refused: it would have to wait.
        """
        step = self._steps[nodeid]
        cause = self._cause(step, self._rollback_cause())
        if cause is None and step not in self.ready():
            raise OutOfOrder(f"{nodeid} may not start before {[s.nodeid for s in self.ready()]}")
        return cause

    def start(self, nodeid: str) -> None:
        if self.refusal(nodeid) is not None:
            raise OutOfOrder(f"{nodeid} was refused: {self.refusal(nodeid)}")
        self._started.add(nodeid)
        self.changed |= self._steps[nodeid].changes
        self.rolling_back |= self._steps[nodeid].phase == ROLLBACK

    def finish(self, nodeid: str, outcome: StepOutcome, *, cause: str = "") -> None:
        """A step ended. In an ordered phase a failure closes at once; else at the end of the phase. `cause`: what was found."""
        if nodeid not in self._started or nodeid in self._outcomes:
            raise OutOfOrder(f"{nodeid} finished without having been started, or twice")
        self._outcomes[nodeid] = outcome
        self._found[nodeid] = cause
        step = self._steps[nodeid]
        if self._stops(step) and step.phase in ORDERED:
            self.close(cause_of([self._failed(step)]), step.phase)
            return
        group = self._gate_group if step.phase in self._gate_group else (step.phase,)
        failed = [one for one in self._steps.values() if one.phase in group and self._stops(one)]
        if failed and all(self.complete(phase) for phase in group):
            self.close(cause_of([self._failed(one) for one in failed]), step.phase)

    def close(self, cause: Cause, phase: str | None = None) -> None:
        """Nothing more may start. The first cause stands. A cause in the rollback phase closes the rollback."""
        if phase == ROLLBACK:
            self.rollback_closed = self.rollback_closed or cause
        if phase != ROLLBACK or self.by_hand:
            self.closed = self.closed or cause

    def replay(self, events: Iterable[Event]) -> None:
        """Take in what a log says of the steps, as `recover` finds it; nothing is decided by it yet."""
        for event in events:
            match event.content:
                case StepStarted(nodeid=nodeid) if nodeid in self._steps:
                    self._started.add(nodeid)
                    self.changed |= self._steps[nodeid].changes
                    self.rolling_back |= self._steps[nodeid].phase == ROLLBACK
                case StepFinished(nodeid=nodeid, outcome=outcome) if nodeid in self._steps:
                    self._outcomes[nodeid] = outcome
                case StepNotRun(nodeid=nodeid, cause=cause) if nodeid in self._steps:
                    self._not_run.setdefault(nodeid, cause)

    def running(self, phase: str | None = None) -> tuple[Step, ...]:
        """The steps, of all phases or of one, that began and have not ended."""
        return tuple(s for s in self._of(phase) if s.nodeid in self._started and s.nodeid not in self._outcomes)

    def leave_out(self, nodeid: str, cause: str) -> None:
        """A step turned out not to be needed, e.g. `no prior release`."""
        self._not_run.setdefault(nodeid, cause)

    def not_run(self) -> dict[Step, str]:
        """The steps that will never start, as far as is known now, in order, each with its cause."""
        steps = [step for step in self._steps.values() if step.nodeid not in self._started]
        rollback = self._rollback_cause()
        causes = {step: self._cause(step, rollback) for step in steps}
        return {step: cause for step, cause in causes.items() if cause is not None}

    def left_out_after(self, nodeid: str, *, passed: bool) -> frozenset[str]:
        """The steps that would never start if this one, which runs, ended so."""
        tried = copy.copy(self)
        tried._outcomes, tried._found = dict(self._outcomes), dict(self._found)  # noqa: SLF001 -- its own class: all that a finish changes in place
        tried.finish(nodeid, "passed" if passed else "failed")
        return frozenset(step.nodeid for step in tried.not_run())

    def phase_outcome(self, phase: str) -> PhaseOutcome | None:
        """What a phase came to, which is no better than its steps; None while it is not complete."""
        if not self.complete(phase):
            return None
        ends = {self._outcomes[step.nodeid] for step in self._of(phase) if step.nodeid in self._started}
        cut = any(s.nodeid not in self._started and s.nodeid not in self._not_run for s in self._of(phase))
        if not ends:
            return "not-run"
        if cut or not ends <= {"passed", "still-needed", "not-applicable"}:
            return "failed"
        results: tuple[PhaseOutcome, ...] = ("still-needed", "passed", "not-applicable")
        return next(result for result in results if result in ends)

    def complete(self, phase: str) -> bool:
        """Whether every step of the phase has ended or will never start."""
        return not self.running(phase) and not self.waiting(phase)

    def _of(self, phase: str | None) -> list[Step]:
        return [step for step in self._steps.values() if phase in {None, step.phase}]

    def _cause(self, step: Step, rollback: str | None) -> str | None:
        """Why a step that has not started never will; None where it still may. `rollback`: why none of the rollback's may."""
        if step.nodeid in self._not_run:
            return self._not_run[step.nodeid]
        if step.phase == ROLLBACK:
            return rollback
        return None if self.closed is None else f"skipped because {_in_short(self.closed)}"

    def _stops(self, step: Step) -> bool:
        """Whether the step ended, and nothing goes on after that."""
        outcome = self._outcomes.get(step.nodeid)
        return outcome is not None and not goes_on(outcome, self._pipeline)

    def _failed(self, step: Step) -> FailedStep:
        return FailedStep(step.phase, step.title, self._found.get(step.nodeid, ""))

    def _goes_back(self) -> bool:
        """Whether the rollback may run now, as far as what went before it says."""
        if self.by_hand:
            return self.closed is None or self.rolling_back
        return self.closed is not None and self.changed

    def _rollback_cause(self) -> str | None:
        if self.halted is not None:
            return self.halted
        if self.rollback_closed is not None:
            return f"rollback stopped because {_in_short(self.rollback_closed)}"
        if self.by_hand:
            stopped = self.closed is not None and not self.rolling_back
            return f"skipped because {_in_short(self.closed)}" if stopped and self.closed is not None else None
        if self.closed is not None:
            return None if self.changed else "nothing to roll back: nothing had been changed"
        forward = all(self.complete(phase) for phase in self._phases if phase != ROLLBACK)
        return "nothing to roll back: no step failed" if forward else None


def _in_short(cause: Cause) -> str:
    """What closed the sequence, for each step that it stops: one line, not the whole cause."""
    if cause.kind == "signal":
        return f"the run was stopped by {cause.text}"
    first_line = (cause.short or cause.text).partition("\n")[0]
    return first_line if cause.short or cause.kind != "gate" else "a gate refused before the first change"
