"""How a run went, judged from its events alone: pytest's own status decides nothing.

An `always` step counts when the log holds exactly one `step.finished` of it and that one passed: skipped, expected to
fail, deselected and never run do not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_deploy.pipeline.sequence import Cause
from pytest_deploy.pipeline.steps_lock import Step
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import GateRefused, Outcome, RollbackFinished, RunOpened, StepFinished
from pytest_deploy.rollback.plan import announced

MANUAL_INTERVENTION = 20
_EXIT_BY_KIND = {"signal": 2, "internal": 3}


@dataclass(frozen=True)
class Judgement:
    """The verdict of `run.decided`."""

    outcome: Outcome
    """deployed, refused, failed, rolled-back, rollback-failed, passed or not-passed."""
    cause: str
    """In words; empty when all went well."""
    exit_code: int


def judge(events: Sequence[Event], required: Iterable[Step], cause: Cause | None, *, pipeline: str) -> Judgement:
    """Judge one run by its own events. `required` are the `always` steps that policy has not left out."""
    missing = unpassed(events, required)
    if cause is None and not missing:
        return Judgement("deployed" if pipeline == "deploy" else "passed", "", 0)
    text = cause.text if cause is not None else f"not passed: {', '.join(missing[:5])}"
    code = _EXIT_BY_KIND.get(cause.kind, 1) if cause is not None else 1
    if announced(events):
        if _rolled_back(events):
            return Judgement("rolled-back", text, code)
        return Judgement("rollback-failed", text, MANUAL_INTERVENTION)
    if pipeline == "plan":
        return Judgement("not-passed", text, code)
    opened = next((at for at, event in enumerate(events) if event.type == RunOpened.type), 0)
    # What refused an earlier attempt at the same request is not what ended this run.
    if any(event.type == GateRefused.type for event in events[opened:]):
        return Judgement("refused", text, code)
    return Judgement("failed" if pipeline in {"deploy", "rollback"} else "not-passed", text, code)


def unpassed(events: Sequence[Event], required: Iterable[Step]) -> list[str]:
    """The node ids of required steps without exactly one passed finish."""
    outcomes: dict[str, list[str]] = {}
    for _, finished in of_type(events, StepFinished):
        outcomes.setdefault(finished.nodeid, []).append(finished.outcome)
    return [step.nodeid for step in required if outcomes.get(step.nodeid) != ["passed"]]


def _rolled_back(events: Sequence[Event]) -> bool:
    finished = [content for _, content in of_type(events, RollbackFinished)]
    return bool(finished) and finished[-1].outcome == "rolled-back"


def lost_step(step: Step, message: str) -> StepFinished:
    """The `step.finished` of a step whose process cannot write it any more."""
    return StepFinished(
        nodeid=step.nodeid,
        phase=step.phase,
        outcome="error",
        duration_s=0.0,
        verifies=list(step.verifies),
        attempts=1,
        message=message,
        warnings=[],
        expected=None,
        actual=None,
        attachments={},
    )
