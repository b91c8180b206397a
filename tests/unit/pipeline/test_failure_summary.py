"""What a failed step found, in one line."""

from __future__ import annotations

import pytest

from pytest_deploy.pipeline.failure_summary import summarize_failure
from pytest_deploy.pipeline.sequence import FailedStep, cause_of


@pytest.mark.parametrize(
    "expected,actual,message,line",
    [
        (200, 500, "AssertionError: assert 500 == 200", "expected 200, got 500"),
        ("on", "off", "assert 'off' == 'on'", "expected on, got off"),
        ({"a": 1}, {"a": 2}, "", 'expected {"a": 1}, got {"a": 2}'),
        (200, 500, "ConnectError: nobody listens", "ConnectError: nobody listens"),
        (200, 200, "AssertionError: assert not True", "AssertionError: assert not True"),
        ("x" * 99, "y", "assert 'y' == 'x'", "assert 'y' == 'x'"),
        (None, None, "assert 0", "assert 0"),
    ],
)
def test_what_was_found_is_said_in_one_line(expected: object, actual: object, message: str, line: str) -> None:
    assert summarize_failure(expected, actual, message) == line


def test_cause_of_a_failure_is_a_failure_and_not_the_title_alone() -> None:
    one = FailedStep("smoke", "health answers 200 for this release", "expected 200, got 500")

    assert cause_of([one]).text == 'smoke failed: "health answers 200 for this release": expected 200, got 500'
    assert cause_of([one]).short == "smoke failed"


def test_many_failures_are_the_first_and_a_number() -> None:
    many = [FailedStep(phase, f"step {at}", "") for at, phase in enumerate(["approval", "preflight", "preflight"])]

    assert cause_of(many).text == 'approval failed: "step 0" (and 2 more steps)'
    assert cause_of(many).short == "approval and preflight failed"
