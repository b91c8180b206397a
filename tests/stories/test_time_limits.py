"""A step that takes too long fails by itself; smoke tests that take too long together fail as a phase."""

from __future__ import annotations

import pytest

from tests.stories.story_assertions import Deployed

STEP = "suites/smoke/test_sleeper.py"
SLEEPER = """
import time

import pytest


@pytest.mark.step(timeout=1)
def test_answers_some_day() -> None:
    time.sleep(60)
"""


@pytest.mark.faults
def test_step_over_its_time_limit_fails_the_run(deployed: Deployed) -> None:
    checkout = deployed.checkout
    (checkout.path / STEP).write_text(SLEEPER, encoding="utf-8")
    written = checkout.deploy_py("steps", "--write")
    assert written.code == 0, written.said
    checkout.commit("A step that sleeps")

    ran = checkout.deploy()

    deployed.assert_rolled_back(ran)
    assert checkout.failing() == {"smoke/test_sleeper.py::test_answers_some_day"}
    (finished,) = [one for one in checkout.said("step.finished") if one["nodeid"].endswith("answers_some_day")]
    assert "Timeout" in finished["message"]
    assert 1 <= finished["duration_s"] < 10


@pytest.mark.faults
def test_smoke_over_its_budget_fails_the_run_though_every_test_passed(deployed: Deployed) -> None:
    checkout = deployed.checkout

    ran = checkout.deploy("--deploy-set=smoke.budget_s=0.5")

    deployed.assert_rolled_back(ran)
    assert checkout.failing() == set()
    (smoke,) = [data for data in checkout.said("phase.finished") if data["phase"] == "smoke"]
    assert (smoke["outcome"], smoke["budget_s"]) == ("failed", 0.5)
    assert smoke["duration_s"] > 0.5
    assert checkout.decided()["cause"].startswith("smoke: took ")
    assert "smoke: took " in ran.stdout
