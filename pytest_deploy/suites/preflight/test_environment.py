"""Before anything is changed: the environment answers, is what the request says it is, and can be returned to."""

from __future__ import annotations

import re

import pytest

from pytest_deploy import Baseline, Database, Platform, RollbackExecutor, StepRecord, read_baseline, verify_record


def test_database_answers(database: Database, record: StepRecord) -> None:
    version = database.one("select current_setting('server_version')")

    record.expect("an answer", f"PostgreSQL {version}")
    assert version


def test_one_revision_serves_all_traffic(platform: Platform, record: StepRecord) -> None:
    """A rollback needs one revision to return to; split or moving traffic has none."""
    state = platform.runtime.state()

    record.expect("one revision at 100 %", [f"{share.revision} {share.percent} %" for share in state.shares])
    assert state.settled
    assert state.sole_revision() is not None


def test_environment_is_what_the_request_says(
    platform: Platform,
    baseline: Baseline | None,
    stated: Baseline | None,
    rollback: RollbackExecutor,
    record: StepRecord,
) -> None:
    """What a rollback returns to is written down before the first change, and still true; asked for by hand, it can be reached."""
    if (
        baseline is None or stated is None
    ):  # a pipeline that changes nothing makes no request: there is nothing to return to
        record.not_applicable("this pipeline makes no request: there is nothing to return to")

    found = read_baseline(platform)
    between = rollback.way_back(baseline) if record.pipeline == "rollback" else ()

    record.expect(
        stated.to_json(), {**found.to_json(), **({"undoes": [str(one) for one in between]} if between else {})}
    )
    assert stated == found


@pytest.mark.requirement("REQ-o00043-P")
def test_record_verifies(record: StepRecord) -> None:
    """Nothing is deployed on a record that does not verify."""
    found = verify_record(record.store)

    record.expect([], [str(finding) for finding in found.findings])
    assert found.ok
    record.verified()


@pytest.mark.requirement("REQ-o00043-M")
def test_run_names_who_deploys_what_and_when(record: StepRecord) -> None:
    """The event that opened this run, as the record holds it: a time, a person or a job, a whole commit hash."""
    (opened,) = [event for event in record.events() if event.type == "run.opened"]

    named = opened.content.as_data()
    found = {"time": str(opened.time), "deployer": named["deployer"], "commit": named["commit"]}
    record.expect({"time": "UTC", "deployer": "KIND:WHO", "commit": "40 hex digits"}, found)
    assert opened.time.utcoffset() is not None
    assert re.fullmatch(r"\w+:.+", found["deployer"])
    assert re.fullmatch(r"[0-9a-f]{40}", found["commit"])
    record.verified()


@pytest.mark.requirement("REQ-o00043-O")
def test_earlier_runs_have_an_outcome_and_a_duration(record: StepRecord) -> None:
    """Of every run that this record closed: how it ended, and how long it took."""
    closed = {event.run for event in record.history() if event.type == "run.closed"}
    if not closed:
        record.not_applicable("no run was closed here before")
    decided = {event.run: event.content.as_data() for event in record.history() if event.type == "run.decided"}

    lacking = sorted(run for run in closed if not {"outcome", "duration_s"} <= decided.get(run, {}).keys())
    record.expect({"lacking": []}, {"closed": len(closed), "lacking": lacking})
    assert not lacking
    record.verified()
