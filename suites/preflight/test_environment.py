"""Before anything is changed: the environment answers, is what the request says it is, and can be returned to."""

from __future__ import annotations

import pytest

from pytest_deploy.audit.verify import verify
from pytest_deploy.clients import Database
from pytest_deploy.migrate import ledger, read
from pytest_deploy.phase.recorder import StepRecord
from pytest_deploy.platform.protocol import Platform
from pytest_deploy.release import live
from pytest_deploy.release.request import Earlier


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

    stated, found = Earlier.of(made[0].data["earlier"]), live.read_earlier(platform)

    record.expect(stated.to_json(), found.to_json())
    assert stated == found


@pytest.mark.requirement("REQ-o00044-A")
@pytest.mark.requirement("REQ-o00044-E")
@pytest.mark.requirement("REQ-o00044-S")
def test_migrations_are_in_order_and_reversible(database: Database, record: StepRecord) -> None:
    """Numbered without gap, each with a way down, and the applied ones unchanged."""
    found = read.read(database.migrations)
    with database.connect() as connection:
        applied = ledger.applied(connection)

    record.expect([one.version for one in applied], [one.version for one in found[: len(applied)]])
    assert [(one.version, one.sha256) for one in applied] == [
        (one.version, one.sha256) for one in found[: len(applied)]
    ]


@pytest.mark.requirement("REQ-o00043-P")
def test_record_verifies(record: StepRecord) -> None:
    """Nothing is deployed on a record that does not verify."""
    found = verify(record.store)

    record.expect([], [str(finding) for finding in found.findings])
    assert found.ok
