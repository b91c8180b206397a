"""Two deployments of one environment at once: the second waits for the first, as long as policy lets it, and both are recorded."""

from __future__ import annotations

import pytest

from tests.stories.held_steps import hold_up
from tests.stories.step_ids import BACKUP
from tests.stories.story_assertions import Deployed

WAITS = "--deploy-set=lease.wait_s=300"


@pytest.mark.faults
def test_the_second_waits_for_the_first_and_says_how_long(deployed: Deployed) -> None:
    checkout = deployed.checkout
    held = hold_up(checkout, BACKUP, "before", seconds=8)
    first = checkout.start_deploy(WAITS)
    held.until_there(first)
    before = checkout.last_run()

    refused = checkout.deploy()
    second = checkout.start_deploy(WAITS)
    ended = [one.wait(300) for one in (first, second)]

    assert refused.code == 1, refused.said
    assert f"in progress: {before}" in refused.said
    assert [ran.code for ran in ended] == [0, 0], ended[1].said
    assert f"waiting for the lease, 300 s at most: in progress: {before}" in ended[1].stdout
    (taken,) = checkout.said("lease.taken", checkout.last_run())
    assert checkout.last_run() != before
    assert taken["waited_s"] > 0
    assert "waited_s" not in checkout.said("lease.taken", before)[0]
    assert checkout.decided()["outcome"] == "deployed"
    verified = checkout.deploy_py("verify", "reports/local")
    assert verified.code == 0, verified.said
    deployed.standing = checkout.standing()
