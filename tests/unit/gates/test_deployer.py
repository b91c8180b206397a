"""Who starts it holds the role that policy names."""

from __future__ import annotations

from pytest_deploy.gates import deployer
from pytest_deploy.policy.policy import Deployer
from tests.unit.gates.gate_samples import outcome_of

RULE = Deployer(role="Deployment Manager")
HOLDERS = ["Dora Diaz", "Emil Ek"]


def test_it_is_not_applicable_where_policy_names_no_role() -> None:
    assert deployer.judge(None, "nobody", None, frozenset(), []).result == "not-applicable"


def test_who_holds_the_role_may() -> None:
    verdict = deployer.judge(RULE, "dora", "dora@example.org", frozenset({"Deployment Manager"}), HOLDERS)

    assert (verdict.passed, verdict.reason) == (True, "dora@example.org (dora) holds Deployment Manager")


def test_who_holds_another_may_not_and_is_told_who_may() -> None:
    verdict = deployer.judge(RULE, "quentin", "quentin@example.org", frozenset({"QA Lead"}), HOLDERS)

    assert outcome_of(verdict) == (False, "mend")
    assert verdict.reason == "quentin@example.org (quentin) holds QA Lead; Deployment Manager starts it"
    assert verdict.remedy == "have it started by Dora Diaz or Emil Ek"


def test_an_actor_the_roster_does_not_know_may_not_whatever_roles_are_claimed() -> None:
    verdict = deployer.judge(RULE, "mallory", None, frozenset({"Deployment Manager"}), HOLDERS)

    assert outcome_of(verdict) == (False, "mend")
    assert "mallory is nobody whom the roster knows" in verdict.reason


def test_a_role_that_nobody_holds_is_said() -> None:
    verdict = deployer.judge(RULE, "dora", "dora@example.org", frozenset(), [])

    assert "holds no role" in verdict.reason
    assert "nobody holds the role Deployment Manager" in verdict.remedy


def test_nor_where_policy_names_no_role_for_deploying() -> None:
    roles = frozenset({"Administrator"})
    unsigned = deployer.judge(None, "ada", "ada@example.org", roles, [])
    signed = deployer.judge(None, "ada", "ada@example.org", roles, [], administrators="Administrator")

    assert (unsigned.result, outcome_of(signed)) == ("not-applicable", (False, "mend"))
    assert "ada@example.org (ada) is Administrator too" in signed.reason


def test_who_signs_the_roster_deploys_not() -> None:
    roles = frozenset({"Deployment Manager", "Administrator"})
    unsigned = deployer.judge(RULE, "dora", "dora@example.org", roles, HOLDERS)
    signed = deployer.judge(RULE, "dora", "dora@example.org", roles, HOLDERS, administrators="Administrator")

    assert unsigned.passed
    assert outcome_of(signed) == (False, "mend")
    assert "is Administrator too, and who deploys must not change who approves" in signed.reason
