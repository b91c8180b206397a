"""What serves is read again at the end: traffic that a person moves meanwhile is no deployment."""

from __future__ import annotations

import pytest

from tests.project_checkout import Checkout
from tests.stories.held_steps import hold_up
from tests.stories.story_assertions import Deployed

WATCH = "pytest_deploy/suites/health/test_health.py::test_service_stays_healthy"


def move_by_hand(checkout: Checkout, shares: dict[str, int]) -> None:
    """As a person would, beside the run."""
    with checkout.platform() as platform:
        platform.runtime.move(shares, tags={}, deadline_s=30)


@pytest.mark.parametrize("percent", [100, pytest.param(5, marks=pytest.mark.faults)])
def test_traffic_that_is_moved_after_the_watch_is_found_and_the_run_undone(deployed: Deployed, percent: int) -> None:
    checkout = deployed.checkout
    held = hold_up(checkout, WATCH, "after", seconds=20)

    run = checkout.start_deploy()
    held.until_there(run)
    candidate = checkout.said("revision.deployed")[0]["revision"]
    shares = {deployed.revision: percent, candidate: 100 - percent}
    move_by_hand(checkout, {name: share for name, share in shares.items() if share})
    ran = run.wait(240)

    deployed.assert_rolled_back(ran)
    assert "somebody else moved traffic" in checkout.decided()["cause"]
    assert [alert["alert"] for alert in checkout.said("alert.raised")] == ["serving"]
