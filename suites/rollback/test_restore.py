"""REQ-o00043-I: what was changed is undone, in policy's order, from the log and the live state."""

from __future__ import annotations

import pytest

from pytest_deploy.migrate import snapshot
from pytest_deploy.platform.clients import Database
from pytest_deploy.plugin.recorder import StepRecord
from pytest_deploy.release.live import Baseline
from pytest_deploy.rollback.execute import Undoing

pytestmark = pytest.mark.requirement("REQ-o00043-I")


@pytest.mark.requirement("REQ-o00044-G")
@pytest.mark.requirement("REQ-o00044-P")
@pytest.mark.step(changes=True, timeout=300)
def test_environment_is_led_back(undoing: Undoing, baseline: Baseline, record: StepRecord) -> None:
    acts = undoing.undo(baseline)

    record.expect("nothing left to undo", {"done": [type(act).__name__ for act in acts]})


def test_traffic_is_what_it_was(undoing: Undoing, baseline: Baseline, record: StepRecord) -> None:
    """Nobody is sent anywhere else, and nothing else is still asked of the platform."""
    live = undoing.live()

    record.expect(
        {"shares": {baseline.revision: 100}, "tags": {}, "settled": True},
        {"shares": dict(live.shares), "tags": dict(live.tags), "settled": live.settled},
    )
    assert live.shares == {baseline.revision: 100}
    assert not live.tags
    assert live.settled


def test_schema_is_what_it_was(database: Database, baseline: Baseline, record: StepRecord) -> None:
    found = snapshot.snapshot(database.access.owner, database.access.programs)

    record.expect(baseline.schema_sha256, found.sha256)
    assert found.sha256 == baseline.schema_sha256
