"""report.html says what the events say: no more, no less, and nothing of it can act."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from string import Formatter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import TYPES
from pytest_deploy.record.plain_text import escape_hidden
from pytest_deploy.reports import run_summary
from pytest_deploy.reports.format import seconds
from pytest_deploy.reports.run_page import render_run
from tests.unit.reports import sample_runs
from tests.unit.reports.parsed_page import Element, parse
from tests.unit.reports.sample_runs import CHECKPOINT, RunBuilder

PAGES: dict[bytes, Element] = {}


def page(events: Sequence[Event]) -> Element:
    """The page, parsed; the same events are rendered once."""
    key = b"".join(event.line() for event in events)
    if key not in PAGES:
        PAGES[key] = parse(render_run(events, checkpoint=CHECKPOINT))
    return PAGES[key]


TOLD: dict[str, Callable[[], list[Event]]] = {"deployed": sample_runs.deployed, "rolled back": sample_runs.rolled_back}
every_run = pytest.mark.parametrize("events", [tell() for tell in TOLD.values()], ids=TOLD)


@every_run
def test_steps_of_the_page_are_the_steps_of_the_events(events: list[Event]) -> None:
    stated = {
        (event.data["nodeid"], event.data["phase"], event.data.get("outcome", "not-run"))
        for event in events
        if event.type in {"step.finished", "step.not-run"}
    }
    rows = [row.attributes for row in page(events).all("tr") if "data-nodeid" in row.attributes]

    assert stated == {(row["data-nodeid"], row["data-phase"], row["data-outcome"]) for row in rows}
    assert len(stated) == len(rows)


@every_run
def test_each_step_shows_its_duration_assertions_and_message(events: list[Event]) -> None:
    whole = page(events)
    for event in events:
        if event.type == "step.finished":
            row = whole.one("tr", data_nodeid=event.data["nodeid"])
            assert event.data["verifies"] == [span.text for span in row.one("td", class_="requirements").all("span")]
            assert seconds(event.data["duration_s"]) == list(row.all("td", class_="number"))[-1].text
            assert [event.data["message"]] * bool(event.data["message"]) == [e.text for e in row.all("pre")]
            warned = [e.text for e in row.all("p") if e.text.startswith("warning: ")]
            assert [f"warning: {escape_hidden(text)}" for text in event.data["warnings"]] == warned
            for key in ("expected", "actual"):
                told = [e.text for e in row.all("dd", class_=key)]
                assert told == [escape_hidden(event.data[key])] * (event.data["expected"] is not None)


@every_run
def test_each_step_not_run_says_why(events: list[Event]) -> None:
    whole = page(events)
    for event in events:
        if event.type == "step.not-run":
            row = whole.one("tr", data_nodeid=event.data["nodeid"])
            assert event.data["cause"] == row.one("p", class_="reason").text


@every_run
def test_phases_of_the_page_are_the_phases_of_the_events(events: list[Event]) -> None:
    begun = {e.data["phase"]: e.data["outcome"] for e in events if e.type == "phase.finished"}
    never = {e.data["phase"]: "not-run" for e in events if e.type == "step.not-run"}
    rows = list(page(events).one("table", class_="timeline").one("tbody").all("tr"))

    assert never | begun == {row.attributes["data-phase"]: row.attributes["data-outcome"] for row in rows}


def test_phases_stand_in_the_order_of_the_pipeline() -> None:
    rows = page(sample_runs.rolled_back()).one("table", class_="timeline").one("tbody").all("tr")

    assert [
        *(
            "build",
            "approval",
            "preflight",
            "backup",
            "migration",
            "deploy",
            "smoke",
            "traffic",
            "integration",
            "health",
        ),
        "rollback",
    ] == [row.attributes["data-phase"] for row in rows]


@every_run
def test_the_raw_events_are_the_events(events: list[Event]) -> None:
    rows = page(events).one("table", id="raw").one("tbody").all("tr")
    told = [
        (
            *(row.attributes["data-seq"], row.attributes["data-type"], row.one("span", class_="soft").text),
            *(row.one("time").attributes["datetime"], json.loads(row.one("td", class_="mono").text)),
        )
        for row in rows
    ]

    assert [(str(e.seq), e.type, escape_hidden(e.actor), stamp(e.time), e.data) for e in events] == told


@every_run
def test_the_cover_states_what_was_opened_and_decided(events: list[Event]) -> None:
    whole = page(events)
    opened, decided = events[0].data, events[-1].data

    for key in ("environment", "version", "commit", "deployer", "pipeline", "config_sha256", "spec_sha256"):
        assert opened[key] == whole.one("dd", data_opened=key).text
    assert decided["outcome"] == whole.one("h1").attributes["data-outcome"]
    assert str(decided["duration_s"]) == whole.one("dd", id="duration").attributes["data-seconds"]
    assert whole.one("dd", id="size").text == "214 events"


def test_a_deployment_says_so_in_plain_words() -> None:
    whole = page(sample_runs.deployed())

    assert whole.one("h1").text == "Deployed"
    assert whole.one("p", class_="lead").text == "Release 1.4.0 serves in local."
    assert whole.one("dd", id="counts").text == "16 passed, 2 not run"
    assert "None was needed." in whole.text


def test_a_rollback_says_what_serves_again() -> None:
    whole = page(sample_runs.rolled_back())

    assert whole.one("h1").text == "Rolled back"
    assert whole.one("p", class_="lead").text.endswith("what had been changed was undone. 1.3.2 serves again.")
    assert whole.one("p", id="cause").text == "smoke: valid credentials are accepted failed"
    assert "Serving when the run was decided: diary-00002-m4x 100 %." in whole.one("p", id="serving").text


@pytest.mark.parametrize("target", ["none", None])
def test_a_rollback_of_the_first_release_says_that_none_serves(target: Any) -> None:
    assert "No release had been deployed before; none serves now." in page(sample_runs.rolled_back(target=target)).text


@pytest.mark.parametrize("flag,name", [("dirty", "dirty"), ("rehearsal", "rehearsal")])
def test_a_banner_stands_only_where_it_is_true(flag: str, name: str) -> None:
    assert [len(list(page(sample_runs.deployed(**{flag: true})).all("p", id=name))) for true in (True, False)] == [1, 0]


@pytest.mark.parametrize("rehearsal", [True, False])
def test_a_rehearsals_tab_and_title_say_so(*, rehearsal: bool) -> None:
    (title,) = (
        found.text for found in page(sample_runs.deployed(rehearsal=rehearsal)).all("title") if "Deployed" in found.text
    )

    assert title.startswith("REHEARSAL, ") == rehearsal


def test_settings_changed_for_the_run_are_listed() -> None:
    listed = page(sample_runs.rolled_back()).one("dl", id="sets")

    assert [e.text for e in listed.children if not isinstance(e, str)] == ["service.env.FAULT", "login"]
    assert list(page(sample_runs.deployed()).all("dl", id="sets")) == []


def test_a_run_over_its_sla_says_so() -> None:
    builder = RunBuilder()
    builder.opened()
    builder.wait(700)
    builder.decided("failed", "too slow")

    assert page(builder.events).one("dd", id="duration").text == "11 min 41 s of 10 min allowed, exceeded"


@pytest.mark.parametrize("owed", [[], ["approval missing: QA Lead", "the window opens <Monday>"]])
def test_a_plan_shows_its_request_from_when_it_can_go_and_what_is_owed(owed: list[str]) -> None:
    builder = RunBuilder()
    builder.opened(pipeline="plan")
    start = "2026-11-23T14:00:00.000Z"
    builder.decided("passed", request="local-20261122T201500Z-9a7b", earliest_start=start, owed=owed)

    plan = page(builder.events).one("div", id="plan")

    assert "local-20261122T201500Z-9a7b" in plan.text
    assert start in plan.text
    assert [item.text for item in plan.all("li")] == owed


def test_a_run_that_is_no_plan_asks_for_nothing() -> None:
    assert list(page(sample_runs.deployed()).all("div", id="plan")) == []


def test_a_refusal_shows_every_gate_with_its_reason_and_every_signature() -> None:
    builder = RunBuilder()
    builder.opened(rehearsal=True, reason="monthly release")
    signed = {"file": "f", "sha256": "0" * 64, "signature_sha256": "1" * 64}
    builder.add(
        "approval.signed", **signed, role="QA Lead", signer="quinn@example.org", meaning="approved for release",
        request_sha256="2" * 64, printed_name="Quinn Q.", signed_at="2026-11-22T19:00:00.000Z",
    )  # fmt: skip
    builder.add("override.signed", **signed, signer="tina@example.org", reason="outage", gate="window")
    for name, reason in (("window", "closed on Sundays"), ("rate-limit", "a run 2 h ago")):
        builder.add(
            "gate.refused", gate=name, point="change", inputs={"zone": "America/New_York"}, verdict="refused",
            reason=reason, earliest_start="2026-11-23T14:00:00.000Z",
        )  # fmt: skip
    builder.add("approval.refused", signer=None, role=None, reason="a key nobody knows")
    builder.add("alert.raised", alert="clock", detail="1.2 s off")
    builder.decided("refused", "window, rate-limit")
    whole = page(builder.events)

    assert whole.one("p", class_="lead").text == (
        "Release 1.4.0 was not deployed to local: it may not go now. Nothing was changed."
    )
    assert [
        (row.one("th").text, row.one("span", class_="outcome").text)
        for row in whole.one("table", class_="gates").one("tbody").all("tr")
    ] == [("window", "refused"), ("rate-limit", "refused")]
    assert "window, signed by tina@example.org: outage" in whole.one("p", class_="override").text
    chronology = whole.one("table", class_="chronology").text
    for sentence in (
        "Gate window refused: closed on Sundays",
        "A signature was refused: a key nobody knows",
        "1.2 s off",
    ):
        assert sentence in chronology


@pytest.mark.parametrize(
    "pipeline,outcome,says",
    [
        ("smoke", "passed", "Smoke of Release 1.4.0 in local: every step passed."),
        ("iq", "not-passed", "IQ of Release 1.4.0 in local: not every step passed."),
        ("deploy", "rollback-failed", "failed in local, and undoing it failed too. A person is needed."),
    ],
)
def test_every_outcome_has_its_words(pipeline: str, outcome: str, says: str) -> None:
    builder = RunBuilder()
    builder.opened(pipeline=pipeline)
    builder.decided(outcome)

    assert says in page(builder.events).one("p", class_="lead").text


def test_a_plan_whose_gates_wait_does_not_say_that_every_step_passed() -> None:
    builder = RunBuilder()
    builder.opened(pipeline="plan")
    builder.phase("preflight", {
        "test_gates.py::test_window": {"outcome": "still-needed", "message": "closed"},
        "test_gates.py::test_anchors": {"outcome": "not-applicable", "message": "no rule"},
        "test_gates.py::test_clock": {},
    })  # fmt: skip
    builder.phase("approval", {"test_approvals.py::test_approvals": {"outcome": "not-applicable"}})
    builder.decided("still-needed")

    shown = page(builder.events)
    lead = shown.one("p", class_="lead").text
    assert "Plan of Release 1.4.0 in local: no step failed; 1 still needed, 2 not applicable." in lead
    assert [one.text for one in shown.all(class_="passed") if one.tag != "rect"] == ["passed"], "the step alone"
    assert shown.one(id="outcome").attributes["class"] == "outcome still-needed"
    told = {
        row.attributes["data-phase"]: row for row in shown.one("table", class_="timeline").all("tr") if row.attributes
    }
    for phase, outcome in {"preflight": "still-needed", "approval": "not-applicable"}.items():
        assert told[phase].attributes["data-outcome"] == outcome
        assert told[phase].one("rect", class_="phase").attributes["class"] == f"phase {outcome}"
    assert "Phase preflight: still needed in " in shown.one("table", class_="chronology").text


def test_what_began_and_never_ended_is_unfinished() -> None:
    builder = RunBuilder()
    builder.opened()
    builder.add("phase.started", phase="build")
    builder.add("step.started", nodeid="suites/build/test_a.py::test_it", phase="build", changes=False)
    builder.wait(3)
    builder.add("phase.finished", phase="odd", outcome="failed", duration_s=1.0, cause="a phase without a beginning")
    builder.add("step.finished", nodeid="suites/odd/test_b.py::test_it[a-b]", phase="odd", outcome="error",
                duration_s=0.0, verifies=[], attempts=1, message=None, warnings=[], expected=None, actual=None,
                attachments={})  # fmt: skip
    whole = page(builder.events)

    assert {"unfinished"} == {
        row.attributes["data-outcome"] for row in whole.all("tr") if row.attributes.get("data-phase") == "build"
    }
    assert whole.one("h1").text == "In progress"
    assert "The events end before the run was decided." in whole.text
    assert "it [a-b]" in whole.text


def test_a_sentence_asks_an_event_of_its_type_for_nothing_it_never_has() -> None:
    for event_type, sentence in run_summary._SENTENCES.items():
        asked = {name for _, name, _, _ in Formatter().parse(sentence) if name} - {"took"}
        assert {name.removeprefix("of.") for name in asked} <= set(TYPES[event_type].__struct_fields__), event_type


def test_without_an_opened_run_there_is_no_report() -> None:
    with pytest.raises(ValueError, match=r"no run\.opened"):
        render_run(sample_runs.deployed()[1:], checkpoint=CHECKPOINT)


@pytest.mark.parametrize("line", ["", "tlog a b c", "tlog a 1", "note a 1 c", "tlog a 1 c d"])
def test_without_an_anchor_line_there_is_no_report(line: str) -> None:
    with pytest.raises(ValueError, match="is no anchor"):
        render_run(sample_runs.deployed(), checkpoint=line)


HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}</pre></style>\u202e\x1b[31m&amp;"


def poisoned(value: Any) -> Any:
    """Every free text in a value made hostile; what schemas fix stays."""
    if isinstance(value, str):
        return value + HOSTILE
    if isinstance(value, list):
        return [poisoned(item) for item in value]
    if isinstance(value, dict):
        return {key: poisoned(item) for key, item in value.items()}
    return value


FIXED = {"phase", "outcome", "nodeid", "pipeline", "expires", "request_sha256", "sha256", "signature_sha256", "point"}


def poison(events: list[Event]) -> list[Event]:
    builder = RunBuilder()
    for event in events:
        if event.type not in {"run.planned", "gate.passed"}:
            data = {k: v if k in FIXED or k.endswith("sha256") else poisoned(v) for k, v in event.data.items()}
            builder.add(event.type, **data)
    return builder.events


@every_run
def test_nothing_an_event_holds_becomes_markup(events: list[Event]) -> None:
    harmless, hostile = page(events), page(poison(events))

    def tags(root: Element) -> set[str]:
        return {element.tag for element in root.all()}

    assert tags(harmless) >= tags(hostile)
    assert len(list(hostile.all("script"))) == 1
    assert not [e for e in hostile.all() if any(name.startswith("on") for name in e.attributes)]
    assert "<script>alert(1)</script>" in hostile.text
    assert "{{ 7*7 }}" in hostile.text


@every_run
def test_no_character_of_an_event_can_turn_or_hide_the_text_around_it(events: list[Event]) -> None:
    text = render_run(poison(events), checkpoint=CHECKPOINT)

    assert "\u202e" not in text
    assert "\x1b" not in text
    assert r"\u202e\u001b[31m" in text


@every_run
def test_the_page_asks_nothing_of_the_network(events: list[Event]) -> None:
    whole = page(events)
    links = [e.attributes[name] for e in whole.all() for name in ("src", "href", "action") if name in e.attributes]

    assert {"#"} == {link[0] for link in links}
    assert not re.search(r"url\(|@import", whole.one("style").text)
    assert [e.tag for e in whole.all() if e.tag in {"img", "link", "iframe", "form", "object"}] == []


@every_run
def test_the_pages_own_policy_allows_only_its_own_style_and_script(events: list[Event]) -> None:
    whole = page(events)
    policy = whole.one("meta", http_equiv="Content-Security-Policy").attributes["content"]

    def digest(tag: str) -> str:
        return base64.b64encode(hashlib.sha256(whole.one(tag).text.encode()).digest()).decode()

    assert policy.startswith("default-src 'none';")
    assert f"style-src 'sha256-{digest('style')}';" in policy
    assert f"script-src 'sha256-{digest('script')}';" in policy
    assert not [e for e in whole.all() if "style" in e.attributes]


@every_run
def test_the_page_can_be_walked_by_headings_tables_and_links(events: list[Event]) -> None:
    whole = page(events)
    ids = [e.attributes["id"] for e in whole.all() if "id" in e.attributes]
    levels = [int(e.tag[1]) for e in whole.all() if re.fullmatch("h[1-6]", e.tag)]

    assert len(set(ids)) == len(ids)
    assert {e.attributes["href"][1:] for e in whole.all("a")} <= set(ids)
    assert levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    assert all("scope" in cell.attributes for cell in whole.all("th"))
    assert all(next(table.all("thead")) for table in whole.all("table"))
    assert whole.one("html").attributes["lang"] == "en"
    for field in whole.all("input"):
        assert whole.one("label", **{"for": field.attributes["id"]})


def test_the_run_is_named_at_the_foot_of_every_sheet() -> None:
    assert 'content: "local-20261122T201500Z-4f1c"' in page(sample_runs.deployed()).one("style").text


def test_rendering_the_same_events_gives_the_same_bytes() -> None:
    assert render_run(sample_runs.deployed(), checkpoint=CHECKPOINT) == render_run(
        sample_runs.deployed(), checkpoint=CHECKPOINT
    )


@settings(max_examples=50)
@given(st.text())
def test_shown_text_keeps_every_visible_character(text: str) -> None:
    kept = escape_hidden(text)

    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", kept)
    assert re.sub(r"[^ -~]", "", text) == re.sub(r"[^ -~]|\\u[0-9a-f]{4}", "", kept) or "\\u" in text


@pytest.mark.parametrize(
    "value,text",
    [(None, "—"), (0.04, "0.04 s"), (9.99, "9.99 s"), (10, "10.0 s"), (59.94, "59.9 s"), (65, "1 min 05 s"),
     (600, "10 min"), (3599, "59 min 59 s"), (3720, "1 h 02 min")],
)  # fmt: skip
def test_durations_read_as_people_say_them(value: float | None, text: str) -> None:
    assert text == seconds(value)


def test_every_time_that_is_shown_tells_its_day() -> None:
    """A request and its signatures are often days older than the run: on paper nothing else tells."""
    events = sample_runs.approved()
    shown = list(parse(render_run(events, checkpoint=CHECKPOINT, after=sample_runs.post_run(events))).all("time"))

    assert len(shown) > len(events)
    assert [one.text for one in shown if not one.text.startswith(one.attributes["datetime"][:10])] == []
