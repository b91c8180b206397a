"""Whether the plan behind a request passed: nobody signs, nor runs, what its plan did not let go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import GateVerdict, RequestMade, RunDecided, RunOpened, given

PLAN: Final = "plan"
"""The pipeline of a plan."""
PLAN_PASSED: Final = frozenset({"passed", "still-needed"})
"""Outcomes of a plan whose request people may sign: nothing must be mended, time and signatures may be missing."""


def plan_of(events: Iterable[Event], run: str) -> str | None:
    """The plan that a run's request names; None where it names none, or was never made."""
    made = next((made for event, made in of_type(events, RequestMade) if event.run == run), None)
    return None if made is None else given(made.plan)


def plan_fault(events: Sequence[Event], run: str) -> str:
    """Why nobody may sign the request of a run, in words; empty where its plan passed.

    It passed where it is a run of the pipeline plan, decided as `passed` or `still-needed` with this request, and none of its
    gates answered `refused` last.
    """
    return next(_faults(events, run, plan_of(events, run)), "")


def _faults(events: Sequence[Event], run: str, plan: str | None) -> Iterator[str]:
    if plan is None:
        yield "no plan made it"
        return
    # 1. It is a plan, and it ended.
    own = [event for event in events if event.run == plan]
    if not any(opened.pipeline == PLAN for _, opened in of_type(own, RunOpened)):
        yield f"{plan}, which it names, is no plan"
    decided = next((decided for _, decided in of_type(own, RunDecided)), None)
    if decided is None:
        yield f"its plan {plan} did not end"
        return
    # 2. It passed, with this request, and its gates let that stand.
    if decided.outcome not in PLAN_PASSED:
        yield f"its plan {plan} did not pass: {decided.outcome}{f', {decided.cause}' if decided.cause else ''}"
    if given(decided.request) != run:
        yield f"its plan {plan} asked for {given(decided.request) or 'nothing'}"
    newest = {verdict.gate: verdict.verdict for _, verdict in of_type(own, GateVerdict)}
    if refused := [gate for gate, result in newest.items() if result == "refused"]:
        yield f"its plan {plan} did not pass: {', '.join(refused)} refused"
