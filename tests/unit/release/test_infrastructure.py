"""What a request says of infrastructure: read back as written, and told apart in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_deploy.platform.infrastructure import Change, Preview, StackState
from pytest_deploy.release.infrastructure import PlannedInfrastructure, changes_of
from pytest_deploy.release.request import drift

URN = "urn:pulumi:production::diary::gcp:storage/bucket:Bucket::record"
CHANGE = Change(URN, "update", "gcp:storage/bucket:Bucket", ("labels.stack",), (), "ab")
PLANNED = PlannedInfrastructure(Preview((CHANGE,)), StackState({URN: "cd"}))


def test_it_is_read_back_as_it_was_written() -> None:
    assert PlannedInfrastructure.of({"infrastructure": PLANNED.to_json()}) == PLANNED
    assert PlannedInfrastructure.of({"infrastructure": None}) is None


@pytest.mark.parametrize(
    "spoilt",
    [
        {"digest": "0" * 64},
        {"changes": []},
        {"changes": [{"urn": URN}]},
        {"earlier": {"digest": "0" * 64, "resources": {}}},
    ],
    ids=["another digest", "a change taken away", "no change at all", "another state"],
)
def test_what_was_changed_in_it_is_refused(spoilt: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"digest|no change"):
        PlannedInfrastructure.of({"infrastructure": {**PLANNED.to_json(), **spoilt}})


def test_another_preview_or_state_drifts_and_is_told_in_words() -> None:
    another = PlannedInfrastructure(Preview((replace(CHANGE, operation="replace"),)), StackState({URN: "ef"}))

    assert drift({"infrastructure": PLANNED.to_json()}, {"infrastructure": PLANNED.to_json()}) == ()
    assert drift({"infrastructure": PLANNED.to_json()}, {"infrastructure": another.to_json()}) == (
        "infrastructure: no longer: update gcp:storage/bucket:Bucket record (labels.stack)",
        "infrastructure: now: replace gcp:storage/bucket:Bucket record (labels.stack)",
        f"infrastructure: the stack's state of {URN} is another than it was",
    )


@pytest.mark.parametrize("now", [None, {}, {"changes": 1}, "infrastructure", {**PLANNED.to_json(), "more": 1}])
def test_what_is_none_or_cannot_be_read_drifts_too(now: object) -> None:
    then = PLANNED.to_json()

    assert changes_of(then, now) == ()
    assert len(drift({"infrastructure": then}, {"infrastructure": now})) == 1
