"""Who approves a deployment stands in the roster that administrators signed: policy asks for them, or all three verifiers refuse it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_deploy.record import log_entry as entries
from pytest_deploy.verify.verify import verify
from tests.unit.verify.signed_rosters import SignedRosters, make_keys
from tests.unit.verify.third_verifier import all_three


@pytest.fixture
def rosters(tmp_path: Path) -> SignedRosters:
    (tmp_path / "people").mkdir()
    return SignedRosters.begin(tmp_path, make_keys(tmp_path / "people")).enrol("tina", "Tech Lead", "QA Lead")


TWO = ["Tech Lead", "QA Lead"]
UNASKED: dict[str, tuple[list[str], Callable[[SignedRosters], object], str]] = {
    "nobody": (TWO, lambda r: r.deploy([]), "QA Lead, Tech Lead"),
    "one of two": (TWO, lambda r: r.deploy(["Tech Lead"], tina="Tech Lead"), "QA Lead"),
    "another role": (["QA Lead"], lambda r: r.deploy(["Tech Lead"], tina="Tech Lead"), "QA Lead"),
    "one person where two approve": (["Tech Lead", "Tech Lead"], lambda r: r.deploy(["Tech Lead"], tina="Tech Lead"), "Tech Lead"),
}  # fmt: skip


@pytest.mark.parametrize("asked", UNASKED)
def test_a_policy_that_does_not_ask_who_approves_deploys_nothing(rosters: SignedRosters, asked: str) -> None:
    """The policy is the log's own word, and with the log's key alone it could ask nobody."""
    approvers, deploy, unasked = UNASKED[asked]
    deploy(rosters.root(approvers=approvers))

    found = verify(rosters.store).findings
    changed = max(e.seq for e in rosters.log.events() if e.type == "step.started" and e.data["changes"])
    assert [(one.step, one.place) for one in found] == [(10, entries.name(changed))]
    assert f"does not ask {', '.join(sorted(unasked.split(', ')))}, who approve" in found[0].problem.replace(
        "Tech Lead, QA Lead", "QA Lead, Tech Lead"
    )
    assert all_three(rosters.store) == (False, entries.name(changed))


def test_who_approves_is_what_the_roster_in_force_at_the_change_says(rosters: SignedRosters) -> None:
    """A later roster with more approvers makes no earlier deployment wrong."""
    rosters.root(approvers=["Tech Lead"]).deploy(["Tech Lead"], tina="Tech Lead")
    rosters.put_in_force("ada", "ben", approvers=TWO)
    assert all_three(rosters.store) == (True, "")

    rosters.deploy(["Tech Lead"], tina="Tech Lead")

    assert not all_three(rosters.store)[0]
