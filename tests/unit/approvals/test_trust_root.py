"""Approvals and overrides count under a roster that goes back to the pinned trust root and has not run out; rejections always."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from pytest_deploy.approvals.overrides import overrides
from pytest_deploy.approvals.roster import Roster
from pytest_deploy.approvals.sign_request import Rejection
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.meanings import REJECTS
from pytest_deploy.record.signed_roster import RosterStatement
from pytest_deploy.release.request import digest
from tests.unit.approvals.pending_request import QUINN, REQUEST, RUN, TINA, PendingRequest
from tests.unit.record.sample_record import SHA

OTHER = "0" * 64


def signed(pending: PendingRequest, *, lasts: timedelta) -> Roster:
    """The roster, as administrators signed it: so far as it is asked when it runs out."""
    statement = RosterStatement(
        origin="", number=1, before=None, allowed_signers_sha256=SHA, roles_sha256=SHA, administrators="Administrator",
        quorum=2, approvers=(), expires=stamp(pending.clock.now() + lasts), reason="", identity="",
    )  # fmt: skip
    return replace(pending.roster, signed=statement, root_sha256=SHA)


def test_the_pinned_root_and_a_roster_that_stands_let_approvals_count(pending: PendingRequest) -> None:
    pending.approve(TINA)
    pending.approve(QUINN)
    evaluation = pending.evaluation(roster=signed(pending, lasts=timedelta(days=1)), trust_root=SHA)

    assert evaluation.filled == {"Tech Lead": TINA.email, "QA Lead": QUINN.email}


def test_another_root_than_the_pinned_one_counts_nothing(pending: PendingRequest) -> None:
    pending.approve(TINA)
    evaluation = pending.evaluation(roster=signed(pending, lasts=timedelta(days=1)), trust_root=OTHER)

    assert evaluation.filled == {}
    assert (
        f"policy pins the trust root {OTHER[:16]}…, and the roster goes back to {SHA[:16]}…"
        in evaluation.why_impossible
    )


def test_a_roster_that_nobody_signed_counts_nothing_where_a_root_is_pinned(pending: PendingRequest) -> None:
    pending.approve(TINA)

    assert "none: no administrator signed it" in pending.why_not(trust_root=OTHER)


def test_a_roster_that_ran_out_counts_nothing_until_it_is_renewed(pending: PendingRequest) -> None:
    pending.approve(TINA)
    evaluation = pending.evaluation(roster=signed(pending, lasts=timedelta(0)))

    assert evaluation.filled == {}
    assert "the roster ran out" in evaluation.why_impossible
    assert "keys renew" in evaluation.why_impossible


def test_an_override_counts_under_no_such_roster_either(pending: PendingRequest) -> None:
    for person in (TINA, QUINN):
        pending.override(person)

    assert list(overrides(pending.context(roster=signed(pending, lasts=timedelta(days=1)), trust_root=SHA))) == [
        "window"
    ]
    assert overrides(pending.context(trust_root=OTHER)) == {}
    assert overrides(pending.context(roster=signed(pending, lasts=timedelta(0)))) == {}


def test_a_rejection_stands_whatever_the_roster_is(pending: PendingRequest) -> None:
    pending.put_statement(
        Rejection(
            REJECTS,
            TINA.printed_name,
            TINA.email,
            TINA.roles[0],
            stamp(pending.clock.now()),
            digest(REQUEST),
            RUN,
            "no",
        )
    )

    assert len(pending.evaluation(trust_root=OTHER).rejected) == 1


def test_a_key_that_was_enrolled_after_the_request_was_made_counts_nothing(pending: PendingRequest) -> None:
    pending.approve(TINA)
    pending.approve(QUINN)
    earlier = replace(pending.roster, keys=tuple(key for key in pending.roster.keys if key.email != QUINN.email))

    assert pending.evaluation(asked_of=pending.roster).missing == ()
    evaluation = pending.evaluation(asked_of=earlier)
    assert evaluation.missing == ("QA Lead",)
    assert "was enrolled after the request was made" in evaluation.refused[0].reason
