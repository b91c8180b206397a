"""A run killed at any step of sealing its evidence is finished by recover: decided as it was, whole, and it verifies."""

from __future__ import annotations

import sys

import pytest

from tests.stories.story_assertions import Deployed, assert_recovered_for_good

pytestmark = pytest.mark.faults

KILLED = """
import os, runpy, signal, sys
link, when, name = os.link, sys.argv.pop(1), sys.argv.pop(1)
def killing(source, target, **more):
    here = os.fspath(target).endswith(name)
    if here and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    link(source, target, **more)
    if here:
        os.kill(os.getpid(), signal.SIGKILL)
os.link = killing
sys.argv[0] = "pytest"
runpy.run_module("pytest", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    "when, name",
    [("after", "/junit.xml"), ("after", "/report.html"), ("before", "/SHA256SUMS"), ("after", "/SHA256SUMS")],
)
def test_it_is_closed_by_recover_as_it_was_decided(deployed: Deployed, when: str, name: str) -> None:
    from tests.project_checkout import QUICK

    checkout = deployed.checkout
    checkout.commit("The next release")
    run = checkout.begin(sys.executable, "-c", KILLED, when, name, "--deploy-env=local", *QUICK)
    assert run.wait().code == 20, "its guard says that recover is due"
    assert checkout.decided()["outcome"] == "deployed"
    assert checkout.said("run.closed") == []
    checkout.assert_nothing_runs()

    recovered = checkout.deploy_py("recover", "local")

    assert recovered.code == 0, recovered.said
    (closed,) = checkout.said("run.closed")
    assert (closed["outcome"], closed["missing"]) == ("deployed", [])
    assert [path for path in checkout.run_folder().rglob(".*") if path.is_file()] == []
    deployed.standing = checkout.standing()
    assert_recovered_for_good(deployed)
