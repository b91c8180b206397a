"""Break-glass: two people pass over one gate for one request and one incident, for a while; nobody does it alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from pytest_deploy.approvals.overrides import incomplete_override, overrides
from pytest_deploy.approvals.sign_request import render
from pytest_deploy.errors import Refused
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.meanings import APPROVES
from tests.unit.approvals.pending_request import ADAM, BOTH, DORA, HOURS, LATER_RUN, QUINN, TINA, PendingRequest


def test_two_people_pass_over_one_gate_for_one_incident(pending: PendingRequest) -> None:
    pending.override(TINA)
    assert overrides(pending.context()) == {}

    pending.override(QUINN, hours=2)

    (passed,) = overrides(pending.context()).items()
    assert ("window", (QUINN.email, TINA.email), "INC-7") == (passed[0], passed[1].people, passed[1].incident)
    assert pending.clock.now() + timedelta(hours=2) == passed[1].until


def test_one_person_twice_is_no_second_person(pending: PendingRequest) -> None:
    pending.put_statement(pending.override_statement(BOTH, role="Tech Lead"))
    pending.put_statement(pending.override_statement(BOTH, role="QA Lead"))

    assert overrides(pending.context()) == {}


def test_two_people_for_two_incidents_pass_over_nothing(pending: PendingRequest) -> None:
    pending.override(TINA, incident="INC-7")
    pending.override(QUINN, incident="INC-8")

    assert overrides(pending.context()) == {}


def test_an_override_runs_out(pending: PendingRequest) -> None:
    pending.override(TINA)
    pending.override(QUINN)
    pending.clock.move(timedelta(hours=4).total_seconds() - 0.001)
    assert {"window"} == set(overrides(pending.context()))

    pending.clock.move(0.001)

    assert overrides(pending.context()) == {}


def test_an_override_outlives_neither_the_request_nor_an_approval_of_it(pending: PendingRequest) -> None:
    pending.override(TINA, hours=24)
    pending.override(QUINN, hours=24)
    pending.clock.move(HOURS * 1800)
    assert overrides(pending.context(expires_h=HOURS / 4)) == {}

    assert {"window"} == set(overrides(pending.context()))


@pytest.mark.parametrize(
    "says, lasts, why",
    [
        ({}, timedelta(days=3650), "lasts longer than 24 h"),
        ({}, timedelta(hours=24, milliseconds=1), "lasts longer than 24 h"),
        ({}, timedelta(0), "runs out before it is signed"),
        ({"meaning": "does NOT answer for this"}, timedelta(hours=1), 'means "does NOT answer for this"'),
        ({"meaning": APPROVES}, timedelta(hours=1), "which is no override.signed"),
        ({"role": "Deployment Manager"}, timedelta(hours=1), "does not hold the role Deployment Manager"),
        ({}, timedelta(hours=24), ""),
    ],
    ids=["ten years", "a millisecond too long", "no time", "it denies", "it approves", "a role not held", "a day"],
)
def test_an_override_signed_by_hand_is_held_to_what_the_command_would_sign(
    pending: PendingRequest, says: dict[str, str], lasts: timedelta, why: str
) -> None:
    until = stamp(pending.clock.now() + lasts)
    for person in (TINA, QUINN):
        pending.put_statement(pending.override_statement(person, expires=until, **says))

    passed = overrides(pending.context())

    reasons = [file.reason for file in pending.context().overrides.refused]
    assert (passed == {}) == bool(why)
    assert bool(reasons) == bool(why)
    assert all(why in reason for reason in reasons)


def test_an_override_that_could_not_count_is_not_signed(pending: PendingRequest) -> None:
    with pytest.raises(Refused, match="lasts longer than 24 h"):
        pending.override(TINA, hours=24.001)

    assert pending.context().overrides.refused == ()


def test_an_override_that_nobody_signed_passes_over_nothing(pending: PendingRequest) -> None:
    for name, person in (("override-window-a.json", TINA), ("override-window-b.json", QUINN)):
        pending.put(name, render(pending.override_statement(person)), b"no signature")

    assert overrides(pending.context()) == {}


def test_the_deployer_cannot_override_and_an_author_can(pending: PendingRequest) -> None:
    pending.override(TINA)
    pending.put_statement(pending.override_statement(DORA, role="Tech Lead"))
    assert overrides(pending.context()) == {}

    pending.override(QUINN)
    assert {"window"} == set(overrides(pending.context(authors=(QUINN.email,))))


@pytest.mark.parametrize("signed_by, ok", [(DORA.email, False), (ADAM.email, True)], ids=["the deployer", "another"])
def test_who_is_in_the_roster_by_the_deployers_signature_overrides_nothing(
    pending: PendingRequest, signed_by: str, *, ok: bool
) -> None:
    pending.override(TINA)
    pending.override(QUINN)
    roster = replace(pending.roster, put_in_by={QUINN.email: frozenset({signed_by})})

    assert ({"window"} == set(overrides(pending.context(roster=roster)))) == ok


def test_an_override_for_another_run_passes_over_nothing(pending: PendingRequest) -> None:
    pending.put_statement(pending.override_statement(TINA, run=LATER_RUN))
    pending.put_statement(pending.override_statement(QUINN, run=LATER_RUN))

    assert overrides(pending.context()) == {}


def test_an_approval_is_no_override_and_an_override_no_approval(pending: PendingRequest) -> None:
    pending.override(TINA)
    pending.override(QUINN)

    assert (pending.evaluation().counted, pending.evaluation().missing) == ((), ("Tech Lead", "QA Lead"))


def test_what_an_override_still_owes_is_said(pending: PendingRequest) -> None:
    assert incomplete_override(pending.context(), "window") == ""
    pending.override(TINA)
    assert (
        incomplete_override(pending.context(), "window")
        == "tina@example.org signed for INC-7; another person must sign the same"
    )
    assert incomplete_override(pending.context(), "blackout") == ""

    pending.override(QUINN, hours=2)
    assert incomplete_override(pending.context(), "window") == ""

    pending.clock.move(timedelta(hours=2).total_seconds())
    said = incomplete_override(pending.context(), "window")
    assert "has expired at " in said
    assert "tina@example.org signed for INC-7" in said


def test_an_override_that_does_not_count_is_named_with_its_reason(pending: PendingRequest) -> None:
    pending.put("override-window-a.json", render(pending.override_statement(TINA)), b"no signature")

    assert "override-window-a.json: does not verify for tina@example.org" in incomplete_override(
        pending.context(), "window"
    )
    assert [one.reason[:15] for one in pending.context().overrides.refused] == ["does not verify"]
    assert pending.evaluation().refused == ()


def test_an_override_is_signed_again_where_it_ran_out_or_named_another_incident_and_not_before(
    pending: PendingRequest,
) -> None:
    pending.override(TINA, incident="INC-70")
    pending.override(TINA, hours=1)
    with pytest.raises(Refused, match="has signed this already"):
        pending.override(TINA)
    pending.clock.move(3600)

    pending.override(TINA)
    pending.override(QUINN)

    assert {"window"} == set(overrides(pending.context()))
