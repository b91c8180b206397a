"""With `-n 2` a deployment is the same deployment: the same outcome, the same step events, phase after phase."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.project_checkout import Checkout
from tests.stories.evidence_assertions import assert_complete
from tests.stories.output_assertions import COLOURED, assert_outputs_agree
from tests.stories.step_ids import CAUGHT_BY
from tests.stories.story_assertions import (
    WITHOUT_A_MIGRATION,
    WITHOUT_AN_EARLIER_RUN,
    Deployed,
    assert_ended,
    steps_told,
)


def test_two_workers_deploy_as_one_process_does(deployed: Deployed) -> None:
    checkout = deployed.checkout

    ran = checkout.deploy("-n", "2", COLOURED)

    deployed.standing = checkout.standing()
    assert_ended(checkout, ran, code=0, outcome="deployed")
    assert_outputs_agree(checkout, checkout.last_run(), ran.stdout)
    assert _but_what_history_decides(checkout, checkout.last_run()) == _but_what_history_decides(
        checkout, deployed.first
    )
    assert (deployed.standing.status, deployed.standing.tags) == (200, {})
    assert_complete(checkout, checkout.last_run())


def _but_what_history_decides(checkout: Checkout, run: str) -> set[tuple[Any, ...]]:
    """The step events of a run, without how those steps ended that have something to judge in one of the two runs alone."""
    by_history = WITHOUT_A_MIGRATION | WITHOUT_AN_EARLIER_RUN
    return {
        (kind, nodeid, None if nodeid.partition("::")[2] in by_history else outcome, changes)
        for kind, nodeid, outcome, changes in steps_told(checkout, run)
    }


@pytest.mark.faults
@pytest.mark.parametrize("fault", CAUGHT_BY)
def test_two_workers_fail_as_one_process_does(deployed: Deployed, fault: str) -> None:
    checkout = deployed.checkout
    setting = f"--deploy-set=service.env.FAULT={fault}"

    deployed.assert_rolled_back(checkout.deploy(setting))
    alone = checkout.last_run()
    deployed.assert_rolled_back(checkout.deploy(setting, "-n", "2"))
    together = checkout.last_run()
    for run in (alone, together):
        assert_complete(checkout, run)

    assert steps_told(checkout, together) == steps_told(checkout, alone)
    assert checkout.failing(together) == CAUGHT_BY[fault]
    assert _unnumbered(checkout.decided(together)["cause"]) == _unnumbered(checkout.decided(alone)["cause"])


def _unnumbered(cause: str) -> list[str]:
    """A cause without what differs from run to run (revisions, ports, seconds); parallel steps fail in any order."""
    return sorted(re.sub(r"diary-\d+-\w+|\d+", "#", cause).replace(":", ",").split(","))


@pytest.mark.faults
def test_two_workers_are_refused_as_one_process_is(deployed: Deployed) -> None:
    """A gate that cannot be evaluated blocks; the other gates are asked all the same, and nothing is changed."""
    checkout = deployed.checkout
    setting = '--deploy-set=incidents={"within_h": 24, "command": ["false"]}'

    refused = checkout.deploy(setting)
    assert_ended(checkout, refused, code=1, outcome="refused")
    alone = checkout.last_run()
    refused = checkout.deploy(setting, "-n", "2")
    assert_ended(checkout, refused, code=1, outcome="refused")
    together = checkout.last_run()

    assert checkout.standing() == deployed.standing
    assert steps_told(checkout, together) == steps_told(checkout, alone)
    assert checkout.failing(together) == {"preflight/test_gates.py::test_incidents"}
    for run in (alone, together):
        asked = [event.data["gate"] for event in checkout.events(run) if event.type.startswith("gate.")]
        assert len(asked) == len(set(asked)) > 5, "each gate is asked once, and no refusal hides another"
