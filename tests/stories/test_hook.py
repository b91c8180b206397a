"""A project's own hook that raises is an internal error: what the run had changed is undone."""

from __future__ import annotations

from tests.stories.checkout_changes import HOOK_THAT_RAISES
from tests.stories.story_assertions import Deployed


def test_hook_that_raises_after_the_revision_exists_is_rolled_back(deployed: Deployed) -> None:
    checkout = deployed.checkout
    conftest = checkout.path / "suites" / "conftest.py"
    checkout.write("suites/conftest.py", conftest.read_text(encoding="utf-8") + HOOK_THAT_RAISES)
    checkout.commit("A hook with a fault")

    ran = checkout.deploy()

    deployed.assert_rolled_back(ran, code=3)
    assert len(checkout.said("revision.deployed")) == 1
    assert checkout.failing() == set(), "no step failed: the hook did"
    assert "the hook's own fault" in ran.said
    assert set(checkout.not_run()) >= {
        "pytest_deploy/suites/smoke/test_database.py::test_connection_opens",
        "pytest_deploy/suites/traffic/test_traffic.py::test_traffic_moves_to_the_new_revision",
        "pytest_deploy/suites/rollback/test_restore.py::test_environment_is_led_back",
    }
