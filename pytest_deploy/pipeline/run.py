"""One run, conducted: what is written when, around the sequence that says what may happen. No pytest in here.

The controller (or the only process) holds this; the process that runs a step writes that step's own events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_deploy.pipeline import steps_lock
from pytest_deploy.pipeline.outcome import Judgement, judge, unpassed
from pytest_deploy.pipeline.sequence import ROLLBACK, Cause, NotRun, PhaseSequence
from pytest_deploy.pipeline.steps_lock import Step
from pytest_deploy.pipeline.timings import watched
from pytest_deploy.policy.phases import PIPELINES
from pytest_deploy.policy.policy import Policy
from pytest_deploy.policy.run_context import RunContext
from pytest_deploy.record.actor import local_actor
from pytest_deploy.record.clock import Clock
from pytest_deploy.record.event import Event
from pytest_deploy.record.lease import Lease
from pytest_deploy.record.log import Log
from pytest_deploy.release.live import Baseline
from pytest_deploy.rollback.execute import since
from pytest_deploy.rollback.plan import Order, baseline_of, order_of

PIPELINE_ACTOR = "system:pipeline"
NOT_IN_POLICY = "not in this environment's policy"


@dataclass
class Listener:
    """What the edges want to know while a run goes on. Each default does nothing."""

    phase_started: Callable[[str], None] = lambda phase: None
    phase_finished: Callable[[str, bool | None, float], None] = lambda phase, passed, seconds: None
    not_run: Callable[[Sequence[NotRun]], None] = lambda steps: None
    """Steps that will never start, as soon as that is known."""
    build_finished: Callable[[], None] = lambda: None
    """The build phase passed: the request is made here."""
    before_change: Callable[[], Cause | None] = lambda: None
    """The first phase that changes something is about to begin: a cause not to."""


@dataclass
class Run:
    """A run from `run.opened` to `run.decided`."""

    context: RunContext
    policy: Policy
    log: Log
    lease: Lease | None
    """None in a plan, which changes nothing."""
    clock: Clock
    steps: tuple[Step, ...]
    started_at: float
    """`clock.monotonic()` at the start of the process: the SLA counts from there."""
    listener: Listener = field(default_factory=Listener)

    def __post_init__(self) -> None:
        left_out = dict.fromkeys(self.policy.phases.leave_out, NOT_IN_POLICY)
        together = PIPELINES[self.context.pipeline].gate_group
        self.sequence = PhaseSequence(self.steps, left_out=left_out, together=together)
        self._together = frozenset(together)
        self._asked_before_change = False
        self._phase: str | None = None
        self._phase_began = 0.0
        self._told: set[str] = set()
        self._rollback_began, self._target = 0.0, "none"
        self.judgement: Judgement | None = None
        self.concluded: Mapping[str, Any] = {}
        """What `run.decided` says besides: a plan's request, earliest start and what is owed."""

    # --- opening

    def open(self, opened: Mapping[str, Any]) -> None:
        """Write `run.opened` and `run.planned`; `opened` is the former's data."""
        self.append("run.opened", dict(opened), actor=local_actor())
        always = [step for step in self.steps if step.when == "always"]
        self.append(
            "run.planned",
            {
                "steps": len(always),
                "conditional": len(self.steps) - len(always),
                "steps_sha256": steps_lock.digest(self.steps),
            },
        )
        self._advance()

    def resume(self) -> None:
        """Take up a run that its process left behind, from its own events; writes nothing."""
        events = self.events()
        self.sequence.replay(events)
        for event in events:
            if event.type == "step.not-run":
                self._told.add(event.data["nodeid"])
            elif event.type == "phase.started":
                self._phase, self._phase_began = event.data["phase"], self.clock.monotonic()
            elif event.type == "phase.finished":
                self._phase = None
            elif event.type == "rollback.started":
                self._target, self._rollback_began = event.data["target"], self.clock.monotonic()
                # What closed the run stands: a rollback that was begun is owed, whatever became of its steps.
                self.sequence.close(Cause("step", event.data["cause"]))

    def settle(self, cause: Cause) -> None:
        """Account for what a gone process left open; close for `cause`, unless the run had in truth completed."""
        self._reconcile()
        self.sequence.halt("no step can run any more: undone from the log")
        if self.sequence.closed is None and self.sequence.phase is None and not unpassed(self.events(), self.required):
            self._advance()
        else:
            self.close(cause)

    @property
    def required(self) -> list[Step]:
        """The steps that must pass: `always`, and not left out by policy."""
        return [s for s in self.steps if s.when == "always" and s.phase not in self.policy.phases.leave_out]

    # --- steps

    def step_started(self, nodeid: str) -> None:
        """The process that runs the step announces it in the log itself."""
        self.sequence.start(nodeid)

    def step_finished(self, nodeid: str, *, passed: bool, cause: str = "") -> None:
        """A step has ended, its `step.finished` is written; go on from there."""
        self.sequence.finish(nodeid, passed=passed, cause=cause)
        self._advance()

    def step_lost(self, nodeid: str, message: str) -> None:
        """The process that ran the step is gone: what the log says of it, else an error in its place.

        A rollback that lost its step is not a failed one: it is owed still, and done without steps.
        """
        step = next(step for step in self.steps if step.nodeid == nodeid)
        if step.phase == ROLLBACK:
            self.sequence.halt(f"{message}: undone from the log")
        self._account(step, message)
        self._advance()

    def ends_told(self) -> bool:
        """Whether the log tells the end of every step that runs, as far as this process knows of it."""
        told = {event.data["nodeid"] for event in self.events() if event.type == "step.finished"}
        return all(step.nodeid in told for step in self.sequence.running())

    def close(self, cause: Cause) -> None:
        """Close the sequence: nothing goes forward any more."""
        in_rollback = self._phase == ROLLBACK
        self.sequence.close(cause, ROLLBACK if in_rollback and cause.kind != "signal" else None)
        self._advance()

    @property
    def rollback_owed(self) -> bool:
        """Whether something was changed, the run is closed, and no rollback has finished."""
        owed = self.sequence.closed is not None and self.sequence.changed
        return owed and not any(event.type == "rollback.finished" for event in self.events())

    def _reconcile(self) -> None:
        """Steps that began and whose end this process never saw: what the log says of them, else an error."""
        for step in self.sequence.running():
            self._account(step, "its end was never seen: the process that ran it is gone")

    def _account(self, step: Step, message: str) -> None:
        events = [event for event in self.events() if event.data.get("nodeid") == step.nodeid]
        outcomes = [event.data["outcome"] for event in events if event.type == "step.finished"]
        if not outcomes:
            if not any(event.type == "step.started" for event in events):
                self.append("step.started", {"nodeid": step.nodeid, "phase": step.phase, "changes": step.changes})
            self.append("step.finished", lost_step(step, message))
        self.sequence.finish(step.nodeid, passed=outcomes == ["passed"], cause=message if not outcomes else "")

    # --- deciding

    @property
    def decided(self) -> bool:
        """Whether `run.decided` is written."""
        return bool(self.outcome)

    @property
    def outcome(self) -> str:
        """The outcome as decided; empty before that."""
        return next((event.data["outcome"] for event in self.events() if event.type == "run.decided"), "")

    def decide(self) -> Judgement:
        """Judge the run from its own events and write `run.decided`, once; a decided run keeps its judgement."""
        events = self.events()
        for event in events:
            if event.type == "run.decided":
                said = event.data
                self.judgement = Judgement(said["outcome"], said["cause"] or "", said.get("exit_code", 0))
                return self.judgement
        self.judgement = judge(events, self.required, self.sequence.closed, pipeline=self.context.pipeline)
        self.append(
            "run.decided",
            {
                **self.concluded,
                "outcome": self.judgement.outcome,
                "cause": self.judgement.cause,
                "duration_s": self.elapsed(),
                "watch_s": watched(events),
                "sla_s": float(self.policy.sla_s),
                "exit_code": self.judgement.exit_code,
            },
        )
        return self.judgement

    def elapsed(self) -> float:
        """Seconds since the process began."""
        return round(self.clock.monotonic() - self.started_at, 3)

    def events(self) -> list[Event]:
        """The run's own events so far."""
        return self.log.run(self.context.run)

    def append(self, type_: str, content: Mapping[str, Any], *, actor: str = PIPELINE_ACTOR) -> Event:
        """Append one event of this run."""
        return self.log.append(type_, dict(content), run=self.context.run, actor=actor)

    # --- phases

    def _advance(self) -> None:
        """Write what the sequence's new state means: phases that ended or began, steps that will never start."""
        while True:
            if self._phase is not None and self.sequence.complete(self._phase):
                self._finish_phase(self._phase)
                continue
            self._tell_not_run()
            following = self.sequence.phase
            if following == self._phase or following is None:
                return
            if (cause := self._before_change(following)) is not None:
                self.sequence.close(cause)
                continue
            self._start_phase(following)

    def _before_change(self, phase: str) -> Cause | None:
        """Ask once more, right before the first change, whether it may go."""
        changing = phase != ROLLBACK and any(step.changes for step in self.steps if step.phase == phase)
        if not changing or self._asked_before_change:
            return None
        self._asked_before_change = True
        return self.listener.before_change()

    def _start_phase(self, phase: str) -> None:
        if phase == ROLLBACK:
            self.start_rollback()
        self._phase, self._phase_began = phase, self.clock.monotonic()
        self.append("phase.started", {"phase": phase})
        self.listener.phase_started(phase)

    def _finish_phase(self, phase: str) -> None:
        seconds = round(self.clock.monotonic() - self._phase_began, 3)
        budget = self.policy.smoke.budget_s if phase == "smoke" else None
        passed = self.sequence.phase_passed(phase)
        content: dict[str, Any] = {"phase": phase, "duration_s": seconds}
        if passed and budget is not None and seconds > budget:
            passed = False
            content |= {"cause": f"took {seconds:.0f} s, the budget is {budget:.0f} s", "budget_s": float(budget)}
            self.sequence.close(Cause("budget", f"{phase}: {content['cause']}"), phase)
        closed = self.sequence.rollback_closed if phase == ROLLBACK else self.sequence.closed
        # What a gate group closes is said of the run; a phase of it that passed has passed.
        if closed is not None and not (passed and phase in self._together):
            passed = False
        content["outcome"] = {True: "passed", False: "failed", None: "not-run"}[passed]
        self.append("phase.finished", content)
        self._phase = None
        self.listener.phase_finished(phase, passed, seconds)
        if phase == ROLLBACK and self.sequence.halted is None:
            self.finish_rollback("done" if passed else "failed")
        if phase == "build" and passed:
            self.listener.build_finished()

    def _tell_not_run(self) -> None:
        news = [step for step in self.sequence.not_run() if step.nodeid not in self._told]
        for step in news:
            self._told.add(step.nodeid)
            content: dict[str, Any] = {"nodeid": step.nodeid, "phase": step.phase, "cause": step.cause}
            # Only what is known is said: a run finished by `recover` has no collection to read the assertions from.
            self.append("step.not-run", content | ({"verifies": list(step.verifies)} if step.verifies else {}))
        if news:
            self.listener.not_run(news)

    # --- rollback

    def start_rollback(self) -> Baseline | None:
        """Write `rollback.started` once; what the environment was before the first change."""
        baseline = baseline_of(self.events())
        if not any(event.type == "rollback.started" for event in self.events()):
            self._start_rollback(baseline)
        return baseline

    def _start_rollback(self, baseline: Baseline | None) -> None:
        cause = self.sequence.closed.text if self.sequence.closed else ""
        target = baseline.release.version if baseline is not None and baseline.release is not None else "none"
        order = ["traffic", "database"]
        if baseline is not None and self._rollback_order(baseline) == "database-first":
            order.reverse()
        self._rollback_began, self._target = self.clock.monotonic(), target
        self.append("rollback.started", {"cause": cause, "order": order, "target": target})
        if target == "none":
            for step in self.steps:
                if step.when == "earlier":
                    self.sequence.leave_out(step.nodeid, "no prior release: there is nothing to expect")

    def _rollback_order(self, baseline: Baseline) -> Order:
        folder = self.context.workspace.root / self.policy.database.migrations
        return order_of(self.policy.rollback.order, since(baseline, folder))

    def finish_rollback(self, outcome: str, cause: str = "") -> None:
        """Write `rollback.finished`: done or failed."""
        seconds = round(self.clock.monotonic() - self._rollback_began, 3)
        closed = self.sequence.rollback_closed
        text = cause or (closed.text if closed is not None and outcome != "done" else "")
        found = "rolled-back" if outcome == "done" else "rollback-failed"
        content = {"outcome": found, "duration_s": seconds, "target": self._target, "cause": text}
        self.append("rollback.finished", content)


def lost_step(step: Step, message: str) -> dict[str, Any]:
    """The `step.finished` of a step whose process cannot write it any more."""
    return {
        "nodeid": step.nodeid,
        "phase": step.phase,
        "outcome": "error",
        "duration_s": 0.0,
        "verifies": list(step.verifies),
        "attempts": 1,
        "message": message,
        "warnings": [],
        "expected": None,
        "actual": None,
        "attachments": {},
    }
