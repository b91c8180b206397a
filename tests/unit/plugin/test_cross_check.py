"""What pytest reported and what the log says are one: each difference has a name, and where there is none nothing is said."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from pytest_deploy.plugin.cross_check import COUNTED, CrossCheck
from pytest_deploy.record.event import FIRST_PREV, Event

pytest_plugins = ["pytester"]

NODEID = "suites/smoke/test_a.py::test_it"
NOT_RUN = "suites/rollback/test_r.py::test_undone"
When = Literal["setup", "call", "teardown"]


def report(
    when: When, outcome: Literal["passed", "failed", "skipped"] = "passed", nodeid: str = NODEID, **more: Any
) -> pytest.TestReport:
    words = None if outcome == "passed" else "RuntimeError: left a thing behind\nmore"
    made = pytest.TestReport(nodeid, (nodeid, 0, "x"), {}, outcome, words, when)
    vars(made).update(more)
    return made


def ended(outcome: str, nodeid: str = NODEID) -> Event:
    data = {
        "nodeid": nodeid, "phase": "smoke", "outcome": outcome, "duration_s": 0.1, "verifies": [], "attempts": 1, "message": "",
        "warnings": [], "expected": None, "actual": None, "attachments": {},
    }  # fmt: skip
    return Event(0, FIRST_PREV, datetime.now(UTC), "0" * 16, "step.finished", "-", "system:step", data)


class Node:
    """Of xdist's worker, what is asked."""

    def __init__(self, name: str, **told: Any) -> None:
        self.gateway = type("Gateway", (), {"id": name})()
        self.workeroutput = told


@pytest.fixture
def check(pytester: pytest.Pytester) -> CrossCheck:
    return CrossCheck(pytester.parseconfig())


def heard(check: CrossCheck, *reports: pytest.TestReport) -> CrossCheck:
    for one in reports:
        check.pytest_runtest_logreport(one)
    return check


PASSED = (report("setup"), report("call"), report("teardown"))


def test_a_step_that_passed_in_both_is_no_difference(check: CrossCheck) -> None:
    assert list(heard(check, *PASSED).differences([ended("passed")], 0)) == []


@pytest.mark.parametrize("outcome", ["failed", "error"])
def test_a_step_that_failed_in_both_is_none_either(check: CrossCheck, outcome: str) -> None:
    heard(check, report("setup"), report("call", "failed"), report("teardown", "failed"))

    assert list(check.differences([ended(outcome)], 2)) == []


def test_a_subtest_that_failed_is_one_where_its_step_passed(check: CrossCheck) -> None:
    heard(check, report("setup"), report("call", "failed", context=object()), report("call"), report("teardown"))

    assert list(check.differences([ended("passed")], 1)) == [
        "the call of `it` (passed in the record) failed: RuntimeError: left a thing behind"
    ]


def test_a_tear_down_that_failed_after_a_step_that_was_not_run_is_one(check: CrossCheck) -> None:
    heard(check, *PASSED, report("setup", "skipped", NOT_RUN), report("teardown", "failed", NOT_RUN))

    assert list(check.differences([ended("passed")], 1)) == [
        "the tear-down of `undone` (not run in the record) failed: RuntimeError: left a thing behind"
    ]


@pytest.mark.parametrize("when", ["setup", "call", "teardown"])
def test_a_pass_of_which_a_phase_was_not_seen_is_one(check: CrossCheck, when: str) -> None:
    heard(check, *(one for one in PASSED if one.when != when))

    assert list(check.differences([ended("passed")], 0)) == [
        f"`it` passed in the record, and pytest saw no passed {when} of it"
    ]


def test_a_passed_subtest_is_not_the_call(check: CrossCheck) -> None:
    heard(check, report("setup"), report("call", context=object()), report("teardown"))

    assert len(list(check.differences([ended("passed")], 0))) == 1


def test_a_failure_that_pytest_alone_counts_is_one(check: CrossCheck) -> None:
    assert list(heard(check, *PASSED).differences([ended("passed")], 2)) == ["pytest counts 2 failures, and reported 0"]


def test_a_failure_that_a_worker_alone_counts_is_one(check: CrossCheck) -> None:
    heard(check, report("setup"), report("call", "failed", node=Node("gw0")), report("teardown"))
    for node in (Node("gw0", **{COUNTED: 1}), Node("gw1", **{COUNTED: 1}), Node("gw2")):
        check.pytest_testnodedown(node)

    assert list(check.differences([ended("failed")], 1)) == ["worker gw1 counts 1 failures, and reported 0"]
