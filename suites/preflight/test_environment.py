"""Before anything is changed: the environment answers, is what the request says it is, and can be returned to."""

from __future__ import annotations

import pytest

from pytest_deploy import Baseline, Database, Platform, StepRecord, read_baseline, verify_record


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


@pytest.mark.requirement("REQ-o00043-I")
def test_environment_is_what_the_request_says(
    platform: Platform, baseline: Baseline | None, record: StepRecord
) -> None:
    """What a rollback returns to is written down before the first change, and still true."""
    if baseline is None:  # a pipeline that changes nothing makes no request: there is nothing to return to
        record.expect("no request", "no request")
        return

    found = read_baseline(platform)

    record.expect(baseline.to_json(), found.to_json())
    assert baseline == found


@pytest.mark.requirement("REQ-o00043-P")
def test_record_verifies(record: StepRecord) -> None:
    """Nothing is deployed on a record that does not verify."""
    found = verify_record(record.store)

    record.expect([], [str(finding) for finding in found.findings])
    assert found.ok
