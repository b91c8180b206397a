"""A listing, a run and a moment in words: every statement with the events it rests on, nothing of weight left out."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.history.history import AsOf, History, Listed, Listing, RunEvents, Serving
from pytest_deploy.history.runs import Row
from pytest_deploy.record.event import Event
from pytest_deploy.reports.text import (
    KEYS,
    Sentence,
    describe_moment,
    describe_run,
    exceptions,
    listing_lines,
    moment_lines,
    run_lines,
)
from tests.unit.record.sample_record import (
    ACTOR,
    NOON,
    SHA,
    HandClock,
    RunWriter,
    decided,
    open_log,
    opened_data,
    verdict,
)

# Listings.


ROW = Row(
    "local-20261122T120000Z-0001", environment="local", pipeline="deploy", commit="0" * 40, version="1.2.0", digest="sha256:" + "1" * 64,
    deployer="local:1000:ada@desk", approvers=("tina@example.org", "quinn@example.org"), bypassed=("window",), outcome="deployed",
    began="2026-11-22T12:00:00.000Z", ended="2026-11-22T12:00:09.000Z", duration_s=9.5, events=(3, 4, 9),
)  # fmt: skip
ONE = Listing(1, (Listed("local", ROW, (3, 4, 5, 9)),))
NASTY = "=cmd|' /C calc'!A0\r\n\t\x1b[31m\u202e"


def nasty() -> Listing:
    row = Row(
        NASTY, version=NASTY, deployer=NASTY, cause=NASTY, began=NASTY, approvers=(NASTY,), outcome=NASTY, events=(1,)
    )
    return Listing(1, (Listed(NASTY, row, (1,)),))


def test_a_table_says_who_what_when_and_by_which_events() -> None:
    head, line, empty, count, events = listing_lines(ONE, "table")

    assert head.split() == [
        "began",
        "run",
        "pipeline",
        "outcome",
        "version",
        "commit",
        "deployer",
        "approvers",
        "bypassed",
        "took",
        "events",
        "cause",
    ]
    assert re.split(r"  +", line) == [
        "2026-11-22T12:00:00Z", ROW.run, "deploy", "deployed", "1.2.0", "00000000", "local:1000:ada@desk",
        "tina@example.org, quinn@example.org", "window", "9.50 s", "3-5, 9", "-",
    ]  # fmt: skip
    assert empty == ""
    assert count == "1 run; times are UTC"
    assert events.endswith("reports/local/log/")


def test_what_is_left_out_of_a_table_is_said() -> None:
    assert "7 runs, the newest 1 shown (--limit 0: all); times are UTC" in list(
        listing_lines(Listing(7, ONE.runs), "table")
    )


def test_a_run_with_a_corrected_value_says_so_beside_what_its_events_say() -> None:
    _, line, *_ = listing_lines(
        Listing(1, (Listed("local", replace(ROW, amended=("cause", "version")), (3, 4)),)), "table"
    )

    assert "  deployed (amended: cause, version)  1.2.0  " in line


def test_nothing_found_is_said() -> None:
    assert list(listing_lines(Listing(0, ()), "table")) == ["no matching run"]
    assert list(listing_lines(Listing(0, ()), "jsonl")) == []
    assert json.loads("".join(listing_lines(Listing(0, ()), "json"))) == {"total": 0, "runs": []}


def test_json_names_the_files_of_the_events() -> None:
    (run,) = json.loads("".join(listing_lines(ONE, "json")))["runs"]

    assert run["files"] == ["log/00000003.event", "log/00000004.event", "log/00000005.event", "log/00000009.event"]
    assert (run["store"], run["run"], run["approvers"]) == ("local", ROW.run, list(ROW.approvers))
    assert [run] == [json.loads(line) for line in listing_lines(ONE, "jsonl")]


def test_csv_reads_back() -> None:
    head, line = csv.reader(io.StringIO("\n".join(listing_lines(ONE, "csv"))))
    read = dict(zip(head, line, strict=True))

    assert (read["run"], read["approvers"], read["events"]) == (
        ROW.run,
        "tina@example.org; quinn@example.org",
        "3; 4; 5; 9",
    )


def test_csv_has_the_columns_of_json_and_its_head_where_nothing_was_found() -> None:
    (run,) = json.loads("".join(listing_lines(ONE, "json")))["runs"]

    assert set(run) == set(KEYS)
    assert [",".join(KEYS)] == list(listing_lines(Listing(0, ()), "csv"))


@pytest.mark.parametrize("form", ["table", "csv"])
def test_no_control_character_leaves_a_listing_for_eyes(form: str) -> None:
    said = "\n".join(listing_lines(nasty(), form))

    assert re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", said) is None
    assert "\\u001b" in said


# Runs and moments.


SIGNED = {"file": "f.json", "sha256": SHA, "signature_sha256": SHA, "signer": "quinn@example.org"}
RUN = "local-20261122T120000Z-0001"


def event(seq: int, event_type: str, **data: Any) -> Event:
    return Event(seq, "0" * 64, NOON, "0" * 16, event_type, RUN, ACTOR, data)


EVENTS = (
    event(1, "request.made", request_sha256=SHA, expires=None, requested_by="ada@example.org"),
    event(2, "approval.signed", **SIGNED, role="QA Lead", meaning="approves", request_sha256=SHA, printed_name="Quinn Quist",
          signed_at="2026-11-22T11:00:00.000Z", comment="after the fix"),
    event(3, "override.signed", **SIGNED, reason="patients wait", gate="window", incident="INC-7"),
    event(4, "run.opened", **opened_data(dirty=True, sets={"service.env.FAULT": "login"}, reason="the fix")),
    event(5, "run.planned", steps=1, conditional=0, steps_sha256=SHA),
    event(6, "gate.refused", gate="blackout", point="change", inputs={}, verdict="refused", reason="a holiday", earliest_start=None),
    event(7, "gate.passed", gate="window", point="change", inputs={"override": {"by": ["a", "b"]}}, verdict="passed",
          reason="overridden by a and b", earliest_start=None),
    event(8, "gate.passed", gate="clock", point="change", inputs={}, verdict="passed", reason="agrees", earliest_start=None),
    event(9, "backup.created", kind="pg_dump", place="x", bytes=9, sha256=None, restorable=True),
    event(10, "migration.applied", version="0007", sha256=SHA, duration_s=0.5, schema_before=None, schema_after=None, engine="pgmigrate"),
    event(11, "traffic.moved", before={"a": 100}, after={"b": 100}, digest=None),
    event(12, "step.finished", nodeid="suites/smoke/test_api.py::test_login_works", phase="smoke", outcome="failed", duration_s=1,
          verifies=[], attempts=1, message="500\nis no 200", warnings=[], expected=None, actual=None, attachments={}),
    event(13, "step.finished", nodeid="suites/smoke/test_api.py::test_fine", phase="smoke", outcome="passed", duration_s=1,
          verifies=[], attempts=1, message=None, warnings=[], expected=None, actual=None, attachments={}),
    event(14, "rollback.started", cause="smoke failed", order=["traffic"], target="1.1.0"),
    event(15, "rollback.finished", outcome="rolled-back", duration_s=3, target="1.1.0"),
    event(16, "run.decided", **decided("rolled-back", cause="smoke failed")),
    event(17, "run.closed", outcome="rolled-back", record="r", record_sha256=SHA, missing=[]),
    event(18, "notification.failed", channel="mail", subject="s", reason="no route"),
    event(19, "record.amended", **SIGNED, reason="a typing error", amends=4, key="reason", old="the fix", new="the other fix"),
    event(20, "record.amended", **SIGNED, reason="see the ticket"),
    event(21, "signoff.signed", **SIGNED, role="QA Lead", meaning="reviewed", record_sha256=SHA),
    event(22, "deviation.accepted", **SIGNED, reason="the old release is good", deviation="rolled back"),
)  # fmt: skip
REFUSED = (
    EVENTS[0],
    event(2, "gate.passed", **verdict("clock", "passed")),
    event(3, "gate.refused", **verdict("approvals", "still-needed", reason="approval missing: QA Lead")),
    event(4, "gate.refused", **verdict("window", "still-needed", reason="closed")),
    event(5, "gate.passed", **verdict("freeze", "passed")),
)
ANCHOR = event(23, "anchor.made", kind="github", size=23, root="cm9vdA==")
SHOWN = RunEvents("local", EVENTS, (ANCHOR,), "tlog deploy.example.org/local 23 cm9vdA==")
DESCRIBED = describe_run(SHOWN)


def test_a_refused_start_is_its_runs_outcome_and_rests_on_the_gates_that_refused() -> None:
    described = describe_run(RunEvents("local", REFUSED, (), "tlog deploy.example.org/local 6 cm9vdA=="))

    said = "refused: approvals: approval missing: QA Lead; window: closed; the request stays live"
    assert Sentence("outcome", said, (3, 4)) in described


@pytest.mark.parametrize(
    "about,text,seq",
    [
        ("run", f"{RUN}, in local", 1),
        ("outcome", "rolled-back in 2.00 s: smoke failed", 17),
        ("request", "Request made by ada@example.org", 1),
        ("approved", "Quinn Quist <quinn@example.org> as QA Lead, 2026-11-22T11:00:00.000Z: approves; after the fix", 2),
        ("override", "gate window for INC-7, signed by quinn@example.org: patients wait; signed by one, counts not yet", 3),
        ("who", "local:1000:ada@desk", 4),
        ("what", "deploy of 1.2.0, commit " + "0" * 40, 4),
        ("when", "opened 2026-11-22 12:00:00 UTC", 4),
        ("why", "the fix", 4),
        ("passed over", "the tree had uncommitted changes", 4),
        ("passed over", "set by hand: service.env.FAULT=login", 4),
        ("refused", "gate blackout at change: a holiday", 6),
        ("passed over", "gate window at change: overridden by a and b", 7),
        ("backup", "Backup pg_dump made, 9 bytes", 9),
        ("migration", "Migration 0007 applied in 0.50 s", 10),
        ("traffic", "Traffic moved: b 100 %; before: a 100 %", 11),
        ("step", "failed in smoke", 12),
        ("rollback", "Rollback started, back to 1.1.0: smoke failed", 14),
        ("rollback", "Rollback finished", 15),
        ("decided", "Decided: rolled-back, smoke failed", 16),
        ("closed", "Run closed", 17),
        ("not told", "no route", 18),
        ("amended", "event 4 reason: the fix -> the other fix; a typing error (quinn@example.org, 2026-11-22 12:00:00 UTC)", 19),
        ("amended", "the record; see the ticket", 20),
        ("signed off", "quinn@example.org as QA Lead, 2026-11-22 12:00:00 UTC: reviewed", 21),
        ("passed over", "rolled back, accepted by quinn@example.org: the old release is good", 22),
        ("anchored", "tlog deploy.example.org/local 23 cm9vdA==, github", 23),
        ("anchor", SHOWN.checkpoint, 22),
    ],
)  # fmt: skip
def test_a_run_is_told_in_words_with_the_event_behind_each(about: str, text: str, seq: int) -> None:
    assert [one for one in DESCRIBED if one.about == about and text in one.text and seq in one.events]


def test_gates_and_steps_that_passed_say_nothing() -> None:
    assert not [one for one in DESCRIBED if {8, 13} & set(one.events)]


def test_only_the_first_line_of_a_message_stands_in_a_line() -> None:
    (step,) = [one for one in DESCRIBED if one.about == "step"]

    assert step.text.endswith(": 500")


def test_a_table_has_one_line_a_statement_and_the_positions_at_its_end() -> None:
    lines = list(run_lines(SHOWN, "table"))

    assert len(DESCRIBED) == len(lines)
    assert lines[0] == f"run          {RUN}, in local  [1]"


def test_json_holds_the_words_and_the_events_whole() -> None:
    said = json.loads("".join(run_lines(SHOWN, "json")))

    assert len(DESCRIBED) == len(said["told"])
    assert [one.seq for one in EVENTS] == [one["seq"] for one in said["events"]]
    assert said["events"][0]["file"] == "log/00000001.event"
    assert said["events"][3]["data"]["commit"] == "0" * 40


def test_a_run_without_a_request_or_opening_is_still_told() -> None:
    told = describe_run(RunEvents("local", (event(5, "gate.refused", **EVENTS[5].data),), (), "tlog a 6 cm9vdA=="))

    assert [one.about for one in told] == ["run", "refused", "anchor"]


def moment(*serving: Serving, **changes: Any) -> AsOf:
    return AsOf(
        **{
            "source": "local",
            "instant": "2026-11-22T13:00:00.000Z",
            "serving": serving,
            "moved": EVENTS[10],
            "in_progress": (),
            **changes,
        }
    )


def texts(told: tuple[Sentence, ...], about: str) -> list[str]:
    return [one.text for one in told if one.about == about]


def test_a_moment_says_what_served_who_approved_it_and_what_was_passed_over() -> None:
    told = describe_moment(moment(Serving("b", 100, EVENTS)))

    assert "release 1.2.0 (b), artefact not recorded, commit " + "0" * 40 in texts(told, "served")
    assert texts(told, "deployer") == ["local:1000:ada@desk"]
    assert texts(told, "approved")[0].startswith("Quinn Quist <quinn@example.org> as QA Lead")
    assert len(exceptions(EVENTS)) == len(texts(told, "passed over")) == 4
    assert [one.events for one in told if one.about == "served"] == [(1, 11)]


def test_where_nobody_approved_and_nothing_was_passed_over_that_is_said() -> None:
    told = describe_moment(moment(Serving("", 100, (event(4, "run.opened", **opened_data()),)), moved=None))

    assert "by nobody" in texts(told, "approved")[0]
    assert texts(told, "passed over") == ["nothing"]


def test_shared_traffic_and_revisions_nobody_made_are_told() -> None:
    told = describe_moment(moment(Serving("old", 80, ()), Serving("b", 20, EVENTS), in_progress=(RUN,)))

    assert texts(told, "served")[0] == "80 % of the traffic: revision old, which no run of this record made"
    assert texts(told, "served")[1].startswith("20 % of the traffic: release 1.2.0 (b)")
    assert texts(told, "in progress") == [f"{RUN}: what served may have been on its way"]


def test_nothing_served_is_an_answer() -> None:
    assert texts(describe_moment(moment(moved=None)), "served") == ["nothing that this record knows of"]


@pytest.mark.parametrize("form,count", [("json", 1), ("jsonl", 2), ("csv", 5)])
def test_moments_are_told_to_programs_too(form: str, count: int) -> None:
    """Two environments in which nothing served: two statements each."""
    lines = list(moment_lines([moment(moved=None), moment(moved=None, source="other")], form))

    assert count == len(lines)
    assert "2026-11-22T13:00:00.000Z" in "".join(lines)


def test_environments_stand_apart_in_a_table() -> None:
    assert "" in list(moment_lines([moment(moved=None), moment(moved=None, source="other")], "table"))


def test_a_real_run_is_told_from_its_record(tmp_path: Path) -> None:
    log = open_log(tmp_path, HandClock())
    run = RunWriter(log).open().step("build").request().step("traffic", changes=True).close("deployed")
    with History({"local": tmp_path / "reports" / "local"}, tmp_path / "state") as history:
        shown = history.show(run)
    told = describe_run(shown)

    assert {seq for one in told for seq in one.events} <= {one.seq for one in shown.events}
    assert {"run", "outcome", "who", "what", "when", "request", "traffic", "decided", "closed", "anchor"} == {
        one.about for one in told
    }


def test_who_read_it_what_for_and_where_it_is_anchored_is_said() -> None:
    root = "r" * 43 + "="
    later = [
        event(20, "record.read", reader="A. Inspector, FDA", purpose="inspection 2033-114"),
        event(21, "record.read", reader="quinn@example.org"),
        event(22, "anchor.made", kind="copy", size=20, root=root, place="gs://anchors"),
        event(23, "anchor.made", kind="line", size=20, root=root),
    ]
    told = describe_run(RunEvents("local", (*EVENTS, *later), (), "tlog a 6 cm9vdA=="))

    assert texts(told, "read") == ["Read by A. Inspector, FDA: inspection 2033-114", "Read by quinn@example.org"]
    assert texts(told, "anchored") == ["Anchored at 20 events: copy, gs://anchors", "Anchored at 20 events: line"]


def test_an_override_counts_once_another_person_signed_the_same() -> None:
    def told(*signers: str, incident: str = "INC-7") -> list[str]:
        signed = [
            event(
                seq,
                "override.signed",
                **SIGNED | {"signer": signer},
                reason="r",
                gate="window",
                incident=incident if seq == 3 else "INC-7",
            )
            for seq, signer in enumerate(signers, 2)
        ]
        return [
            said.text for said in describe_run(replace(SHOWN, events=(EVENTS[0], *signed))) if said.about == "override"
        ]

    assert [text.endswith("counts not yet") for text in told("quinn@example.org")] == [True]
    assert [text.endswith("counts not yet") for text in told("quinn@example.org", "Quinn@example.org")] == [True, True]
    assert [text.endswith("counts not yet") for text in told("quinn@example.org", "tina@example.org")] == [False, False]
    assert [
        text.endswith("counts not yet") for text in told("quinn@example.org", "tina@example.org", incident="INC-8")
    ] == [True, True]
