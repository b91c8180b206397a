"""A release that misbehaves is found by the steps that should find it, and the release before it serves again."""

from __future__ import annotations

import pytest

from tests.stories.output_assertions import COLOURED, assert_outputs_agree
from tests.stories.requirement_credit import assert_credited
from tests.stories.step_ids import CAUGHT_BY, phase_of
from tests.stories.story_assertions import Deployed, locked


@pytest.mark.parametrize(
    "fault",
    [
        "startup",
        *(pytest.param(name, marks=pytest.mark.faults) for name in sorted({*CAUGHT_BY} - {"startup"})),
    ],
)
def test_faulty_release_is_caught_and_rolled_back(deployed: Deployed, fault: str) -> None:
    checkout = deployed.checkout

    # Under `slow` each call takes 2.5 s: two workers share them.
    workers = ["-n", "2"] if fault == "slow" else []
    ran = checkout.deploy(f"--deploy-set=service.env.FAULT={fault}", COLOURED, *workers)

    deployed.assert_rolled_back(ran)
    assert_outputs_agree(checkout, checkout.last_run(), ran.stdout)
    if next(iter(CAUGHT_BY[fault])).startswith("smoke/"):
        assert_credited(checkout.events(checkout.last_run()), "smoke failed")
    assert checkout.failing() == CAUGHT_BY[fault]
    failed_phase = next(iter(CAUGHT_BY[fault])).partition("/")[0]
    assert {data["phase"]: data["outcome"] for data in checkout.said("phase.finished")}[failed_phase] == "failed"
    later = (
        ("traffic", "integration", "health")
        if failed_phase == "smoke"
        else ("smoke", "traffic", "integration", "health")
    )
    never = {nodeid: cause for nodeid, cause in checkout.not_run().items() if phase_of(nodeid) in later}
    assert {nodeid for nodeid in locked(checkout) if phase_of(nodeid) in later} == set(never)
    assert all(cause == f"skipped because {failed_phase} failed" for cause in never.values()), never
    assert checkout.said("run.opened")[0]["sets"]["service.env.FAULT"] == fault
    assert checkout.decided()["cause"] in ran.stdout
