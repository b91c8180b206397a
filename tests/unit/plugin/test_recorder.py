"""How a step ended, and in which words: each error of it, whatever pytest calls it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_deploy.pipeline.step_record import StepRecord
from pytest_deploy.plugin.recorder import _first_line, _outcome, _within


def report(when: str, outcome: str, longrepr: object = None, **more: object) -> pytest.TestReport:
    made = pytest.TestReport("a", ("a", 0, "a"), {}, cast("Any", outcome), cast("Any", longrepr), cast("Any", when))
    vars(made).update(more)
    return made


def outcome(*reports: pytest.TestReport, ended: object = None) -> tuple[str, str]:
    record = cast("StepRecord", SimpleNamespace(ended=ended))
    return _outcome({one.when or "": one for one in reports}, record)


def test_all_three_that_passed_are_a_pass() -> None:
    assert outcome(*(report(when, "passed") for when in ("setup", "call", "teardown"))) == ("passed", "")


def test_both_errors_stand_in_the_message() -> None:
    found = outcome(
        report("setup", "passed"),
        report("call", "failed", "its own"),
        report("teardown", "failed", "RuntimeError: left"),
    )

    assert found == ("failed", "its own\nand its teardown failed: RuntimeError: left")


def test_a_tear_down_that_fails_after_a_skip_is_an_error() -> None:
    found = outcome(
        report("setup", "passed"),
        report("call", "skipped", ("f", 1, "Skipped: no")),
        report("teardown", "failed", "left"),
    )

    assert found == ("error", "left")


@pytest.mark.parametrize(
    "ended, words", [("passed", "expected to fail, and passed: why"), ("skipped", "expected to fail, and failed: why")]
)
def test_what_was_expected_to_fail_says_so(ended: str, words: str) -> None:
    assert outcome(report("setup", "passed"), report("call", ended, wasxfail="why"), report("teardown", "passed")) == (
        "skipped",
        words,
    )


def test_warnings_are_as_many_as_fit_and_the_rest_is_counted() -> None:
    kept = _within(["😀" * 5000] * 30, 8000)

    assert len(kept) == 5
    assert kept[-1] == "and 26 more"
    assert _within(["a", "b"], 8000) == ["a", "b"]


@pytest.mark.parametrize(
    "said, first",
    [
        ("trial: 2 faults\n  a.sql:5: x\n  b.sql:5: y", "trial: 2 faults, the first: a.sql:5: x"),
        ("trial: 1 fault\n  a.sql:5: x", "trial: 1 fault a.sql:5: x"),
        ("it broke\nand more of it", "it broke"),
        ("", ""),
    ],
)
def test_of_several_faults_the_first_stands_in_the_cause_and_is_called_so(said: str, first: str) -> None:
    assert _first_line(said) == first
