"""A run whose steps are not those of suites/steps.lock is refused before anything is touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.child_process import Ran
from tests.project_checkout import Checkout
from tests.stories.story_assertions import Deployed

STEP = "suites/smoke/test_features.py"
ONE_MORE = '''

def test_one_more(record):
    """Nobody has reviewed this one."""
    record.expect(1, 1)
'''


def test_removed_smoke_test_is_refused(deployed: Deployed) -> None:
    checkout = deployed.checkout
    checkout.git("rm", "--quiet", STEP)
    checkout.commit("One smoke test less")

    with untouched(checkout):
        for workers in ([], ["-n", "2"]):
            ran = checkout.deploy(*workers)
            _refused(ran, f"{STEP}::test_user_can_log_in: in the lock, but not collected")

    check = checkout.deploy_py("steps", "--check")
    _refused(check, f"{STEP}::test_user_can_log_in: in the lock, but not collected")


@pytest.mark.faults
def test_one_more_step_than_the_lock_knows_is_refused(deployed: Deployed) -> None:
    checkout = deployed.checkout
    assert checkout.deploy_py("steps", "--check").code == 0
    file = checkout.path / STEP
    file.write_text(file.read_text(encoding="utf-8") + ONE_MORE, encoding="utf-8")

    with untouched(checkout):
        ran = checkout.deploy()
        _refused(ran, f"{STEP}::test_one_more: collected, but not in the lock")

    _refused(checkout.deploy_py("steps", "--check"), "test_one_more")
    written = checkout.deploy_py("steps", "--write")
    assert written.code == 0, written.said
    assert checkout.deploy_py("steps", "--check").code == 0
    added = checkout.git("diff", "--stat", "--", "suites/steps.lock")
    assert added.endswith("2 insertions(+)"), added  # the step, and its run in a rollback, which its file asks for


def _refused(ran: Ran, message: str) -> None:
    assert ran.code == 4, ran.said
    assert message in ran.said, ran.said
    assert "deploy.py steps --write" in ran.said


@contextmanager
def untouched(checkout: Checkout) -> Iterator[None]:
    """The record and the platform's state are the same bytes afterwards, and nothing was started."""
    store, platform = checkout.bytes_below("reports"), checkout.bytes_below(".deploy")
    yield
    assert checkout.processes() == []
    assert checkout.bytes_below("reports") == store
    assert checkout.bytes_below(".deploy") == platform
