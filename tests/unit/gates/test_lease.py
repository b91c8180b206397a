"""No other run holds the environment, and none was left open in it."""

from __future__ import annotations

from pytest_deploy.gates.lease import Held, lease
from tests.unit.gates.facts import MINUTE, owes, utc

AT = utc("2026-11-23T15:00")
LIVE = Held("production-1", "dora", AT + 2 * MINUTE, "production-1")
DEAD = Held("production-1", "dora", AT, "production-1")


def test_an_environment_nobody_holds_is_free() -> None:
    assert lease(AT, None).passed


def test_a_live_lease_of_another_passes_by_itself_when_it_ends() -> None:
    verdict = lease(AT, LIVE)

    assert owes(verdict) == (False, "time")
    assert LIVE.until == verdict.earliest_start
    assert verdict.reason == "run production-1 of dora holds the environment until Monday 2026-11-23 15:02 UTC"


def test_a_lease_that_ended_under_an_open_run_wants_recovery() -> None:
    verdict = lease(AT, DEAD)

    assert owes(verdict) == (False, "mend")
    assert verdict.remedy == "python deploy.py recover ENV"


def test_a_lease_that_ended_without_a_run_is_nobodys() -> None:
    assert lease(AT, Held("production-1", "dora", AT, None)).passed


def test_the_run_that_holds_it_goes_on() -> None:
    verdict = lease(AT, LIVE, own="production-1")

    assert (
        verdict.passed,
        verdict.reason,
    ) == (True, "this run holds the environment until Monday 2026-11-23 15:02 UTC")


def test_a_run_whose_lease_ended_or_was_taken_or_is_gone_changes_nothing() -> None:
    found = [
        lease(AT, DEAD, own="production-1"),
        lease(AT, LIVE, own="production-2"),
        lease(AT, None, own="production-1"),
    ]

    assert [owes(verdict) for verdict in found] == [(False, "mend")] * 3
    assert [verdict.reason for verdict in found] == [
        "this run's lease ended Monday 2026-11-23 15:00 UTC",
        "run production-1 of dora has taken the environment over",
        "this run holds the environment no more",
    ]
