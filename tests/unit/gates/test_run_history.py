"""What a log says of the time before: leases, claims, freezes, and the commit that served last."""

from __future__ import annotations

from datetime import timedelta

from pytest_deploy.gates.run_history import RunHistory
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.log import Log
from pytest_deploy.record.run_state import LEASE_LIFE_S
from tests.unit.record.samples import NOON, PERSON, HandClock, Writing, deployed


def test_a_lease_is_held_until_it_is_given_back_and_says_which_run_is_open(log: Log) -> None:
    assert RunHistory(log).held() is None
    run = Writing(log).open()

    held = RunHistory(log).held()

    assert held is not None
    assert (run.run, PERSON, NOON + timedelta(seconds=LEASE_LIFE_S), run.run) == (
        held.run, held.holder, held.until, held.open_run,
    )  # fmt: skip
    run.step("build", outcome="failed").close("failed")
    assert RunHistory(log).held() is None


def test_a_renewed_lease_lasts_longer(log: Log, clock: HandClock) -> None:
    run = Writing(log).open()
    assert run.lease is not None
    clock.move(20)
    run.lease.renew()

    held = RunHistory(log).held()

    assert held is not None
    assert NOON + timedelta(seconds=20 + LEASE_LIFE_S) == held.until


def test_a_freeze_stands_until_somebody_releases_it(log: Log) -> None:
    assert RunHistory(log).frozen(lambda _released, _frozen: "") is None
    run = deployed(log)
    log.append("environment.frozen", {"reason": "rolled back"}, run=run, actor="system:pipeline")

    frozen = RunHistory(log).frozen(lambda _released, _frozen: "")

    assert frozen is not None
    assert (run, "rolled back") == (frozen.run, frozen.reason)


def test_a_log_is_read_once_and_as_it_was_then(log: Log) -> None:
    history = RunHistory(log)
    assert len(history.events) == 1

    deployed(log)

    assert len(history.events) == 1
    assert history.of("-x") == []
    assert stamp(NOON) == stamp(history.events[0].time)
