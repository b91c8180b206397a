"""No other run holds the environment, and none was left open in it."""

from __future__ import annotations

from datetime import timedelta

from pytest_deploy.gates import lease
from pytest_deploy.gates.lease import HeldLease
from pytest_deploy.record.log import Log
from pytest_deploy.record.run_state import LEASE_LIFE_S, LogState
from tests.unit.gates.gate_samples import MINUTE, outcome_of, utc
from tests.unit.record.sample_record import NOON, PERSON, HandClock, RunWriter

RUN = "production-20261123T150000Z-0001"
AT = utc("2026-11-23T15:00")
LIVE = HeldLease(RUN, "dora", AT + 2 * MINUTE, RUN)
DEAD = HeldLease(RUN, "dora", AT, RUN)


def test_an_environment_nobody_holds_is_free() -> None:
    assert lease.judge(AT, None).passed


def test_a_live_lease_of_another_passes_by_itself_when_it_ends() -> None:
    verdict = lease.judge(AT, LIVE)

    assert outcome_of(verdict) == (False, "time")
    assert LIVE.until == verdict.earliest_start
    assert verdict.reason == f"run {RUN} of dora holds the environment until Monday 2026-11-23 15:02 UTC"


def test_a_lease_that_ended_under_an_open_run_wants_recovery() -> None:
    verdict = lease.judge(AT, DEAD)

    assert outcome_of(verdict) == (False, "mend")
    assert verdict.remedy == "`pytest-deploy recover production`"


def test_a_lease_that_ended_without_a_run_is_nobodys() -> None:
    assert lease.judge(AT, HeldLease(RUN, "dora", AT, None)).passed


def test_the_run_that_holds_it_goes_on() -> None:
    verdict = lease.judge(AT, LIVE, own=RUN)

    assert (
        verdict.passed,
        verdict.reason,
    ) == (True, "this run holds the environment until Monday 2026-11-23 15:02 UTC")


def test_a_run_whose_lease_ended_or_was_taken_or_is_gone_changes_nothing() -> None:
    found = [
        lease.judge(AT, DEAD, own=RUN),
        lease.judge(AT, LIVE, own="production-2"),
        lease.judge(AT, None, own=RUN),
    ]

    assert [outcome_of(verdict) for verdict in found] == [(False, "mend")] * 3
    assert [verdict.reason for verdict in found] == [
        "this run's lease ended Monday 2026-11-23 15:00 UTC",
        f"run {RUN} of dora has taken the environment over",
        "this run holds the environment no more",
    ]


def test_a_lease_is_held_until_it_is_given_back_and_says_which_run_is_open(log: Log) -> None:
    assert lease.held_lease(LogState.of(log.history())) is None
    run = RunWriter(log).open()

    held = lease.held_lease(LogState.of(log.history()))

    assert held is not None
    assert (run.run, PERSON, NOON + timedelta(seconds=LEASE_LIFE_S), run.run) == (
        held.run, held.holder, held.until, held.open_run,
    )  # fmt: skip
    run.step("build", outcome="failed").close("failed")
    assert lease.held_lease(LogState.of(log.history())) is None


def test_a_renewed_lease_lasts_longer(log: Log, clock: HandClock) -> None:
    run = RunWriter(log).open()
    assert run.lease is not None
    clock.move(20)
    run.lease.renew()

    held = lease.held_lease(LogState.of(log.history()))

    assert held is not None
    assert NOON + timedelta(seconds=20 + LEASE_LIFE_S) == held.until
