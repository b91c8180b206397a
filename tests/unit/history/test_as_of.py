"""What ran at an instant: traffic says which revision, its run says which release, who approved it, what was passed over."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from pytest_deploy.history.history import AsOf, History, Serving
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event
from pytest_deploy.reports.text import describe_moment
from tests.scale.generated_record import BEGINS, EVERY
from tests.unit.record.sample_record import (
    MOVED,
    SHA,
    HandClock,
    RunWriter,
    deployed,
    open_log,
    step_finished,
    step_started,
)


def serving_by_hand(events: tuple[Event, ...], instant: str) -> str:
    """The run whose revision got all the traffic last, by reading everything."""
    made: dict[str, str] = {}
    run = ""
    for event in events:
        if stamp(event.time) > instant:
            break
        if event.type == "revision.deployed":
            made[event.data["revision"]] = event.run
        elif event.type == "traffic.moved":
            (revision,) = event.data["after"]
            run = made.get(revision, "")
    return run


def made_by(serving: Serving) -> str:
    return serving.row.run if serving.row is not None else ""


@pytest.mark.parametrize("minutes", [-1, 0, 1, 3, 19, 57, 58, 59, 61, 118, 139, 200, 239, 10_000])
def test_what_served_is_what_traffic_was_moved_to(history: History, events: tuple[Event, ...], minutes: int) -> None:
    instant = stamp(BEGINS + timedelta(minutes=minutes, seconds=30))
    moment = history.as_of("production", instant)

    assert [serving_by_hand(events, instant)] == [made_by(one) for one in moment.serving] or not moment.serving
    assert bool(moment.serving) == any(e.type == "traffic.moved" and stamp(e.time) <= instant for e in events)


def test_a_release_that_was_rolled_back_is_not_what_served(history: History) -> None:
    """Run 14 of the record is rolled back: a minute after it the release of run 13 serves."""
    (serving,) = history.as_of("production", stamp(BEGINS + EVERY * 14 + timedelta(minutes=1))).serving

    assert serving.row is not None
    assert (serving.row.version, serving.row.outcome) == ("1.0.13", "deployed")


def test_while_a_run_is_open_it_is_named(history: History) -> None:
    instant = BEGINS + EVERY * 12 + timedelta(seconds=1)
    moment = history.as_of("production", stamp(instant))

    assert [f"production-{BEGINS + EVERY * 12:%Y%m%dT%H%M%SZ}-000c"] == list(moment.in_progress)
    assert history.as_of("production", stamp(instant + timedelta(minutes=2))).in_progress == ()


def test_a_moment_names_the_events_it_rests_on(history: History, events: tuple[Event, ...]) -> None:
    moment = history.as_of("production", stamp(BEGINS + EVERY * 5 + timedelta(minutes=1)))
    named = [events[seq].type for said in describe_moment(moment) for seq in said.events]

    assert {"request.made", "approval.signed", "override.signed", "traffic.moved", "run.closed"} <= set(named)


def moment_of(home: Path, clock: HandClock) -> AsOf:
    with History({"local": home / "reports" / "local"}, home / "state") as history:
        return history.as_of("local", stamp(clock.now()))


def test_before_anything_was_deployed_nothing_served(tmp_path: Path) -> None:
    open_log(tmp_path, clock := HandClock())

    moment = moment_of(tmp_path, clock)

    assert (moment.serving, moment.moved) == ((), None)
    assert [said.events for said in describe_moment(moment)] == [(), ()]


def test_two_revisions_may_share_the_traffic(tmp_path: Path) -> None:
    clock = HandClock()
    run = RunWriter(open_log(tmp_path, clock)).open()
    nodeid = "suites/traffic/test_traffic.py::test_it"
    run.add("phase.started", {"phase": "traffic"})
    run.add("step.started", step_started(nodeid, "traffic", changes=True))
    run.add("revision.deployed", {"revision": "new", "image": f"diary@sha256:{SHA}", "url": None, "env_names": []})
    run.add("traffic.moved", {"before": {"old": 100}, "after": {"new": 20, "old": 80, "gone": 0}, "digest": None})
    run.add("step.finished", step_finished(nodeid, "traffic"))
    moment = moment_of(tmp_path, clock)

    assert [("old", 80, ""), ("new", 20, run.run)] == [
        (one.revision, one.percent, made_by(one)) for one in moment.serving
    ]
    assert (run.run,) == moment.in_progress


def test_a_record_without_traffic_tells_of_the_run_that_deployed_last(tmp_path: Path) -> None:
    clock = HandClock()
    log = open_log(tmp_path, clock)
    run = RunWriter(log).open().step("build").close("deployed")
    moment = moment_of(tmp_path, clock)

    assert [("", run)] == [(one.revision, made_by(one)) for one in moment.serving]
    assert moment.moved is None


def test_a_revision_no_run_made_is_named_as_that(tmp_path: Path) -> None:
    clock = HandClock()
    deployed(open_log(tmp_path, clock))
    (serving,) = moment_of(tmp_path, clock).serving

    assert (serving.events, serving.row) == ((), None)
    assert serving.revision in MOVED["after"]


def test_an_instant_after_the_records_end_says_so(tmp_path: Path) -> None:
    """A typing error in the year, or a copy from last month: the last that is known is no answer for then."""
    clock = HandClock()
    log = open_log(tmp_path, clock)
    deployed(log)
    events = list(log.events())
    clock.move(3600)
    with History({"local": tmp_path / "reports" / "local"}, tmp_path / "state") as history:
        then, after = (history.as_of("local", instant) for instant in (stamp(events[-1].time), stamp(clock.now())))

    assert (then.newest, after.newest) == (None, events[-1])
    assert [said.events for said in describe_moment(after) if said.about == "known to"] == [(events[-1].seq,)]
    assert [said for said in describe_moment(then) if said.about == "known to"] == []
