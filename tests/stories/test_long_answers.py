"""A service whose health answers with 100 kB: a watch with a lower cap leads back in words, one without deploys it, and the record holds both."""

from __future__ import annotations

import pytest

from tests.stories.story_assertions import Deployed, assert_ended

WATCH = "health/test_health.py::test_service_stays_healthy"


@pytest.mark.faults
def test_health_of_100_kb_is_refused_over_a_cap_and_deployed_below_it(deployed: Deployed) -> None:
    checkout = deployed.checkout
    web = checkout.path / "examples/diary/diary/web.py"
    text = web.read_text(encoding="utf-8")
    assert '"schema": None,' in text
    web.write_text(text.replace('"schema": None,', '"schema": None, "padding": "x" * 100_000,'), encoding="utf-8")
    checkout.commit("A health that says much")

    ran = checkout.deploy("--deploy-set=health.max_body_bytes=50000")

    deployed.assert_rolled_back(ran)
    (watch,) = [
        data for data in checkout.said("step.finished") if data["nodeid"].endswith(WATCH) and data["phase"] == "health"
    ]
    assert watch["outcome"] == "failed"
    assert "a body over the cap: after 0.0 s: GET " in watch["message"]
    assert "/health: the answer is longer than 50,000 bytes (" in watch["message"]
    assert watch["actual"]["samples"] == watch["actual"]["failed"] == 1

    ran = checkout.deploy()

    assert_ended(checkout, ran, code=0, outcome="deployed")
    (watch,) = [data for data in checkout.said("step.finished") if data["nodeid"].endswith(WATCH)]
    assert watch["actual"]["failures"] == []
    assert watch["actual"]["restarts"] == 0
