"""Diary entries over HTTP: created, read, changed, deleted; nothing overwritten, nothing of others seen."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from tests.unit.diary.conftest import Person

CHANGE = {"day": "2026-11-21", "text": "slept badly", "score": 2}


def test_a_new_entry_is_version_1_and_can_be_read_at_its_place(alice: Person) -> None:
    created = alice.call("POST", "/entries", {"day": "2026-11-22", "text": "slept well", "score": 7})

    read = alice.call("GET", created.headers["Location"])
    assert (created.status_code, read.status_code) == (201, 200)
    assert read.json() == created.json()
    assert {"version": 1, "day": "2026-11-22", "text": "slept well", "score": 7, "deleted": False}.items() <= (
        read.json().items()
    )


def test_an_entry_with_faulty_fields_is_refused_and_nothing_is_written(alice: Person) -> None:
    before = alice.call("GET", "/entries").json()

    refused = alice.call("POST", "/entries", {"day": "yesterday", "score": 11})

    assert (422, {"day", "text", "score"}) == (refused.status_code, set(refused.json()["fields"]))
    assert before == alice.call("GET", "/entries").json()


def test_a_change_of_the_version_that_was_seen_appends_a_version(alice: Person) -> None:
    entry = alice.write()

    second = alice.call("PUT", f"/entries/{entry}", {**CHANGE, "version": 1, "reason": "a typing error"})
    third = alice.call("PUT", f"/entries/{entry}", CHANGE, If_Match=second.headers["ETag"])

    assert (second.status_code, second.json()["version"], second.json()["reason"]) == (200, 2, "a typing error")
    assert (third.status_code, third.json()["version"], third.headers["ETag"]) == (200, 3, '"3"')


@pytest.mark.parametrize("seen", [{}, {"version": 2}])
def test_a_change_that_did_not_see_the_current_version_is_refused(alice: Person, seen: dict[str, int]) -> None:
    entry = alice.write()

    refused = alice.call("PUT", f"/entries/{entry}", CHANGE | seen)

    assert (refused.status_code, refused.json()["error"]) == (409, "version-conflict")
    assert alice.call("GET", f"/entries/{entry}").json()["version"] == 1


def test_of_two_changes_at_once_one_is_refused(alice: Person) -> None:
    entry = alice.write()

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: alice.call("PUT", f"/entries/{entry}", CHANGE, If_Match='"1"'), range(8)))

    assert sorted([200, *[409] * 7]) == sorted(answer.status_code for answer in answers)
    assert len(alice.call("GET", f"/entries/{entry}/history").json()["versions"]) == 2


def test_a_deleted_entry_is_gone_but_its_history_keeps_every_version(alice: Person) -> None:
    entry = alice.write()
    alice.call("PUT", f"/entries/{entry}", {**CHANGE, "version": 1})

    deleted = alice.call("DELETE", f"/entries/{entry}", {"reason": "of another day"})

    assert (deleted.status_code, deleted.json()["version"], deleted.json()["deleted"]) == (200, 3, True)
    assert alice.call("GET", f"/entries/{entry}").status_code == 404
    assert entry not in {each["id"] for each in alice.call("GET", "/entries").json()["entries"]}
    versions = alice.call("GET", f"/entries/{entry}/history").json()["versions"]
    assert [(version["version"], version["text"], version["deleted"]) for version in versions] == [
        (1, "slept well", False),
        (2, "slept badly", False),
        (3, "slept badly", True),
    ]


def test_a_deletion_that_names_an_old_version_is_refused(alice: Person) -> None:
    entry = alice.write()
    alice.call("PUT", f"/entries/{entry}", {**CHANGE, "version": 1})

    assert alice.call("DELETE", f"/entries/{entry}", If_Match='"1"').status_code == 409
    assert alice.call("DELETE", f"/entries/{entry}", If_Match='"2"').status_code == 200


def test_a_deleted_entry_can_be_neither_changed_nor_deleted_again(alice: Person) -> None:
    entry = alice.write()
    alice.call("DELETE", f"/entries/{entry}")

    assert alice.call("PUT", f"/entries/{entry}", {**CHANGE, "version": 2}).status_code == 404
    assert alice.call("DELETE", f"/entries/{entry}").status_code == 404


def test_entries_are_listed_the_latest_day_first(alice: Person) -> None:
    for day in ("2026-01-02", "2026-01-03", "2026-01-01"):
        alice.call("POST", "/entries", {"day": day, "text": "listed", "score": 5})

    listed = [each["day"] for each in alice.call("GET", "/entries").json()["entries"] if each["text"] == "listed"]

    assert listed == ["2026-01-03", "2026-01-02", "2026-01-01"]


def test_words_of_any_script_come_back_as_they_were_written(alice: Person) -> None:
    text = "Grüße — 日記 🌙 'quoted'; \\ %s"

    assert text == alice.call("GET", f"/entries/{alice.write(text)}").json()["text"]


def test_of_another_participant_nothing_can_be_seen_or_changed(alice: Person, bob: Person) -> None:
    entry = alice.write()
    path = f"/entries/{entry}"

    assert entry not in {each["id"] for each in bob.call("GET", "/entries").json()["entries"]}
    assert [
        bob.call("GET", path).status_code,
        bob.call("GET", f"{path}/history").status_code,
        bob.call("PUT", path, {**CHANGE, "version": 1}).status_code,
        bob.call("DELETE", path).status_code,
    ] == [404] * 4
    assert alice.call("GET", path).json()["version"] == 1


def test_an_entry_that_nobody_wrote_is_not_there(alice: Person) -> None:
    assert alice.call("GET", f"/entries/{uuid4()}").status_code == 404
