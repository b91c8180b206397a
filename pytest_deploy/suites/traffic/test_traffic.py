"""Traffic moves to the new revision by policy's steps, and what serves in the end is what was requested."""

from __future__ import annotations

import time

import pytest

from pytest_deploy import Baseline, Platform, Policy, Release, ServiceState, StepRecord


@pytest.mark.requirement("REQ-o00043-G")
@pytest.mark.step(changes=True, timeout=1800)
def test_traffic_moves_to_the_new_revision(
    platform: Platform, policy: Policy, release: Release, baseline: Baseline, record: StepRecord
) -> None:
    for percent in policy.traffic.steps_percent:
        before = serving(platform.runtime.state())
        shares = (
            {release.revision: percent, baseline.revision: 100 - percent} if percent < 100 else {release.revision: 100}
        )
        # The candidate's tag goes with the last step: nothing is left that only a deployment knows.
        tags = {"candidate": release.revision} if percent < 100 else {}
        state = platform.runtime.move(shares, tags=tags, deadline_s=policy.rollback.budget_s)
        record.event("traffic.moved", before=before, after=serving(state), digest=release.digest)
        time.sleep(policy.traffic.settle_s)

    found = serving(platform.runtime.state())
    record.expect({release.revision: 100}, found)
    assert found == {release.revision: 100}
    if policy.platform.at_google:  # the specification names Cloud Run: a stand-in shows nothing of it
        record.verified()


def test_serving_digest_is_the_requested_one(platform: Platform, release: Release, record: StepRecord) -> None:
    """Read back from the platform: not what was asked for, what serves."""
    state = platform.runtime.state()
    name = state.sole_revision()
    assert name is not None

    found = platform.runtime.revision(name).digest

    record.expect(release.digest, found)
    assert state.settled
    assert found == release.digest


def serving(state: ServiceState) -> dict[str, int]:
    """Percent by revision of what serves."""
    return {share.revision: share.percent for share in state.shares if share.percent}
