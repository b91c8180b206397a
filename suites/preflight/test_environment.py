"""Before anything is changed: the environment answers, is what the request says it is, and can be returned to."""

from __future__ import annotations

import pytest

from pytest_deploy.platform.clients import Database
from pytest_deploy.platform.protocol import Platform
from pytest_deploy.plugin.recorder import StepRecord
from pytest_deploy.release import live
from pytest_deploy.release.live import Baseline
from pytest_deploy.verify.verify import verify


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
def test_environment_is_what_the_request_says(platform: Platform, record: StepRecord) -> None:
    """What a rollback returns to is written down before the first change, and still true."""
    made = [event for event in record.events() if event.type == "request.made"]
    if not made:  # a pipeline that changes nothing makes no request: there is nothing to return to
        record.expect("no request", "no request")
        return

    stated, found = Baseline.of(made[0].data["earlier"]), live.read_baseline(platform)

    record.expect(stated.to_json(), found.to_json())
    assert stated == found


@pytest.mark.requirement("REQ-o00043-P")
def test_record_verifies(record: StepRecord) -> None:
    """Nothing is deployed on a record that does not verify."""
    found = verify(record.store)

    record.expect([], [str(finding) for finding in found.findings])
    assert found.ok
