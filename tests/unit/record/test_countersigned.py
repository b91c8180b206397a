"""An amendment counts once another person has signed the same of the same value, and not because it says so."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_deploy.record.countersigned import as_amended, countersigned_amendments
from pytest_deploy.record.event import Event
from tests.unit.history.run_events import OPENED, SIGNED, event
from tests.unit.record.sample_record import SHA

STATED = OPENED.content.as_data()["reason"]
FIRST: dict[str, Any] = {
    **SIGNED, "signer": "tina@example.org", "reason": "typed wrongly", "amends": OPENED.seq, "event_sha256": SHA,
    "key": "reason", "old": STATED, "new": "OPS-1",
}  # fmt: skip
SECOND = {**FIRST, "signer": "quinn@example.org", "countersigns": 9}


def amendments(second: dict[str, Any]) -> list[Event]:
    return [OPENED, event(9, "record.amended", **FIRST), event(10, "record.amended", **second)]


def test_two_people_who_say_the_same_amend_a_value() -> None:
    events = amendments(SECOND)

    assert countersigned_amendments(events) == {9, 10}
    assert as_amended(events, OPENED, "reason") == "OPS-1"


@pytest.mark.parametrize(
    "changed",
    [
        {"signer": "tina@example.org"},
        {"signer": "Tina@example.org"},
        {"new": "OPS-3"},
        {"old": "OPS-9"},
        {"key": "ticket"},
        {"amends": 4},
        {"countersigns": 3},
        {"countersigns": 10},
        {"countersigns": 11},
    ],
    ids=lambda changed: " ".join(f"{key} {value}" for key, value in changed.items()),
)
def test_whoever_says_something_else_or_is_the_same_person_confirms_nothing(changed: dict[str, Any]) -> None:
    events = amendments({**SECOND, **changed})

    assert countersigned_amendments(events) == frozenset()
    assert as_amended(events, OPENED, "reason") == STATED
