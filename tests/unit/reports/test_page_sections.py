"""Each section of report.html and the events it is made of, both ways: nothing is left out, nothing is put in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pytest

from pytest_deploy.record.event import Event
from pytest_deploy.record.plain_text import escape_hidden
from pytest_deploy.reports.run_page import PageFiles, SchemaDiff, render_run
from tests.unit.reports import sample_runs
from tests.unit.reports.parsed_page import Element, parse
from tests.unit.reports.sample_runs import CHECKPOINT, RunBuilder

TOLD = {
    "deployed": sample_runs.deployed,
    "rolled back": sample_runs.rolled_back,
    "approved": sample_runs.approved,
    "planned": sample_runs.planned,
}
every_run = pytest.mark.parametrize("events", [tell() for tell in TOLD.values()], ids=TOLD)


PAGES: dict[bytes, Element] = {}


def page(events: Sequence[Event], **more: Any) -> Element:
    """The page, parsed; the same events without anything else are rendered once."""
    if more:
        return parse(render_run(events, checkpoint=CHECKPOINT, **more))
    key = b"".join(event.line() for event in events)
    if key not in PAGES:
        PAGES[key] = parse(render_run(events, checkpoint=CHECKPOINT))
    return PAGES[key]


def of(events: Sequence[Event], *types: str) -> list[Event]:
    return [event for event in events if event.type in types]


def numbers(whole: Element, name: str) -> list[int]:
    """The event numbers that elements with this data attribute carry, in order."""
    return [int(e.attributes[name]) for e in whole.all() if name in e.attributes]


# --- the cover


@every_run
def test_the_signatures_are_those_of_the_events_with_name_role_meaning_and_time(events: list[Event]) -> None:
    rows = [row for row in page(events).all("tr") if "data-signature" in row.attributes]
    told = [
        {
            **{cell.attributes["data-is"]: cell.text for cell in row.all() if "data-is" in cell.attributes},
            "signed_at": row.one("time").attributes["datetime"],
            "seq": int(row.attributes["data-signature"]),
        }
        for row in rows
    ]

    keys = ("printed_name", "signer", "role", "meaning", "signed_at")
    signed = of(events, "approval.signed", "override.signed")
    made = "not recorded what it was made with: 11.200(a)(1) is not shown to be met by this signature"
    assert told == [{**{key: event.data[key] for key in keys}, "seq": event.seq, "made_with": made} for event in signed]


@pytest.mark.parametrize(
    "said, words",
    [
        ("pin", "PIN and token"),
        ("touch", "touch of a token, one component: 11.200(a)(1) is not met by this signature"),
        ("none", "one component: 11.200(a)(1) is not met by this signature"),
    ],
)
def test_a_signatures_row_says_what_it_was_made_with(said: str, words: str) -> None:
    builder = RunBuilder()
    builder.opened()
    signed = {"file": "f", "sha256": "0" * 64, "signature_sha256": "1" * 64, "user_verification": said}
    builder.add("override.signed", **signed, signer="tina@example.org", reason="outage", gate="window")
    row = page(builder.events).one("table", class_="signatures").one("tbody").one("tr")

    assert [cell.text for cell in row.all() if cell.attributes.get("data-is") == "made_with"] == [words]


def test_a_run_nobody_signed_says_so() -> None:
    assert "Nobody signed for this run" in page(sample_runs.deployed()).one("p", id="unsigned").text
    assert list(page(sample_runs.approved()).all("p", id="unsigned")) == []


def test_an_override_whose_event_leaves_the_words_to_its_file_still_says_what_it_means() -> None:
    builder = RunBuilder()
    builder.opened()
    signed = {"file": "f", "sha256": "0" * 64, "signature_sha256": "1" * 64}
    builder.add("override.signed", **signed, signer="tina@example.org", reason="outage", gate="window")
    row = page(builder.events).one("table", class_="signatures").one("tbody").one("tr")

    assert [cell.text for cell in row.all() if "data-is" in cell.attributes][:4] == [
        "—", "tina@example.org", "—", "answers for passing over the gate window: outage",
    ]  # fmt: skip


@every_run
def test_deviations_and_overrides_are_counted_and_listed_with_their_events(events: list[Event]) -> None:
    whole = page(events)
    listed = numbers(whole, "data-deviation")

    assert len(listed) == int(whole.one("dd", id="deviation-count").attributes["data-count"])
    assert set(listed) <= {event.seq for event in events}
    assert numbers(whole, "data-override") == [event.seq for event in of(events, "override.signed")]
    gates = {event.data["gate"] for event in of(events, "gate.passed") if "override" in event.data["inputs"]}
    assert int(whole.one("dd", id="override-count").attributes["data-count"]) == len(gates)


def test_one_signature_of_an_override_is_no_override() -> None:
    builder = RunBuilder()
    builder.opened()
    builder.override("Tina Lead", "window")
    alone = page(builder.events).one("section", aria_label="Cover")
    builder.override("Max Manager", "window")
    both = page(builder.events).one("section", aria_label="Cover")

    assert alone.one("dd", id="override-count").text == "none"
    assert "signed by one, counts not yet" in alone.text
    assert "counts not yet" not in both.text


def test_a_rehearsal_says_so_above_everything_else() -> None:
    text = page(sample_runs.approved()).one("body").text

    assert text.index("REHEARSAL.") < text.index("Refused")


# --- gates


def gate_page() -> Element:
    return page(sample_runs.approved(), files=PageFiles(plan=tuple(sample_runs.planned())))


def test_every_verdict_of_plan_and_run_is_shown_once_with_its_reason_and_inputs() -> None:
    events = of([*sample_runs.planned(), *sample_runs.approved()], "gate.passed", "gate.refused")
    told = gate_page().all("div", class_="asking")

    assert sorted(event.seq for event in events) == sorted(int(e.attributes["data-verdict-of"]) for e in told)
    by_reason = {
        (event.seq, event.data["gate"]): (
            event.data["reason"],
            {k: escape_hidden(v) for k, v in event.data["inputs"].items()},
        )
        for event in events
    }
    for block in gate_page().all("details", class_="judged"):
        gate = block.one("summary").text.split()[0]
        for asking in block.all("div", class_="asking"):
            reason, inputs = by_reason.pop((int(asking.attributes["data-verdict-of"]), gate))
            pairs = [e.text for e in asking.one("dl").children if isinstance(e, Element)]
            assert reason in asking.one("p").text
            assert inputs == dict(zip(pairs[::2], pairs[1::2], strict=True))
    assert by_reason == {}


def test_a_gate_stands_at_each_point_it_was_asked_at() -> None:
    rows = gate_page().one("table", class_="gates").one("tbody").all("tr")
    told = {
        row.attributes["data-gate"]: {
            cell.attributes["data-point"]: [span.text for span in cell.all("span", class_="outcome")]
            for cell in row.all("td")
            if "data-point" in cell.attributes
        }
        for row in rows
    }

    assert told == {
        "approvals": {"plan": ["refused"], "lease": ["passed"], "preflight": ["passed"], "change": ["passed"]},
        "window": {"plan": ["refused"], "lease": ["overridden"], "preflight": ["overridden"], "change": ["refused"]},
    }


def test_a_gate_that_was_not_asked_at_a_point_shows_no_verdict_there() -> None:
    row = page(sample_runs.deployed()).one("tr", data_gate="clock")

    assert [
        len(list(row.one("td", data_point=point).all("span", class_="outcome"))) for point in ("plan", "change")
    ] == [0, 1]


# --- requirements


@every_run
def test_the_matrix_is_what_the_steps_say_they_verify(events: list[Event]) -> None:
    stated: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for event in of(events, "step.finished", "step.not-run"):
        for name in {*event.data.get("claims", []), *event.data.get("verifies", [])}:
            stated[name].add((event.data["nodeid"], event.data.get("outcome", "not-run")))
    steps = (row.attributes for row in page(events).all("tr") if "data-nodeid" in row.attributes)
    nodeids = {step["id"]: step["data-nodeid"] for step in steps}
    told = {
        row.attributes["data-assertion"]: {
            (nodeids[cell.one("a").attributes["href"][1:]], cell.attributes["data-outcome"])
            for cell in row.all("td")
            if "data-outcome" in cell.attributes
        }
        for row in page(events).all("tbody")
        if "data-assertion" in row.attributes
    }

    assert told == stated


def test_an_assertion_failed_where_one_of_its_steps_did_and_was_not_exercised_where_none_ran() -> None:
    whole = page(sample_runs.rolled_back())
    outcomes = {
        row.attributes["data-assertion"]: row.attributes["data-outcome"]
        for row in whole.all("tbody")
        if "data-assertion" in row.attributes
    }

    assert outcomes["REQ-o00043-H"] == "failed"
    assert outcomes["REQ-o00043-G"] == "verified"
    of_deployed = page(sample_runs.deployed()).one("tbody", data_assertion="REQ-o00043-I")
    assert of_deployed.attributes["data-outcome"] == "not-exercised"


def test_assertions_stand_in_the_order_of_their_numbers() -> None:
    builder = RunBuilder()
    builder.opened()
    builder.phase("build", {"test_a.py::test_it": {"verifies": ["REQ-10-A", "REQ-9-B", "REQ-9-A"]}})
    rows = page(builder.events).one("table", class_="matrix").all("tbody")

    assert [row.attributes["data-assertion"] for row in rows] == ["REQ-9-A", "REQ-9-B", "REQ-10-A"]


REGISTER = {"REQ-9-A": "The system SHALL <b>do</b> it.", "REQ-9-B": "The system SHALL do that.", "REQ-9-C": ""}


def test_every_requirement_of_the_register_has_its_row_with_its_text_exercised_or_not() -> None:
    builder = RunBuilder()
    builder.opened()
    builder.phase("build", {"test_a.py::test_it": {"verifies": ["REQ-9-B", "REQ-10-A", "REQ-o00043-E"]}})
    whole = page(builder.events, files=PageFiles(register=REGISTER))

    rows = {row.attributes["data-assertion"]: row for row in whole.one("table", class_="matrix").all("tbody")}

    assert {name: row.attributes["data-outcome"] for name, row in rows.items()} == {
        "REQ-9-A": "not-exercised",
        "REQ-9-B": "verified",
        "REQ-9-C": "not-exercised",
        "REQ-10-A": "verified",
        "REQ-o00043-E": "verified",
    }
    assert all(text in rows[name].text for name, text in REGISTER.items())
    assert "not in the register" in rows["REQ-10-A"].text
    assert "of pytest-deploy's own specification; its standard steps name it" in rows["REQ-o00043-E"].text
    assert not any("not in the register" in rows[name].text for name in (*REGISTER, "REQ-o00043-E"))
    evidence = next(event.seq for event in builder.events if event.type == "step.finished")
    assert rows["REQ-9-B"].one("a", href=f"#event-{evidence}").text == str(evidence)
    assert not list(whole.all(id="unregistered"))


def test_page_without_the_text_of_the_register_says_so() -> None:
    told = page(sample_runs.deployed()).one(id="unregistered").text

    assert told.startswith(f"The text of the requirements was not at hand when this was made (SHA-256 {'5e' * 32})")


def test_page_of_a_project_without_a_register_says_so() -> None:
    told = page(sample_runs.deployed(spec_sha256=None)).one(id="unregistered").text

    assert told == "No register is named (requirements: of deploy.yaml): only what steps name stands here."


@pytest.mark.parametrize("verdict", ["passed", "refused", "still-needed", "not-applicable"])
def test_the_four_results_of_gates_and_steps_are_not_folded_into_each_other(verdict: str) -> None:
    builder = RunBuilder()
    builder.opened(pipeline="plan")
    kind = "refused" if verdict == "still-needed" else verdict
    builder.add(
        f"gate.{kind}", gate="window", point="plan", inputs={}, verdict=verdict, reason="why",
        earliest_start="2026-11-23T14:00:00.000Z" if verdict == "still-needed" else None,
    )  # fmt: skip
    builder.phase(
        "preflight", {"test_gates.py::test_window": {"outcome": "failed" if verdict == "refused" else verdict}}
    )
    whole = page(builder.events)

    assert [mark.attributes["class"] for mark in whole.one("tr", data_gate="window").all("span", class_="outcome")] == [
        f"outcome {verdict}"
    ]
    step = whole.one("tr", data_nodeid="suites/preflight/test_gates.py::test_window")
    assert bool(list(step.all("span", class_="passed"))) == (verdict == "passed")


def test_what_failed_is_linked_to_its_steps_also_those_of_a_rollback() -> None:
    builder = RunBuilder()
    builder.opened()
    builder.phase("smoke", {f"test_api.py::test_{at}": {"outcome": "failed"} for at in range(6)})
    builder.phase("rollback", {"test_restore.py::test_traffic_is_what_it_was": {"outcome": "error"}})
    builder.decided("rollback-failed", 'smoke failed: "0" (and 5 more steps)', exit_code=20)
    whole = page(builder.events)

    *first, rest = whole.one(id="failed-steps").all("a")

    rows = {row.attributes["id"]: row for row in whole.all("tr") if "data-nodeid" in row.attributes}
    assert [rows[link.attributes["href"][1:]].attributes["data-nodeid"] for link in first] == [
        "suites/rollback/test_restore.py::test_traffic_is_what_it_was",
        *(f"suites/smoke/test_api.py::test_{at}" for at in range(4)),
    ]
    assert rest.text == "and 2 more"


# --- what was changed


@every_run
def test_migrations_revisions_and_rollback_are_those_of_the_events(events: list[Event]) -> None:
    whole = page(events)

    for name, types in {
        "data-migration": ("migration.applied", "migration.rolled-back"),
        "data-revision": ("revision.deployed", "traffic.moved"),
        "data-rollback": ("rollback.started", "rollback.finished"),
    }.items():
        assert numbers(whole, name) == [event.seq for event in of(events, *types)]
    for event in of(events, "migration.applied", "migration.rolled-back"):
        row = whole.one("tr", data_migration=str(event.seq))
        assert event.data["version"] in row.one("th").text
        assert {event.data[key]["sha256"] for key in ("schema_before", "schema_after")} == {
            cell.attributes["title"] for cell in row.all("span", class_="mono")
        }


def test_the_schema_diff_is_shown_with_its_digest_and_nothing_in_it_becomes_markup() -> None:
    text = "--- before\n+++ after\n+create table <b>x</b>\n-drop\n-- took 1 s"
    diff = SchemaDiff("applied", "runs/r/schema/diff.txt", "d1" * 32, text, more=7)
    block = page(sample_runs.deployed(), files=PageFiles(diff=diff)).one("details", class_="diff")

    assert block.one("pre").text.splitlines() == text.splitlines()
    assert [e.text for e in block.all("ins")] == ["+create table <b>x</b>"]
    assert [e.text for e in block.all("del")] == ["-drop"]
    assert block.one("span", id="diff-sha256").text == "d1" * 32
    assert "7 more lines" in block.text


def test_an_empty_diff_says_that_the_schema_stayed() -> None:
    diff = SchemaDiff("applied", "f", "d1" * 32, "", more=0)

    assert (
        "The schema stayed as it was."
        in page(sample_runs.deployed(), files=PageFiles(diff=diff)).one("details", class_="diff").text
    )
    assert list(page(sample_runs.deployed()).all("details", class_="diff")) == []


# --- response times


@every_run
def test_every_sample_of_the_events_is_drawn_and_none_besides(events: list[Event]) -> None:
    whole = page(events)
    stated = {
        (event.data["nodeid"], label): samples
        for event in of(events, "step.finished")
        for label, samples in event.data.get("measured", {}).get("samples", {}).items()
    }
    rows = {
        (row.attributes["data-answers"], row.attributes["data-label"]): row
        for row in whole.all("tr")
        if "data-answers" in row.attributes
    }

    assert rows.keys() == stated.keys()
    for key, samples in stated.items():
        drawn = [e for e in rows[key].all("rect") if e.attributes["class"] in {"sample", "late", "failed"}]
        assert len(drawn) == len(samples)
        if len(samples) >= 3:
            told = [e.attributes["data-sample"].split() for e in rows[key].all("li")]
            assert told == [[str(part) for part in sample] for sample in samples]


def test_an_answer_that_never_came_is_drawn_as_failed_and_counted() -> None:
    row = page(sample_runs.deployed()).one("tr", data_label="GET /health")

    assert [e.attributes["class"] for e in row.all("rect")].count(
        "failed"
    ) == 2  # no answer, and the server's own fault
    assert "2 failed" in row.text
    assert "no answer" in row.one("ol").text


def test_without_a_measurement_the_page_says_so() -> None:
    assert "No step of this run measured any." in page(sample_runs.rolled_back()[:3]).text


# --- what it ran with


@every_run
def test_versions_and_digests_are_those_the_run_was_opened_with(events: list[Event]) -> None:
    whole = page(events)
    opened = of(events, "run.opened")[0].data

    for name, key in (("plugins", "plugins"), ("plugins-kept-out", "plugins_kept_out")):
        pairs = [e.text for e in whole.one("dl", id=name).children if isinstance(e, Element)]
        assert dict(zip(pairs[::2], pairs[1::2], strict=True)) == opened[key]
    for key in ("python", "config_sha256", "spec_sha256", "suites_sha256", "lock_sha256"):
        assert whole.one("dd", data_opened=key).text == opened[key]


TRAINING = "LMS course DEP-100 <script>alert(1)</script>"


@pytest.mark.parametrize(
    "recorded,told",
    [
        ({}, ["none recorded"] * 3),
        ({"organisation": {"name": "Example"}}, ["Example", "none recorded", "none recorded"]),
        (
            {"organisation": {"name": "Example", "references": {"training": TRAINING, "letter_to_fda": None}}},
            ["Example", TRAINING, "none recorded"],
        ),
    ],
    ids=["an older record", "no references", "one reference"],
)
def test_the_organisations_references_are_those_the_run_was_opened_with(
    recorded: dict[str, Any], told: list[str]
) -> None:
    facts = page(sample_runs.deployed(**recorded)).one("dl", id="organisation")

    assert [fact.text for fact in facts.all("dd")] == told


# --- time


def test_durations_are_told_with_and_without_the_watch() -> None:
    whole = page(sample_runs.deployed())

    assert whole.one("td", data_unwatched="health").text == "0.10 s"
    decided = sample_runs.deployed()[-1].data
    assert whole.one("td", id="unwatched").text == f"{decided['duration_s'] - decided['watch_s']:.1f} s"
    assert "without the 2.00 s it watched" in whole.one("figcaption", id="sla").text


def test_a_run_that_watched_nothing_has_no_such_column() -> None:
    assert "Without the watch" not in page(sample_runs.rolled_back()).text


# --- the current report


def current(events: list[Event]) -> Element:
    return page(events, after=sample_runs.post_run(events))


def test_the_sealed_report_says_nothing_of_what_came_after() -> None:
    whole = page(sample_runs.deployed())

    assert [e for e in whole.all() if e.attributes.get("id") in {"after", "current", "later"}] == []


def test_a_current_report_says_that_it_is_not_the_sealed_one_and_lists_every_later_event() -> None:
    events = sample_runs.deployed()
    whole = current(events)

    assert "not the sealed one" in whole.one("p", id="current").text
    rows = whole.one("table", id="later").one("tbody").all("tr")
    assert [int(row.attributes["data-seq"]) for row in rows] == [event.seq for event in sample_runs.post_run(events)]


def test_a_current_report_keeps_later_signatures_apart_from_those_of_the_run() -> None:
    whole = current(sample_runs.approved())

    later = whole.one("table", class_="later").one("tbody")
    assert [row.one("span", data_is="meaning").text for row in later.all("tr")] == [
        "has reviewed this record", f"amends event {sample_runs.approved()[0].seq}: the ticket was left out", "accepts this deviation: passed at the second attempt: known, harmless",
    ]  # fmt: skip
    of_the_run = next(whole.all("table", class_="signatures"))
    assert len(list(of_the_run.one("tbody").all("tr"))) == len(
        of(sample_runs.approved(), "approval.signed", "override.signed")
    )


def test_an_amendment_is_marked_at_the_event_it_amends_which_stays_as_it_is() -> None:
    events = sample_runs.deployed()
    whole = current(events)

    row = whole.one("table", id="raw").one("tr", data_seq=str(events[0].seq))
    assert "Amended: ticket, nothing → CHG-12, by Quinn Assured" in row.one("p", class_="amended").text
    assert '"commit": "5f1c0a9be2d47e6610c3f6a2f1d7c9b08a34e5d1"' in row.text
    amended = whole.one("tr", data_amendment=str(sample_runs.post_run(events)[3].seq))
    assert [cell.text for cell in amended.all("td")][1:5] == [
        "ticket",
        "nothing",
        "CHG-12",
        "the ticket was left out; signed by one, counts not yet",
    ]


def test_a_current_report_of_a_run_nothing_was_said_of_since_says_so() -> None:
    assert "Nothing was recorded of this run since." in page(sample_runs.deployed(), after=[]).text


# --- size


def test_a_report_of_a_thousand_steps_stays_below_three_megabytes() -> None:
    builder = RunBuilder()
    builder.opened()
    names = ["build", "preflight", "smoke", "integration"]
    for name in names:
        steps = {
            f"test_concern_{at // 20}.py::test_step_{at}_does_what_it_says_it_does": {
                "verifies": ["REQ-o00043-H", "REQ-o00044-R"],
                "expected": {"status": 200, "rows": at},
                "actual": {"status": 200, "rows": at, "body": "x" * 80},
                "measured": {"samples": {f"GET /entries/{at}": [[0.01, 0.0312, 200]]}},
            }
            for at in range(250)
        }
        builder.phase(name, steps)
    builder.decided("passed")

    assert len(render_run(builder.events, checkpoint=CHECKPOINT).encode()) < 3_000_000


# --- what it ran with


def test_the_programs_it_went_by_are_told_by_path_version_and_digest() -> None:
    git = {"path": "/usr/bin/git", "version": "git version 2.47.3", "sha256": "91" * 32}
    dump = {"path": "/opt/18/bin/pg_dump", "version": "pg_dump (PostgreSQL) 18.1", "sha256": "92" * 32}
    run = RunBuilder()
    run.opened(programs={"git": git})
    run.add("backup.created", kind="pg_dump-custom", place="x", bytes=1, sha256=None, restorable=None, program=dump)

    shown = page([*run.events, sample_runs.deployed()[-1]]).one("dl", id="programs")

    assert [one.text for one in shown.all("dd")] == [
        f"/usr/bin/git (git version 2.47.3), SHA-256 {'91' * 32}",
        f"/opt/18/bin/pg_dump (pg_dump (PostgreSQL) 18.1), SHA-256 {'92' * 32}",
    ]


def test_a_run_of_before_programs_were_told_says_nothing_of_them() -> None:
    assert [one for one in page(sample_runs.deployed()).all("dl") if one.attributes.get("id") == "programs"] == []
