"""The disk of the record is full or read-only: nothing is begun; and what had begun is rolled back, and said to need a person."""

from __future__ import annotations

import pytest

from tests.stories.held_steps import hold_up
from tests.stories.small_disk import Trouble, own_disk
from tests.stories.story_assertions import Deployed

REASONS: dict[Trouble, str] = {
    "full": "cannot be written: No space left on device: the disk is full; make room, then run again",
    "read-only": "cannot be written: Read-only file system: the file system is read-only; mount it writable",
}
TRAFFIC = "pytest_deploy/suites/traffic/test_traffic.py::test_traffic_moves_to_the_new_revision"
EACH = pytest.mark.parametrize("trouble", ["full", pytest.param("read-only", marks=pytest.mark.faults)])


@EACH
def test_nothing_is_begun_where_nothing_can_be_recorded(deployed: Deployed, trouble: Trouble) -> None:
    checkout = deployed.checkout
    with own_disk(checkout) as disk:
        disk.trouble(trouble)
        before = checkout.bytes_below("reports")

        ran = checkout.deploy()

        assert ran.code == 3, ran.said
        assert REASONS[trouble] in ran.said
        assert before == checkout.bytes_below("reports")
        checkout.assert_nothing_runs()
        assert checkout.deploy_py("verify", "reports/local").code == 0
    assert deployed.standing == checkout.standing()


@EACH
@pytest.mark.faults
def test_what_was_changed_is_led_back_and_left_to_recover(deployed: Deployed, trouble: Trouble) -> None:
    """The traffic has moved when the disk fails: the run ends with 20, the release before it serves."""
    checkout = deployed.checkout
    with own_disk(checkout) as disk:
        held = hold_up(checkout, TRAFFIC, "after", seconds=3)
        run = checkout.start_deploy()
        held.until_there(run)
        disk.trouble(trouble)

        ran = run.wait()

        assert ran.code == 20, ran.said
        assert REASONS[trouble] in ran.said
        assert "the environment was restored to what it was; none of that is recorded" in ran.said
        assert "deploy.py recover local`" in ran.said
        checkout.assert_nothing_runs()
        assert deployed.standing == checkout.standing()

        disk.mended()
        recovered = checkout.deploy_py("recover", "local")
        assert recovered.code == 0, recovered.said
        assert checkout.decided()["outcome"] == "rolled-back"
        verified = checkout.deploy_py("verify", "reports/local")
        assert verified.code == 0, verified.said
    assert deployed.standing == checkout.standing()
