"""The `gates` fixture: a step asks one gate, its verdict goes into the record, and a refusal fails the step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest

from pytest_deploy.gates.registry import Gates
from pytest_deploy.gates.verdict import Verdict, passes
from pytest_deploy.plugin.recorder import StepRecord
from pytest_deploy.record.clock import Clock
from pytest_deploy.record.events import GatePoint

WAITED_FOR: Final = frozenset({"time", "approval"})
"""What a plan may still need and pass."""


class Gatekeeper:
    """Asks gates for one step."""

    def __init__(self, gates: Gates, record: StepRecord, clock: Clock, *, point: GatePoint) -> None:
        self._gates = gates
        self._record = record
        self._clock = clock
        self._point = point

    def check(self, name: str) -> Verdict:
        """Ask the gate and record its verdict; fail the step where it refuses.

        In a plan a refusal that time or signatures will lift is recorded and does not fail: that is what a plan is for.
        """
        __tracebackhide__ = True
        if name not in self._gates.names:
            self._record.expect(None, {"gate": name, "verdict": "not asked in this pipeline"})
            return passes(name, {}, "not asked in this pipeline")
        verdict = self._gates.check(name, self._clock.now())
        self._record.event(verdict.event(self._point))
        self._record.expect({"verdict": "passed"}, {"gate": name, **shown(verdict)})
        if not verdict.passed and not (self._point == "plan" and verdict.still_needed in WAITED_FOR):
            pytest.fail(f"{name}: {verdict.sentence}", pytrace=False)
        return verdict


def shown(verdict: Verdict) -> Mapping[str, Any]:
    """A verdict in a step's own words."""
    return {
        "verdict": "passed" if verdict.passed else "refused",
        "owed": verdict.still_needed,
        "reason": verdict.reason,
    }
