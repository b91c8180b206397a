"""Several records asked as one; a run shown whole; what is not known said with what is like it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pytest_deploy.errors import RecordTampered, UsageError
from pytest_deploy.history.history import History
from pytest_deploy.history.index import Index, Stale
from pytest_deploy.history.runs import RunQuery
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import parse
from pytest_deploy.verify.verify import verify
from tests.unit.history.full_scan import write_log
from tests.unit.history.run_events import APPROVED, ASKED, IMAGE, OPENED, RAN, RUN, event
from tests.unit.record.sample_record import (
    NOON,
    HandClock,
    RunWriter,
    closed,
    deployed,
    open_log,
    step_finished,
    verdict,
)


@pytest.fixture
def two(tmp_path: Path) -> History:
    """Two records, their runs at turns."""
    logs = [open_log(tmp_path / name, HandClock()) for name in ("one", "two")]
    for turn in range(3):
        for log in logs:
            log.clock.move(60 * (turn + 1))  # type: ignore[attr-defined]  # a HandClock
            deployed(log)
            log.clock.move(7)  # type: ignore[attr-defined]
    return History({name: tmp_path / name / "reports" / "local" for name in ("one", "two")}, tmp_path / "state")


def test_the_runs_of_several_records_are_listed_together_newest_first(two: History) -> None:
    with two as history:
        listing = history.runs(RunQuery())
        newest = history.runs(RunQuery(), limit=3)

    assert (listing.total, len(listing.runs)) == (6, 6)
    began = [one.row.began for one in listing.runs]
    assert began == sorted(began, reverse=True)
    assert {"one", "two"} == {one.source for one in listing.runs}
    assert (6, listing.runs[:3]) == (newest.total, newest.runs)


def test_a_run_is_shown_with_all_its_events_and_the_heads_anchor(history: History, events: tuple[Event, ...]) -> None:
    run = history.runs(RunQuery(outcomes=("rolled-back",))).runs[0].row.run
    shown = history.show(run)

    assert tuple(event for event in events if event.run == run) == shown.events
    assert shown.anchors == ()


def test_the_anchor_of_a_run_is_one_the_log_answers_to(history: History, generated: Path) -> None:
    run = history.runs(RunQuery(), limit=1).runs[0].row.run

    assert verify(generated, anchor=history.show(run).checkpoint).checks[10].ok


def test_the_first_anchor_made_after_a_run_is_shown_with_it(tmp_path: Path) -> None:
    log = open_log(tmp_path, HandClock())
    first, second = deployed(log), deployed(log)
    _, _, size, root = log.checkpoint().split()
    data = {"kind": "github", "size": int(size), "root": root}
    made = [log.append(parse("anchor.made", data), run="-", actor="system:anchor").seq for _ in range(2)]
    third = deployed(log)
    with History({"local": tmp_path / "reports" / "local"}, tmp_path / "state") as history:
        seen = [[event.seq for event in history.show(run).anchors] for run in (first, second, third)]

    assert [made[:1], made[:1], []] == seen


def test_a_run_nobody_knows_is_told_by_what_is_like_it(history: History) -> None:
    with pytest.raises(UsageError, match="knows a run 'production-20260105T0000'; like it: production-20260105T00"):
        history.show("production-20260105T0000")
    with pytest.raises(UsageError, match=r"knows a run 'x'$"):
        history.show("x")


def test_what_an_answer_rests_on_is_what_it_was_asked_for_too(history: History, events: tuple[Event, ...]) -> None:
    (one,) = history.runs(RunQuery(requirement="REQ-o00006-B")).runs
    step = next(seq for seq in one.events if events[seq].type == "step.finished")

    assert events[step].data["verifies"] == ["REQ-o00006-B"]
    assert step not in one.row.events


def test_a_record_can_be_asked_without_believing_any_index(generated: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with History({"it": generated}, state) as history:
        before = history.runs(RunQuery())
    (place,) = state.iterdir()
    made = place.stat().st_ino
    with History({"it": generated}, state, rebuild=True) as history:
        assert before == history.runs(RunQuery())

    assert made != place.stat().st_ino


def test_a_request_that_was_voided_or_waits_is_listed_as_that(tmp_path: Path) -> None:
    log = open_log(tmp_path, HandClock())
    waits, voided = RunWriter(log).request(), RunWriter(log).request()
    voided.add("request.voided", {"cause": "the commit differs"})
    with History({"local": tmp_path / "reports" / "local"}, tmp_path / "state") as history:
        found = {one.row.run: one.row.outcome for one in history.runs(RunQuery()).runs}

    assert {waits.run: "requested", voided.run: "voided"} == found


def test_a_request_whose_start_was_refused_is_found_as_that_until_it_runs(tmp_path: Path) -> None:
    log = open_log(tmp_path, HandClock())
    refused, ran = RunWriter(log).request(), RunWriter(log).request()
    for run in (refused, ran):
        run.add("gate.refused", verdict("approvals", "still-needed", reason="approval missing: QA Lead"))
    place = {"local": tmp_path / "reports" / "local"}, tmp_path / "state"
    with History(*place) as history:
        before = {one.row.run for one in history.runs(RunQuery(outcomes=("refused",))).runs}
    ran.add("gate.passed", verdict("approvals", "passed"))
    ran.open(request_sha256=request_sha256(ran))
    with History(*place) as history:
        (left,) = history.runs(RunQuery(outcomes=("refused",))).runs

    assert {refused.run, ran.run} == before
    assert (left.row.run, left.row.cause) == (
        refused.run,
        "approvals: approval missing: QA Lead; the request stays live",
    )


def request_sha256(run: RunWriter) -> str:
    return next(str(event.data["request_sha256"]) for event in run.log.run(run.run) if event.type == "request.made")


def test_a_log_that_changes_while_it_is_read_is_no_answer(history: History) -> None:
    asked = []

    def question(index: Index) -> None:
        asked.append(index.state.size)
        raise Stale("log/00000007.event is not the event it was")

    with pytest.raises(RecordTampered, match=r"00000007\.event is not the event it was: the log of production changed"):
        history.ask("production", question)
    assert len(asked) == 2


FRIDAY, MONDAY = NOON, NOON + timedelta(days=3)
LATER = replace(OPENED, time=MONDAY)
REFUSED = event(9, "gate.refused", **verdict("window", "still-needed", reason="closed"))


@pytest.mark.parametrize(
    "events,expected",
    [
        ([ASKED, LATER, replace(event(9, "run.closed", **closed("deployed", RUN)), time=MONDAY)], "yes yes yes no"),
        ([ASKED, LATER], "yes yes yes yes"),
        ([ASKED, replace(event(9, "request.voided", cause="drift"), time=MONDAY)], "yes yes yes no"),
        ([ASKED, replace(REFUSED, time=MONDAY)], "yes yes yes no"),
        ([ASKED], "yes no no no"),
    ],
    ids=["ran later", "goes on", "voided later", "refused later", "waits"],
)
def test_a_range_of_dates_holds_whatever_went_on_in_it(tmp_path: Path, events: list[Event], expected: str) -> None:
    """Approved on Friday and run on Monday, it changed the environment on Monday: who asks for either day is told."""
    days = [(FRIDAY + timedelta(days=day), FRIDAY + timedelta(days=day + 1)) for day in (0, 1, 3, 4)]
    with History({"local": write_log(tmp_path, events)}, tmp_path / "state") as history:
        within = [history.runs(RunQuery(since=stamp(start), until=stamp(end))).total for start, end in days]
        before = history.runs(RunQuery(until=stamp(FRIDAY))).total

    assert " ".join("yes" if it else "no" for it in within) == expected
    assert before == 0


STEP = event(6, "step.finished", **{**step_finished("a::b", "smoke"), "verifies": ["REQ-o00043-K"]})
WHOLE = event(6, "step.finished", **{**step_finished("a::b", "smoke"), "verifies": ["REQ-o00043"]})
PART = event(6, "step.finished", **{**step_finished("a::b", "smoke"), "verifies": ["PARCEL-12.1"]})
APPROVAL = event(6, "approval.signed", **{**APPROVED, "printed_name": "Quinn Ö"})
MIGRATION = event(6, "migration.applied", version="0007", **RAN)
REVISION = event(6, "revision.deployed", revision="r-1", image=IMAGE, url=None, env_names=[])


@pytest.mark.parametrize(
    "query,fact,expected",
    [
        (RunQuery(approver="QUINN"), APPROVAL, True),
        (RunQuery(approver="quinn Ö"), APPROVAL, True),
        (RunQuery(approver="tina"), APPROVAL, False),
        (RunQuery(migration="0007"), MIGRATION, True),
        (RunQuery(migration="000"), MIGRATION, False),
        (RunQuery(requirement="REQ-o00043"), STEP, True),
        (RunQuery(requirement="REQ-o00043-K"), STEP, True),
        (RunQuery(requirement="REQ-o0004"), STEP, False),
        (RunQuery(requirement="REQ-o00043-K"), WHOLE, False),
        (RunQuery(requirement="PARCEL"), PART, True),
        (RunQuery(requirement="PARCEL-12"), PART, True),
        (RunQuery(requirement="PARCEL-1"), PART, False),
        (RunQuery(version="r-1"), REVISION, False),
    ],
)
def test_runs_are_found_by_what_one_event_says(tmp_path: Path, query: RunQuery, fact: Event, *, expected: bool) -> None:
    with History({"local": write_log(tmp_path, [OPENED, fact])}, tmp_path / "state") as history:
        assert (history.runs(query).total == 1) is expected


CLAIMED = event(5, "step.not-run", nodeid="a::b", phase="smoke", cause="closed", claims=["PARCEL-12"])
FAILED_STEP = {**step_finished("a::b", "smoke"), "outcome": "failed", "claims": ["PARCEL-12"], "verifies": []}
VERIFIED_STEP = {**step_finished("a::b", "smoke"), "claims": ["PARCEL-12"], "verifies": ["PARCEL-12"]}


@pytest.mark.parametrize(
    "said,result",
    [
        ([], None),
        ([CLAIMED], None),
        ([event(6, "step.finished", **VERIFIED_STEP)], "verified"),
        ([event(6, "step.finished", **FAILED_STEP)], "failed"),
        ([event(6, "step.finished", **VERIFIED_STEP), event(7, "step.finished", **FAILED_STEP)], "failed"),
        ([event(6, "step.finished", **FAILED_STEP), event(7, "step.finished", **VERIFIED_STEP)], "failed"),
    ],
)
def test_last_exercise_of_an_assertion_is_verified_or_failed_and_names_its_event(
    tmp_path: Path, said: list[Event], result: str | None
) -> None:
    with History({"local": write_log(tmp_path, [OPENED, *said])}, tmp_path / "state") as history:
        last = history.last_exercise("PARCEL-12")
        listed = history.runs(RunQuery(requirement="PARCEL-12")).runs
        known = history.assertions()

    assert (last and last.result) == result
    assert [one.results for one in listed] == ([(("PARCEL-12", result),)] if result else [])
    assert known == ({"PARCEL-12"} if said else set())
    if last is not None:
        assert last.event.type == "step.finished"
