"""What a log says of the time before: leases, claims, freezes, and the commit that served last."""

from __future__ import annotations

from datetime import timedelta

from pytest_deploy.gates.rate_limit import Claim
from pytest_deploy.gates.run_history import Past
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.log import Log
from pytest_deploy.record.run_state import LEASE_LIFE_S
from tests.unit.record.samples import NOON, PERSON, HandClock, Writing, deployed


def test_a_deployment_claims_from_its_first_change_on(log: Log, clock: HandClock) -> None:
    run = Writing(log).open().step("build").request()
    clock.move(7)
    run.step("traffic", changes=True)
    clock.move(7)

    assert (Claim(run.run, NOON + timedelta(seconds=7), True),) == Past(log).claims()

    run.close("deployed")
    assert (Claim(run.run, NOON + timedelta(seconds=7), False),) == Past(log).claims()


def test_what_changed_nothing_claims_only_while_it_is_open(log: Log) -> None:
    run = Writing(log).open().step("build", outcome="failed")
    assert [claim.open for claim in Past(log).claims()] == [True]

    run.close("failed")
    assert Past(log).claims() == ()


def test_smoke_alone_claims_nothing(log: Log) -> None:
    Writing(log, pipeline="smoke").open().step("smoke").close("passed")

    assert Past(log).claims() == ()


def test_a_lease_is_held_until_it_is_given_back_and_says_which_run_is_open(log: Log) -> None:
    assert Past(log).held() is None
    run = Writing(log).open()

    held = Past(log).held()

    assert held is not None
    assert (run.run, PERSON, NOON + timedelta(seconds=LEASE_LIFE_S), run.run) == (
        held.run, held.holder, held.until, held.open_run,
    )  # fmt: skip
    run.step("build", outcome="failed").close("failed")
    assert Past(log).held() is None


def test_a_renewed_lease_lasts_longer(log: Log, clock: HandClock) -> None:
    run = Writing(log).open()
    assert run.lease is not None
    clock.move(20)
    run.lease.renew()

    held = Past(log).held()

    assert held is not None
    assert NOON + timedelta(seconds=20 + LEASE_LIFE_S) == held.until


def test_a_freeze_stands_until_somebody_releases_it(log: Log) -> None:
    assert Past(log).frozen(lambda _released, _frozen: "") is None
    run = deployed(log)
    log.append("environment.frozen", {"reason": "rolled back"}, run=run, actor="system:pipeline")

    frozen = Past(log).frozen(lambda _released, _frozen: "")

    assert frozen is not None
    assert (run, "rolled back") == (frozen.run, frozen.reason)


def test_the_last_commit_is_that_of_the_newest_deployment(log: Log) -> None:
    assert Past(log).last_commit() is None
    Writing(log).open(commit="a" * 40).step("build").request().step("traffic", changes=True).close("deployed")
    Writing(log).open(commit="b" * 40).step("build", outcome="failed").close("failed")

    assert Past(log).last_commit() == "a" * 40


def test_a_log_is_read_once_and_as_it_was_then(log: Log) -> None:
    past = Past(log)
    assert len(past.events) == 1

    deployed(log)

    assert len(past.events) == 1
    assert past.of("-x") == []
    assert stamp(NOON) == stamp(past.events[0].time)
