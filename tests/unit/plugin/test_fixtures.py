"""A step that asks a gate is marked as one that asked it, whether the gate applies, passes or refuses."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_deploy.gates.verdict import Grounds, Verdict
from pytest_deploy.plugin.fixtures import Gates

REFUSES = Verdict("window", passed=False, inputs={}, reason="closed", still_needed="mend", remedy="wait")


def gates(verdict: Verdict, record: Any) -> Gates:
    asked: Any = SimpleNamespace(names=("window",), check=lambda name, at: verdict)
    clock: Any = SimpleNamespace(now=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    return Gates(asked, record, clock, point="lease")


@pytest.fixture
def record() -> Any:
    """A step's record, as far as a gate writes into it."""
    return SimpleNamespace(gates=[], event=lambda content: None, expect=lambda expected, actual: None)


def test_a_gate_that_passes_is_marked(record: Any) -> None:
    assert gates(Grounds("window", {}).passes("open"), record).check("window").passed

    assert record.gates == ["window"]


def test_a_gate_that_refuses_fails_the_step_and_is_marked(record: Any) -> None:
    with pytest.raises(pytest.fail.Exception, match="window: closed; wait"):
        gates(REFUSES, record).check("window")

    assert record.gates == ["window"]


def test_a_gate_that_is_not_asked_in_this_pipeline_is_marked_too(record: Any) -> None:
    assert gates(REFUSES, record).check("freeze").passed

    assert record.gates == ["freeze"]
