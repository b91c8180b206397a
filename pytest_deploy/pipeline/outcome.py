"""How a run went, judged from its events alone: pytest's own status decides nothing.

An `always` step counts when the log holds exactly one `step.finished` of it, and that one passed or was not applicable; in a plan
also one that is still needed, and then the plan is still needed, not passed. Skipped, expected to fail, deselected and never
run do not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

from msgspec import UNSET

from pytest_deploy.pipeline.sequence import Cause, CauseKind, goes_on
from pytest_deploy.pipeline.steps_lock import Step
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import GateRefused, Outcome, RollbackFinished, RunOpened, StepFinished
from pytest_deploy.rollback.rollback import announced

MANUAL_INTERVENTION = 20

EVIDENCE = "evidence"
"""The cause of an exit code where a decided run's evidence could not be written whole."""
NO_CAUSE, UNPASSED = "none", "unpassed"
CAUSES = (NO_CAUSE, UNPASSED, *get_args(CauseKind), EVIDENCE)


@dataclass(frozen=True)
class Ending:
    """The exit code of some endings of a run."""

    outcomes: tuple[Outcome, ...]
    changed: tuple[bool, ...]
    """Whether a changing step had been announced."""
    causes: tuple[str, ...]
    code: int


_STOPPED = ("signal", "internal")
_WELL: tuple[Outcome, ...] = ("deployed", "passed", "still-needed")
_AS_IT_WAS: tuple[Outcome, ...] = ("refused", "failed", "not-passed")
_OF_ITSELF = tuple(cause for cause in CAUSES if cause not in {NO_CAUSE, EVIDENCE, *_STOPPED})

ENDINGS = (
    Ending(_WELL, (False, True), (NO_CAUSE,), 0),
    Ending(_AS_IT_WAS, (False,), _OF_ITSELF, 1),
    Ending(_AS_IT_WAS, (False,), ("signal",), 2),
    Ending(_AS_IT_WAS, (False,), ("internal",), 3),
    Ending(("rolled-back",), (True,), (NO_CAUSE,), 0),
    Ending(("rolled-back",), (True,), _OF_ITSELF, 1),
    Ending(("rolled-back",), (True,), ("signal",), 2),
    Ending(("rolled-back",), (True,), ("internal",), 3),
    Ending(("rollback-failed",), (True,), (*_OF_ITSELF, *_STOPPED), MANUAL_INTERVENTION),
    Ending((*_WELL, *_AS_IT_WAS), (False,), (EVIDENCE,), 3),
    Ending((*_WELL, "rolled-back", "rollback-failed"), (True,), (EVIDENCE,), MANUAL_INTERVENTION),
)
"""Every ending of a decided run. What is read or said afterwards changes none."""


def exit_code(outcome: Outcome, *, changed: bool, cause: str) -> int:
    """The exit code of a decided run. Raises ValueError for an ending that cannot be."""
    for ending in ENDINGS:
        if outcome in ending.outcomes and changed in ending.changed and cause in ending.causes:
            return ending.code
    raise ValueError(f"no run ends {outcome}, {'changed' if changed else 'unchanged'}, for {cause}")


@dataclass(frozen=True)
class Judgement:
    outcome: Outcome
    """deployed, refused, failed, rolled-back, rollback-failed, passed, still-needed or not-passed."""
    cause: str
    """In words; empty when all went well."""
    exit_code: int


def judge(events: Sequence[Event], required: Iterable[Step], cause: Cause | None, *, pipeline: str) -> Judgement:
    """Judge one run by its own events. `required` are the `always` steps that policy has not left out."""
    missing = unpassed(events, required, pipeline=pipeline)
    changed = announced(events)
    if cause is None and not missing:
        text, kind = "", NO_CAUSE
    elif cause is None:
        text, kind = f"not passed: {', '.join(missing[:5])}", UNPASSED
    else:
        text, kind = cause.text, cause.kind
    outcome = _outcome(events, pipeline, well=kind == NO_CAUSE, changed=changed)
    return Judgement(outcome, text, exit_code(outcome, changed=changed, cause=kind))


def _outcome(events: Sequence[Event], pipeline: str, *, well: bool, changed: bool) -> Outcome:
    if well and any(finished.outcome == "still-needed" for _, finished in of_type(events, StepFinished)):
        return "still-needed"
    if well and pipeline != "rollback":
        return "deployed" if pipeline == "deploy" else "passed"
    if changed:
        return "rolled-back" if _rolled_back(events) else "rollback-failed"
    if pipeline == "plan":
        return "not-passed"
    opened = next((at for at, event in enumerate(events) if event.type == RunOpened.type), 0)
    # What refused an earlier attempt at the same request is not what ended this run.
    if any(event.type == GateRefused.type for event in events[opened:]):
        return "refused"
    return "failed" if pipeline in {"deploy", "rollback"} else "not-passed"


def unpassed(events: Sequence[Event], required: Iterable[Step], *, pipeline: str) -> list[str]:
    """The node ids of required steps without exactly one finish after which the run goes on."""
    ends: dict[str, list[bool]] = {}
    for _, finished in of_type(events, StepFinished):
        ends.setdefault(finished.nodeid, []).append(goes_on(finished.outcome, pipeline))
    return [step.nodeid for step in required if ends.get(step.nodeid) != [True]]


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
        verifies=[],
        claims=list(step.verifies) or UNSET,
        attempts=1,
        message=message,
        warnings=[],
        expected=None,
        actual=None,
        attachments={},
    )
