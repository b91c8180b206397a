"""What is decided stands: nothing that goes wrong after it undoes a release that the record says serves."""

from __future__ import annotations

import sys

import pytest

from tests.project_checkout import QUICK
from tests.stories.story_assertions import Deployed

FULL_FROM_THE_SEAL_ON = """
import errno, os, runpy, sys
link, full = os.link, []
def failing(source, target, **more):
    full.extend([True] * os.fspath(target).endswith("/SHA256SUMS"))
    if full:
        raise OSError(errno.ENOSPC, "No space left on device")
    link(source, target, **more)
os.link = failing
sys.argv[0] = "pytest"
runpy.run_module("pytest", run_name="__main__", alter_sys=True)
"""


def test_another_environments_damaged_log_is_named_and_undoes_nothing(deployed: Deployed) -> None:
    checkout = deployed.checkout
    damaged = checkout.path / "reports" / "staging" / "log" / "00000000.event"
    damaged.parent.mkdir(parents=True)
    damaged.write_text('{"type":"run.opened" and no more\n', encoding="utf-8")
    checkout.commit("The next release")
    try:
        ran = checkout.deploy()
    finally:
        damaged.unlink()
        damaged.parent.rmdir()
        damaged.parent.parent.rmdir()

    assert ran.code == 0, ran.said
    assert "not in reports/index.html: staging, whose log cannot be read" in ran.said
    assert checkout.decided()["outcome"] == "deployed"
    checkout.assert_nothing_runs()
    now = checkout.standing()
    assert now.shares.keys() != deployed.standing.shares.keys(), "the release that the record says serves does not"
    page = (checkout.path / "reports" / "index.html").read_text(encoding="utf-8")
    assert checkout.last_run() in page
    assert 'data-unread="staging"' in page
    deployed.standing = now


@pytest.mark.faults
def test_a_store_that_fails_at_the_seal_undoes_nothing_and_recover_closes_the_run(deployed: Deployed) -> None:
    checkout = deployed.checkout
    checkout.commit("The next release")

    ran = checkout.begin(sys.executable, "-c", FULL_FROM_THE_SEAL_ON, "--deploy-env=local", *QUICK).wait()

    assert ran.code == 20, ran.said
    assert "the run was decided before, deployed: the environment is left so" in ran.said
    now = checkout.standing()
    assert now.shares.keys() != deployed.standing.shares.keys()
    recovered = checkout.deploy_py("recover", "local")
    assert recovered.code == 0, recovered.said
    (closed,) = checkout.said("run.closed")
    assert closed["outcome"] == "deployed"
    assert checkout.standing() == now
    assert checkout.deploy_py("verify", "reports/local").code == 0
    deployed.standing = now
