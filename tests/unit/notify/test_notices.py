"""What people are told of a run: from its events alone, the same words whenever it is told."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import takewhile
from pathlib import Path

import pytest

from pytest_deploy.notify.notices import EXPIRES_SOON, MOST_FAILURES, Notice, expiring, of_run, unsent
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import RequestMade
from pytest_deploy.workspace import Workspace
from tests.unit.reports import sample_runs
from tests.unit.reports.sample_runs import RunBuilder

WORKSPACE = Workspace(Path("/checkout"), "production")


def told(events: list[Event]) -> dict[str, Notice]:
    return {notice.occasion: notice for notice in of_run(events, WORKSPACE)}


def test_a_release_that_serves_is_told_with_who_when_and_where_its_report_lies() -> None:
    events = sample_runs.deployed()
    notice = told(events)["succeeded"]

    opened = next(event for event in events if event.type == "run.opened")
    assert notice.subject == f"deployed: deploy of {opened.data['version']} to production"
    assert f"by        {opened.data['deployer']}, " in "\n".join(notice.lines)
    assert notice.lines[-1] == f"report    reports/production/runs/{opened.run}/report.html"


def test_a_run_that_starts_is_told_and_a_plan_is_not() -> None:
    assert told(sample_runs.deployed())["started"].subject.startswith("started: deploy of ")
    assert "started" not in told(sample_runs.planned())


def test_a_rollback_is_told_with_its_cause_and_what_serves_now() -> None:
    lines = told(sample_runs.rolled_back())["rolled-back"].lines

    assert lines[0].startswith("cause     ")
    assert "serving   1.3.2" in lines


def test_a_rollback_of_the_first_release_says_that_nothing_serves() -> None:
    lines = told(sample_runs.rolled_back(target="none"))["rolled-back"].lines

    assert "serving   none serves: no release had been deployed before" in lines


def test_a_plan_that_waits_for_people_says_what_is_needed_and_the_command() -> None:
    notice = told(sample_runs.planned()).get("approval-needed")

    assert notice is not None
    assert any(line.startswith("needed    ") for line in notice.lines)
    assert any(line.startswith("do        read it, then: `") and "approve" in line for line in notice.lines)


def test_events_that_open_no_run_are_told_to_nobody() -> None:
    assert told(sample_runs.refused_start()) == {}


def test_what_was_sent_is_not_sent_again_and_another_channel_gets_it_still() -> None:
    events = sample_runs.deployed()
    notices = list(of_run(events, WORKSPACE))
    builder = RunBuilder(run=events[0].run, now=events[-1].time, events=list(events))
    ended = notices[-1]
    builder.add("notification.sent", channel="json", recipients=["team"], subject=ended.subject, detail=ended.detail)

    assert ended not in list(unsent(notices, "team", builder.events))
    assert ended in list(unsent(notices, "QA", builder.events))


def test_a_channel_that_failed_is_asked_again_a_few_times_and_then_given_up() -> None:
    events = sample_runs.deployed()
    notices = list(of_run(events, WORKSPACE))
    builder = RunBuilder(run=events[0].run, now=events[-1].time, events=list(events))
    for _ in range(MOST_FAILURES):
        assert notices[-1] in list(unsent(notices, "team", builder.events))
        builder.add(
            "notification.failed",
            channel="json",
            recipients=["team"],
            subject="s",
            reason="no route",
            detail=notices[-1].detail,
        )

    assert notices[-1] not in list(unsent(notices, "team", builder.events))


def waiting() -> tuple[list[Event], datetime]:
    """A request that people approved and nobody ran yet, and when it expires."""
    events = list(takewhile(lambda event: event.type != "run.opened", sample_runs.approved()))
    expires = events[0].read(RequestMade).expires
    assert expires is not None
    return events, expires


@pytest.mark.parametrize(
    "before, is_told",
    [
        (EXPIRES_SOON, True),
        (EXPIRES_SOON + timedelta(seconds=1), False),
        (timedelta(seconds=1), True),
        (timedelta(0), False),
    ],
)
def test_an_approval_that_nobody_used_is_told_of_shortly_before_it_expires(before: timedelta, *, is_told: bool) -> None:
    events, expires = waiting()

    found = list(expiring(events, WORKSPACE, expires - before))

    assert [notice.occasion for notice in found] == (["approval-expires"] if is_told else [])


def test_a_request_that_nobody_approved_expires_without_a_word() -> None:
    events, expires = waiting()
    unsigned = [event for event in events if event.type != "approval.signed"]

    assert list(expiring(unsigned, WORKSPACE, expires - timedelta(hours=1))) == []
