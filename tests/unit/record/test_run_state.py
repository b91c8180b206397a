"""What a log amounts to: counted runs, requests that wait, freezes, what serves."""

from __future__ import annotations

from datetime import timedelta

from pytest_deploy.record.events import parse
from pytest_deploy.record.log import Log
from pytest_deploy.record.run_state import CountedRun, LogState
from tests.unit.record.sample_record import NOON, SHA, HandClock, RunWriter, deployed


def test_a_deployment_counts_from_its_first_change_on(log: Log, clock: HandClock) -> None:
    run = RunWriter(log).open().step("build").request()
    clock.move(7)
    run.step("traffic", changes=True)
    clock.move(7)

    assert (CountedRun(run.run, NOON + timedelta(seconds=7), True),) == LogState.of(log.events()).counted_runs()

    run.close("deployed")
    assert (CountedRun(run.run, NOON + timedelta(seconds=7), False),) == LogState.of(log.events()).counted_runs()


def test_what_changed_nothing_counts_only_while_it_is_open(log: Log) -> None:
    run = RunWriter(log).open().step("build", outcome="failed")
    assert [one.is_open for one in LogState.of(log.events()).counted_runs()] == [True]

    run.close("failed")
    assert LogState.of(log.events()).counted_runs() == ()


def test_smoke_alone_does_not_count(log: Log) -> None:
    RunWriter(log, pipeline="smoke").open().step("smoke").close("passed")

    assert LogState.of(log.events()).counted_runs() == ()


def test_the_last_commit_is_that_of_the_newest_deployment(log: Log) -> None:
    assert LogState.of(log.events()).deployed_commit is None
    RunWriter(log).open(commit="a" * 40).step("build").request().step("traffic", changes=True).close("deployed")
    RunWriter(log).open(commit="b" * 40).step("build", outcome="failed").close("failed")

    assert LogState.of(log.events()).deployed_commit == "a" * 40


def test_a_rollback_by_hand_brings_an_earlier_commit_back_and_one_after_a_failure_brings_none(log: Log) -> None:
    RunWriter(log).open(commit="a" * 40).step("build").request().step("traffic", changes=True).close("deployed")
    RunWriter(log).open(commit="b" * 40).step("build").request().step("traffic", changes=True).roll_back().close(
        "rolled-back"
    )
    assert LogState.of(log.events()).deployed_commit == "a" * 40

    RunWriter(log, pipeline="rollback").open(commit="c" * 40).step("preflight").roll_back().close("rolled-back")

    assert LogState.of(log.events()).deployed_commit == "c" * 40


def test_a_request_waits_until_it_is_voided_or_opened(log: Log) -> None:
    run = RunWriter(log).request()
    assert [event.run for event in LogState.of(log.events()).pending_requests()] == [run.run]

    run.add("request.voided", {"cause": "drift"})

    assert LogState.of(log.events()).pending_requests() == ()


def test_a_request_that_a_run_makes_for_itself_waits_for_nobody(log: Log) -> None:
    RunWriter(log).open().step("build").request()

    assert LogState.of(log.events()).pending_requests() == ()


def test_a_freeze_keeps_what_was_signed_to_lift_it_and_a_new_one_begins_anew(log: Log) -> None:
    run = deployed(log)
    frozen = log.append(parse("environment.frozen", {"reason": "rolled back"}), run=run, actor="system:pipeline")
    signed = {"file": "f", "sha256": SHA, "signature_sha256": SHA, "signer": "ada@example.org", "reason": "mended"}
    lifted = log.append(parse("environment.released", signed), run="-", actor="ada@example.org")

    freeze = LogState.of(log.events()).freeze

    assert freeze is not None
    assert (freeze.event, freeze.thaws) == (frozen, (lifted,))
    log.append(parse("environment.frozen", {"reason": "again"}), run=run, actor="system:pipeline")
    again = LogState.of(log.events()).freeze
    assert again is not None
    assert again.thaws == ()


def test_what_serves_is_where_traffic_was_moved_last(log: Log) -> None:
    assert LogState.of(log.events()).traffic is None
    run = deployed(log)

    moved = LogState.of(log.events()).traffic

    assert moved is not None
    assert (moved.run, moved.type) == (run, "traffic.moved")


def test_open_runs_are_told_in_the_order_in_which_they_opened_plans_on_demand(log: Log) -> None:
    plan = RunWriter(log, pipeline="plan").open()
    run = RunWriter(log).open()
    state = LogState.of(log.events())

    assert state.open_runs() == (plan.run, run.run)
    assert state.open_runs(leased=True) == (run.run,)
    assert state.run(run.run).is_open
    assert not state.run("local-20261122T120000Z-ffff").is_open
