"""Break-glass: two people pass over one gate for one request and one incident, for a while; nobody does it alone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pytest_deploy.approvals.evaluate import incomplete_override, overrides, refused_overrides
from pytest_deploy.approvals.sign_request import render
from pytest_deploy.errors import Refused
from pytest_deploy.record.clock import stamp
from tests.unit.approvals.desk import BOTH, DORA, EXPIRES_IN, LATER_RUN, QUINN, TINA, Desk


def test_two_people_pass_over_one_gate_for_one_incident(desk: Desk) -> None:
    desk.override(TINA)
    assert overrides(desk.context()) == {}

    desk.override(QUINN, hours=2)

    (passed,) = overrides(desk.context()).items()
    assert ("window", (QUINN.email, TINA.email), "INC-7") == (passed[0], passed[1].people, passed[1].incident)
    assert desk.clock.now() + timedelta(hours=2) == passed[1].until


def test_one_person_twice_is_no_second_person(desk: Desk) -> None:
    desk.put_statement(desk.override_statement(BOTH, role="Tech Lead"))
    desk.put_statement(desk.override_statement(BOTH, role="QA Lead"))

    assert overrides(desk.context()) == {}


def test_two_people_for_two_incidents_pass_over_nothing(desk: Desk) -> None:
    desk.override(TINA, incident="INC-7")
    desk.override(QUINN, incident="INC-8")

    assert overrides(desk.context()) == {}


def test_an_override_runs_out(desk: Desk) -> None:
    desk.override(TINA)
    desk.override(QUINN)
    desk.clock.move(timedelta(hours=4).total_seconds() - 0.001)
    assert {"window"} == set(overrides(desk.context()))

    desk.clock.move(0.001)

    assert overrides(desk.context()) == {}


def test_an_override_lasts_no_longer_than_an_approval_whatever_it_says(desk: Desk) -> None:
    far = stamp(desk.clock.now() + timedelta(days=3650))
    desk.put_statement(desk.override_statement(TINA, expires=far))
    desk.put_statement(desk.override_statement(QUINN, expires=far))
    assert {"window"} == set(overrides(desk.context()))

    desk.clock.move(EXPIRES_IN.total_seconds() + 1)

    assert overrides(desk.context()) == {}


def test_an_override_that_nobody_signed_passes_over_nothing(desk: Desk) -> None:
    for name, person in (("override-window-a.json", TINA), ("override-window-b.json", QUINN)):
        desk.put(name, render(desk.override_statement(person)), b"no signature")

    assert overrides(desk.context()) == {}


def test_the_deployer_cannot_override_and_an_author_can(desk: Desk) -> None:
    desk.override(TINA)
    desk.put_statement(desk.override_statement(DORA, role="Tech Lead"))
    assert overrides(desk.context()) == {}

    desk.override(QUINN)
    assert {"window"} == set(overrides(desk.context(authors=(QUINN.email,))))


def test_an_override_for_another_run_passes_over_nothing(desk: Desk) -> None:
    desk.put_statement(desk.override_statement(TINA, run=LATER_RUN))
    desk.put_statement(desk.override_statement(QUINN, run=LATER_RUN))

    assert overrides(desk.context()) == {}


def test_an_approval_is_no_override_and_an_override_no_approval(desk: Desk) -> None:
    desk.override(TINA)
    desk.override(QUINN)

    assert (desk.evaluation().counted, desk.evaluation().missing) == ((), ("Tech Lead", "QA Lead"))


def test_what_an_override_still_owes_is_said(desk: Desk) -> None:
    assert incomplete_override(desk.context(), "window") == ""
    desk.override(TINA)
    assert (
        incomplete_override(desk.context(), "window")
        == "tina@example.org signed for INC-7; another person must sign the same"
    )
    assert incomplete_override(desk.context(), "blackout") == ""

    desk.override(QUINN, hours=2)
    assert incomplete_override(desk.context(), "window") == ""

    desk.clock.move(timedelta(hours=2).total_seconds())
    said = incomplete_override(desk.context(), "window")
    assert "has expired at " in said
    assert "tina@example.org signed for INC-7" in said


def test_an_override_that_does_not_count_is_named_with_its_reason(desk: Desk) -> None:
    desk.put("override-window-a.json", render(desk.override_statement(TINA)), b"no signature")

    assert "override-window-a.json: does not verify for tina@example.org" in incomplete_override(
        desk.context(), "window"
    )
    assert [one.reason[:15] for one in refused_overrides(desk.context())] == ["does not verify"]
    assert desk.evaluation().refused == ()


def test_an_override_is_signed_again_where_it_ran_out_or_named_another_incident_and_not_before(desk: Desk) -> None:
    desk.override(TINA, incident="INC-70")
    desk.override(TINA, hours=1)
    with pytest.raises(Refused, match="has signed this already"):
        desk.override(TINA)
    desk.clock.move(3600)

    desk.override(TINA)
    desk.override(QUINN)

    assert {"window"} == set(overrides(desk.context()))
