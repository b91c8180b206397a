"""Every role that policy asks for has signed, each by a person of its own, while the request lives."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_deploy.gates import approvals
from pytest_deploy.gates.approvals import Quorum
from pytest_deploy.gates.verdict import Verdict
from tests.unit.gates.gate_samples import HOUR, MINUTE, outcome_of, utc

AT = utc("2026-11-23T15:00")
ROLES = ("Tech Lead", "QA Lead")
SIGNED = {"Tech Lead": "tara@example.org", "QA Lead": "quentin@example.org"}


def judged(**facts: Any) -> Verdict:
    quorum = {"needed": ROLES, "filled": SIGNED, "expires": AT + HOUR, "run": "production-1", **facts}
    return approvals.judge(Quorum(**quorum), AT)


def test_it_is_not_applicable_where_policy_asks_for_no_signature() -> None:
    assert judged(needed=(), filled={}).result == "not-applicable"


def test_a_complete_quorum_passes_and_names_who_signed() -> None:
    assert judged().reason == (
        "approved by Tech Lead tara@example.org, QA Lead quentin@example.org;"
        " the request lapses Monday 2026-11-23 16:00 UTC"
    )
    assert judged(expires=None).passed


def test_a_role_that_the_signed_roster_asks_and_policy_does_not_is_refused_however_well_it_is_signed() -> None:
    verdict = judged(unasked=("Sponsor",))

    assert outcome_of(verdict) == (False, "mend")
    assert "administrators signed that Sponsor approve here" in verdict.reason
    assert not judged(needed=(), filled={}, unasked=("Sponsor",)).passed


def test_a_missing_role_is_owed_an_approval() -> None:
    verdict = judged(filled={"Tech Lead": "tara@example.org"}, missing=("QA Lead",))

    assert outcome_of(verdict) == (False, "approval")
    assert verdict.sentence == "approval missing: QA Lead; `pytest-deploy approve production-1`"


def test_signatures_that_do_not_count_are_told() -> None:
    verdict = judged(
        filled={}, missing=ROLES, refused=["dora's is the deployer's own", "the second is unreadable"], run=""
    )

    assert verdict.sentence == (
        "approval missing: Tech Lead, QA Lead (not counted: dora's is the deployer's own; the second is unreadable);"
        " sign the request that the plan makes"
    )


def test_one_person_never_fills_two_roles() -> None:
    verdict = judged(filled={"Tech Lead": "tara@example.org", "QA Lead": "Tara@example.org"})

    assert outcome_of(verdict) == (False, "mend")


@pytest.mark.parametrize("left,passed", [(MINUTE, True), (0 * MINUTE, False), (-MINUTE, False)])
def test_a_request_that_lapsed_is_void_however_well_signed(left: Any, passed: bool) -> None:  # noqa: FBT001
    verdict = judged(expires=AT + left)

    assert passed == verdict.passed
    if not passed:
        assert (*outcome_of(verdict), verdict.remedy) == (False, "mend", "plan anew and have it approved")


def test_a_roster_that_can_never_fill_the_roles_must_be_mended() -> None:
    verdict = judged(filled={}, missing=ROLES, why_impossible="nobody holds QA Lead")

    assert outcome_of(verdict) == (False, "mend")
    assert verdict.reason == "the quorum is impossible: nobody holds QA Lead"


def test_a_request_that_somebody_rejects_is_refused_however_well_it_is_signed() -> None:
    verdict = judged(rejected=("Quinn Quist as QA Lead: it locks the table", "Tina Tanaka as Tech Lead: so it does"))

    assert outcome_of(verdict) == (False, "mend")
    assert verdict.reason == (
        "rejected by Quinn Quist as QA Lead: it locks the table; by Tina Tanaka as Tech Lead: so it does"
    )


def test_a_signature_that_was_lost_is_told_also_where_nobody_is_left_to_sign() -> None:
    verdict = judged(filled={}, missing=ROLES, why_impossible="nobody holds QA Lead", refused=["quentin's key ended"])

    assert verdict.reason == "the quorum is impossible: nobody holds QA Lead (not counted: quentin's key ended)"


@pytest.mark.parametrize("unstated", [("reason",), ("ticket",), ("reason", "ticket")])
def test_what_policy_asks_to_be_said_is_said_however_well_it_is_signed(unstated: tuple[str, ...]) -> None:
    verdict = judged(unstated=unstated)

    assert outcome_of(verdict) == (False, "mend")
    assert all(f"--deploy-{what}=" in verdict.remedy for what in unstated)
    assert judged(unstated=()).passed
