"""What a step becomes by the gate it asks: passed and credited, failed, still needed, or not applicable."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_deploy.gates.registry import overridden
from pytest_deploy.gates.verdict import Grounds, Verdict, not_applicable
from pytest_deploy.pipeline.step_record import StepEnded, StepRecord
from pytest_deploy.pipeline.steps_lock import Step
from pytest_deploy.plugin.fixtures import Gates

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 1, 1, 14, tzinfo=UTC)
OPEN = Grounds("window", {}).passes("open")
SHUT = Grounds("window", {}).waits("closed", LATER)
BROKEN = Grounds("window", {}).needs_action("no zone", "name one")
STEP = Step("suites/preflight/test_gates.py::test_window", "preflight", "always", changes=False, verifies=("REQ-x-J",))


@pytest.fixture
def record() -> StepRecord:
    """A step's record whose events go nowhere."""
    nowhere = SimpleNamespace(append=lambda content, **_: None)
    environment: Any = SimpleNamespace(redact=str, redact_file=bytes, log=nowhere, run="")
    return StepRecord(environment, STEP)


def ask(
    verdict: Verdict, record: StepRecord, *, point: Any = "plan", name: str = "window", replaced: tuple[str, ...] = ()
) -> Verdict:
    """What a step does that asks one gate, which answers so."""
    asked: Any = SimpleNamespace(names=("window",), check=lambda name, at: verdict, replaced=lambda name: replaced)
    clock: Any = SimpleNamespace(now=lambda: NOON)
    return Gates(asked, record, clock, point=point).check(name)


def test_a_gate_that_passes_by_its_rule_credits_what_the_step_claims(record: StepRecord) -> None:
    assert ask(OPEN, record).passed

    assert record.credited == ["REQ-x-J"]


def test_a_gate_that_passes_by_a_rule_in_place_of_policys_own_credits_nothing(record: StepRecord) -> None:
    assert ask(OPEN, record, replaced=("window.opens",)).passed
    assert record.credited == []


def test_a_gate_that_people_overrode_passes_and_credits_nothing(record: StepRecord) -> None:
    overrode = overridden(SHUT, ["ann@example.org", "bob@example.org"], LATER, at=NOON)

    assert ask(overrode, record).passed
    assert record.credited == []


def test_a_gate_that_refuses_fails_the_step(record: StepRecord) -> None:
    with pytest.raises(pytest.fail.Exception, match="window: no zone; name one"):
        ask(BROKEN, record)

    assert (record.credited, record.ended) == ([], None)


def test_what_time_will_lift_is_still_needed_in_a_plan(record: StepRecord) -> None:
    with pytest.raises(StepEnded, match="still needed: closed"):
        ask(SHUT, record)

    assert record.ended == ("still-needed", "closed")
    assert record.credited == []


@pytest.mark.parametrize("point", ["lease", "change"])
def test_what_time_will_lift_fails_the_step_of_a_run_that_changes_something(record: StepRecord, point: str) -> None:
    with pytest.raises(pytest.fail.Exception, match="closed"):
        ask(SHUT, record, point=point)


def test_a_gate_without_a_rule_is_not_applicable(record: StepRecord) -> None:
    with pytest.raises(StepEnded, match="not applicable: not in this environment's policy"):
        ask(not_applicable("window"), record)

    assert record.ended == ("not-applicable", "not in this environment's policy")
    assert record.credited == []


def test_a_gate_that_this_pipeline_does_not_ask_is_not_applicable(record: StepRecord) -> None:
    with pytest.raises(StepEnded, match="not asked in this pipeline"):
        ask(OPEN, record, name="freeze")
