"""What people signed after a run stands at the very thing it is about, in the current report alone."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_deploy.record.event import Event
from pytest_deploy.reports.run_page import render_run
from pytest_deploy.reports.run_summary import summarize
from pytest_deploy.reports.signatures import PostRun, deviations
from tests.unit.reports import sample_runs
from tests.unit.reports.parsed_page import Element, parse
from tests.unit.reports.post_run_events import FAILED, LEFT, REPEATED, acceptance, after, amendment
from tests.unit.reports.sample_runs import CHECKPOINT


def current(events: list[Event], *said: tuple[str, dict[str, Any]]) -> Element:
    return parse(render_run(events, checkpoint=CHECKPOINT, after=after(events, *said)))


def the(events: list[Event], type_: str, **data: Any) -> Event:
    (event,) = (e for e in events if e.type == type_ and data.items() <= e.data.items())
    return event


def remarks(place: Element, kind: str) -> list[str]:
    return [p.text for p in place.all("p", class_=kind)]


# --- accepted deviations


def test_an_accepted_deviation_says_on_its_own_row_who_accepted_it_in_which_role_when_and_why() -> None:
    events = sample_runs.rolled_back()
    whole = current(events, acceptance(FAILED))
    signed = after(events, acceptance(FAILED))[0]
    finished = the(events, "step.finished", nodeid=FAILED)

    told = "Accepted by Quinn <b>Assured</b> (quinn@example.org), QA Lead, 2026-11-22 20:15:"
    rows = {
        row.attributes["data-deviation"]: remarks(row, "accepted")
        for row in whole.one("table", class_="deviations").one("tbody").all("tr")
    }
    (said,) = rows.pop(str(finished.seq))
    assert said.startswith(told)
    assert said.endswith(f" UTC: known, harmless (event {signed.seq})")
    assert {tuple(others) for others in rows.values()} == {()}
    assert remarks(whole.one("tr", data_nodeid=FAILED), "accepted") == [said]
    count = whole.one("dd", id="deviation-count")
    assert count.text == f"{count.attributes['data-count']}, 1 accepted since"


def test_a_step_accepted_of_several_not_run_is_named_on_their_row() -> None:
    whole = current(sample_runs.rolled_back(), acceptance(LEFT))

    (said,) = remarks(whole.one("table", class_="deviations"), "accepted")
    assert said.startswith("Accepted for “traffic moves in steps” by Quinn")
    assert len(remarks(whole.one("tr", data_nodeid=LEFT), "accepted")) == 1


def test_of_two_who_accepted_both_are_named() -> None:
    whole = current(sample_runs.rolled_back(), acceptance(FAILED, "one"), acceptance(FAILED, "two"))

    assert len(remarks(whole.one("table", class_="deviations"), "accepted")) == 2
    assert ", 1 accepted since" in whole.one("dd", id="deviation-count").text


def test_a_warning_and_a_repetition_are_not_accepted_with_a_step_that_passed() -> None:
    events = sample_runs.deployed()
    about = [one for one in deviations(summarize(events)) if one.kind in {"warning", "repeated"}]

    assert len(about) == 2
    assert [PostRun(after(events, acceptance(REPEATED))).acceptances(one.steps) for one in about] == [(), ()]


def test_an_acceptance_that_names_no_step_stands_among_what_was_signed_since_alone() -> None:
    events = sample_runs.rolled_back()
    whole = current(events, ("deviation.accepted", {"deviation": "slow", "reason": "known"}))

    assert remarks(whole, "accepted") == []
    assert "accepts this deviation: slow: known" in whole.one("table", class_="later").text


# --- amendments


def test_a_deviation_bears_what_was_amended_of_itself_and_not_of_the_event_that_says_it() -> None:
    events = sample_runs.rolled_back()
    opened = the(events, "run.opened")
    said = [amendment(opened, "commit", "6" * 40), amendment(opened, "dirty", new=False)]
    row = next(current(events, *said).one("table", class_="deviations").all("tr", data_deviation=str(opened.seq)))

    (text,) = remarks(row, "amended")
    assert text.startswith("Amended: dirty, true → false, by Quinn")


@pytest.mark.parametrize("key", ["environment", "version", "commit", "deployer", "reason", "ticket", "python"])
def test_an_amended_fact_says_beside_itself_what_it_should_have_been_and_stays(key: str) -> None:
    events = sample_runs.deployed(ticket=None)
    opened = the(events, "run.opened")
    whole = current(events, amendment(opened, key, "as it should be"))

    facts = [e for e in whole.all("dl") if any(e.all("dd", data_opened=key))]
    stood = opened.data[key] or "nothing"
    assert next(whole.all("dd", data_opened=key)).text == stood
    said = f"Amended: {key}, {stood} → as it should be, by Quinn <b>Assured</b> (quinn@example.org), QA Lead, "
    assert any(text.startswith(said) for place in facts for text in remarks(place, "amended")), key


@pytest.mark.parametrize(
    "type_,about,key,place",
    [
        ("run.decided", {}, "cause", ("header", {})),
        ("step.finished", {"nodeid": FAILED}, "message", ("tr", {"data_nodeid": FAILED})),
        ("step.not-run", {"nodeid": LEFT}, "cause", ("tr", {"data_nodeid": LEFT})),
        ("gate.passed", {"gate": "clock"}, "reason", ("details", {"class_": "judged"})),
        ("backup.created", {}, "place", ("table", {"class_": "backups"})),
        ("migration.applied", {"version": "0007"}, "engine", ("table", {"class_": "migrations"})),
        ("revision.deployed", {}, "image", ("table", {"class_": "revisions"})),
    ],
)
def test_an_amended_value_is_marked_where_it_is_shown(
    type_: str, about: dict[str, Any], key: str, place: tuple[str, dict[str, str]]
) -> None:
    events = sample_runs.rolled_back()
    event = the(events, type_, **about)
    whole = current(events, amendment(event, key, "another"))

    tag, attributes = place
    for where in (whole.one(tag, **attributes), whole.one("tr", id=f"event-{event.seq}")):
        (said,) = remarks(where, "amended")
        assert " → another, by Quinn" in said


def test_a_second_amendment_follows_the_first() -> None:
    events = sample_runs.deployed()
    opened = the(events, "run.opened")
    whole = current(events, amendment(opened, "ticket", "A", old=None), amendment(opened, "ticket", "B", old="A"))

    row = whole.one("tr", id=f"event-{opened.seq}")
    assert [text.partition(", by")[0] for text in remarks(row, "amended")] == [
        "Amended: ticket, nothing → A",
        "Amended: ticket, A → B",
    ]


def test_the_sealed_report_has_none_of_it_and_no_place_for_it() -> None:
    events = sample_runs.rolled_back()
    sealed = render_run(events, checkpoint=CHECKPOINT)

    assert list(parse(sealed).all("p", class_="remark")) == []
    assert "accepted since" not in sealed
    whole = current(events, acceptance(FAILED), amendment(the(events, "run.opened"), "version", "2"))
    assert len(list(whole.all("p", class_="remark"))) > 2
