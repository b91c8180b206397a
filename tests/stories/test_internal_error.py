"""An internal error of the controller: what was changed is undone, and not beside a step that a worker still runs."""

from __future__ import annotations

import pytest

from tests.stories.checkout_changes import HOOK_THAT_RAISES
from tests.stories.held_steps import hold_up
from tests.stories.step_ids import HEALTH, LED_BACK
from tests.stories.story_assertions import Deployed

PROGRESS = "pytest_deploy/plugin/progress.py"
ENDED = '        """A step has ended: one line that stays, with the cause where it failed."""\n'
FAULT = """\
        if hasattr(report, "node") and report.when == "teardown" and "/smoke/" in report.nodeid:
            raise RuntimeError("a fault of its own")
"""
"""Raises in the controller as soon as one smoke step is reported: a conftest may no longer hold such a hook."""


@pytest.mark.faults
def test_hook_that_raises_under_workers_is_rolled_back(deployed: Deployed) -> None:
    checkout = deployed.checkout
    conftest = checkout.path / "suites" / "conftest.py"
    checkout.write("suites/conftest.py", conftest.read_text(encoding="utf-8") + HOOK_THAT_RAISES)
    checkout.commit("A hook with a fault")

    ran = checkout.deploy("-n", "2")

    deployed.assert_rolled_back(ran, code=3)
    assert checkout.failing() == set(), "no step failed: the hook did"
    assert "the hook's own fault" in ran.said


@pytest.mark.faults
@pytest.mark.parametrize("deaf", [False, True], ids=["stopped", "killed"])
def test_nothing_is_undone_while_another_worker_runs_a_step(deployed: Deployed, *, deaf: bool) -> None:
    checkout = deployed.checkout
    sound = (checkout.path / PROGRESS).read_text(encoding="utf-8")
    assert ENDED in sound
    checkout.write(PROGRESS, sound.replace(ENDED, ENDED + FAULT))
    hold_up(checkout, HEALTH, "before", deaf=deaf)

    ran = checkout.deploy("-n", "2")

    deployed.assert_rolled_back(ran, code=3)
    assert "a fault of its own" in ran.said
    ends = {e.data["nodeid"]: e.seq for e in checkout.events(checkout.last_run()) if e.type == "step.finished"}
    (undone,) = [event.seq for event in checkout.events(checkout.last_run()) if event.type == "rollback.started"]
    assert max(ends.values()) < undone
    assert LED_BACK in checkout.not_run()
