"""The table of what exercises each assertion is complete: no assertion without a step and a run that must not credit it, or a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.pipeline import steps_lock
from pytest_deploy.traceability import register
from tests.stories.requirement_credit import KINDS, TABLE, Credited, Never

ROOT = Path(__file__).parents[3]


def test_the_table_has_every_assertion_of_the_specification_in_its_order() -> None:
    assert list(TABLE) == list(register.of_checkout(ROOT))


@pytest.mark.parametrize("assertion", TABLE)
def test_an_assertion_has_a_step_and_a_run_that_must_not_credit_it_or_a_reason_why_none_does(assertion: str) -> None:
    row = TABLE[assertion]
    steps = {step.nodeid.partition("suites/")[2] for step in steps_lock.read(ROOT / "suites" / "steps.lock")}

    assert row.because
    match row:
        case Credited():
            assert row.step in steps
            assert row.by
            assert set(row.by) <= KINDS
            assert row.never_by in KINDS - set(row.by)
        case Never():
            assert row.step in {"", *steps}
