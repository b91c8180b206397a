"""Who approves a deployment stands in the roster that administrators signed: policy asks for them, or all three verifiers refuse it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_deploy.approvals.roster import in_force
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


# --- nobody deploys what somebody approved whom they put into the roster themselves (21 CFR 11.10(g))


@pytest.fixture
def leavers(rosters: SignedRosters) -> SignedRosters:
    """Ada and Ben signed the trust root, Tina's place in it too; since then Ada administers nothing, and may deploy."""
    rosters.root().enrol("ada", "Deployment Manager").enrol("nina", "Deployment Manager")
    return rosters.put_in_force("ben", "cleo")


@pytest.mark.parametrize("deployer, ok", [("ada@example.org", False), ("nina@example.org", True)])
def test_an_approver_whose_place_in_the_roster_the_deployer_signed_approves_nothing(
    leavers: SignedRosters, deployer: str, *, ok: bool
) -> None:
    leavers.deploy(["Tech Lead"], by=deployer, tina="Tech Lead")

    found = verify(leavers.store).findings
    changed = max(e.seq for e in leavers.log.events() if e.type == "step.started" and e.data["changes"])
    said = f"goes on, and tina@example.org, in the roster by the signature of {deployer}, who deploys it, approved it"
    assert [(one.place, one.problem) for one in found] == ([] if ok else [(entries.name(changed), said)])
    assert all_three(leavers.store) == ((True, "") if ok else (False, entries.name(changed)))


@pytest.mark.parametrize("deployer, ok", [("cleo@example.org", False), ("nina@example.org", True)])
def test_an_administrator_deploys_nothing(leavers: SignedRosters, deployer: str, *, ok: bool) -> None:
    """Cleo signed no approver's place, and could: who deploys must not say who approves (21 CFR 11.10(g))."""
    leavers.deploy(["Tech Lead"], by=deployer, tina="Tech Lead")

    problems = [one.problem for one in verify(leavers.store).findings]
    assert problems == (
        [] if ok else [f"goes on, and {deployer}, who deploys it, is Administrator of the roster in force"]
    )
    assert all_three(leavers.store)[0] == ok


def test_the_gate_knows_who_put_somebody_into_the_roster(leavers: SignedRosters) -> None:
    """As the verifiers do; `tests/unit/approvals/test_evaluate.py` shows what it makes of that."""

    def put_in(name: str) -> set[str]:
        return set(in_force(leavers.log.store, leavers.log.events())[0].put_in_by[f"{name}@example.org"])

    assert (put_in("tina"), put_in("ada")) == (
        {"ada@example.org", "ben@example.org"},
        {"ben@example.org", "cleo@example.org"},
    )
    leavers.enrol("tina", "Tech Lead").put_in_force("ben", "cleo")
    assert put_in("tina") == {"ben@example.org", "cleo@example.org"}


def test_an_approver_whose_place_in_the_roster_who_asked_signed_approves_nothing(leavers: SignedRosters) -> None:
    leavers.deploy(["Tech Lead"], asked_by="ada@example.org", tina="Tech Lead")

    assert (
        "in the roster by the signature of ada@example.org, who asked for it, approved it"
        in verify(leavers.store).findings[0].problem
    )
    assert not all_three(leavers.store)[0]


@pytest.mark.parametrize("ok", [True, False], ids=["her own place", "another's place"])
def test_others_may_put_somebody_in_anew(leavers: SignedRosters, *, ok: bool) -> None:
    """What counts is the newest roster that says something else of that person, not who renewed it for others."""
    if ok:
        leavers.enrol("tina", "Tech Lead")
    else:
        leavers.enrol("otto", "QA Lead")
    leavers.put_in_force("ben", "cleo").deploy(["Tech Lead"], by="ada@example.org", tina="Tech Lead")

    assert all_three(leavers.store)[0] == ok
