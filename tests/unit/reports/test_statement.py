"""statement.json is an in-toto Statement of the run's steps, by in-toto's own library, and claims no pass that was none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import json_format
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement

from pytest_deploy.reports.statement import render_statement
from tests.unit.reports import sample_runs
from tests.unit.reports.sample_runs import COMMIT, IMAGE, RunBuilder

TOLD = {
    "deployed": sample_runs.deployed,
    "rolled back": sample_runs.rolled_back,
    "approved": sample_runs.approved,
    "planned": sample_runs.planned,
}


def statement(events: Any) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(render_statement(events))
    return said


def listed(said: dict[str, Any]) -> dict[str, str]:
    """Which list each test stands in."""
    lists = ("passedTests", "warnedTests", "failedTests")
    found = [(test, name) for name in lists for test in said["predicate"][name]]
    assert len(found) == len({test for test, _ in found}), "a test stands in two lists"
    return dict(found)


@pytest.mark.parametrize("name", TOLD)
def test_in_totos_own_library_accepts_statement_subjects_and_predicate(name: str) -> None:
    text = render_statement(TOLD[name]())

    parsed = json_format.Parse(text, statement_pb2.Statement())
    Statement.copy_from_pb(parsed).validate()
    predicate = json_format.MessageToDict(parsed.predicate)
    result = json_format.ParseDict(predicate, test_result_pb2.TestResult())
    assert result.result in {"PASSED", "WARNED", "FAILED"}
    assert len(result.configuration) >= 4
    for descriptor in result.configuration:
        ResourceDescriptor.copy_from_pb(descriptor).validate()


def test_the_subjects_are_the_artefact_and_the_commit() -> None:
    assert statement(sample_runs.deployed())["subject"] == [
        {"name": "registry.local/diary", "digest": {"sha256": IMAGE.rpartition(":")[2]}},
        {"name": "1.4.0", "digest": {"gitCommit": COMMIT}},
    ]


def test_without_an_artefact_the_commit_alone_is_the_subject() -> None:
    assert [one["digest"] for one in statement(sample_runs.planned())["subject"]] == [{"gitCommit": COMMIT}]


def test_the_configuration_names_what_the_steps_ran_under_by_digest() -> None:
    said = {
        one["name"]: one["digest"]["sha256"] for one in statement(sample_runs.deployed())["predicate"]["configuration"]
    }

    assert said == {
        "policy": "c0" * 32, "specification": "5e" * 32, "suites": "50" * 32, "suites/steps.lock": "1c" * 32,
        "runs/local-20261122T201500Z-4f1c/request.json": "7d" * 32,
    }  # fmt: skip


@pytest.mark.parametrize("name", TOLD)
def test_each_step_that_ran_stands_in_one_list_and_what_never_began_in_none(name: str) -> None:
    events = TOLD[name]()
    ran = {e.data["nodeid"]: e.data["outcome"] for e in events if e.type == "step.finished"}

    told = listed(statement(events))

    assert told.keys() == ran.keys()
    assert {test for test, list_ in told.items() if list_ == "failedTests"} == {
        test for test, outcome in ran.items() if outcome != "passed"
    }


@pytest.mark.parametrize("name,result", [("deployed", "WARNED"), ("rolled back", "FAILED"), ("approved", "FAILED"), ("planned", "WARNED")])  # fmt: skip
def test_the_result_is_that_of_the_run(name: str, result: str) -> None:
    assert statement(TOLD[name]())["predicate"]["result"] == result


@pytest.mark.parametrize("outcome", ["failed", "error", "skipped"])
def test_what_did_not_pass_failed(outcome: str) -> None:
    builder = RunBuilder()
    builder.opened()
    builder.step("suites/build/test_a.py::test_it", outcome=outcome)
    builder.add("step.started", nodeid="suites/build/test_b.py::test_it", phase="build", changes=False)

    told = listed(statement(builder.events))

    assert set(told.values()) == {"failedTests"}
    assert len(told) == 2  # the second began and never ended
    assert statement(builder.events)["predicate"]["result"] == "FAILED"


def test_a_step_that_passed_at_the_second_attempt_is_warned_of() -> None:
    assert (
        listed(statement(sample_runs.deployed()))["suites/smoke/test_features.py::test_audit_rows_appear"]
        == "warnedTests"
    )


def test_rendering_the_same_events_gives_the_same_bytes() -> None:
    assert render_statement(sample_runs.deployed()) == render_statement(sample_runs.deployed())
