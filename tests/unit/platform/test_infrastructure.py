"""What is said of infrastructure: when two previews are one, and what a preview may not do."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pytest_deploy.platform.infrastructure import Change, Preview, Recovered, StackState, refusals

SERVICE = "gcp:cloudrunv2/service:Service"
BUCKET = "gcp:storage/bucket:Bucket"
URN = "urn:pulumi:production::diary::gcp:storage/bucket:Bucket::record"
CHANGE = Change(URN, "update", BUCKET, ("labels.stack",), (), "ab")


@pytest.mark.parametrize(
    "other",
    [
        replace(CHANGE, urn=f"{URN}s"),
        replace(CHANGE, operation="replace"),
        replace(CHANGE, paths=("labels.service",)),
        replace(CHANGE, replace_keys=("name",)),
        replace(CHANGE, inputs_sha256="cd"),
    ],
)
def test_a_previews_digest_changes_with_what_it_would_do(other: Change) -> None:
    assert Preview((CHANGE,)).digest != Preview((other,)).digest
    assert Preview((CHANGE,)).digest == Preview((replace(CHANGE),)).digest


@pytest.mark.parametrize("operation", ["delete", "replace", "create-replacement", "delete-replaced"])
def test_a_destruction_is_refused_unless_the_request_names_it(operation: str) -> None:
    change = replace(CHANGE, operation=operation)

    (said,) = refusals([change], may_destroy=frozenset(), never_touched=frozenset())

    assert f"{operation} {BUCKET} record" in said
    assert refusals([change], may_destroy=frozenset({URN}), never_touched=frozenset()) == ()


@pytest.mark.parametrize("operation", ["create", "update"])
def test_what_destroys_nothing_needs_no_name_in_the_request(operation: str) -> None:
    assert refusals([replace(CHANGE, operation=operation)], may_destroy=frozenset(), never_touched=frozenset()) == ()


@pytest.mark.parametrize("operation", ["update", "delete", "replace"])
def test_what_the_deployment_itself_changes_is_never_touched_even_if_the_request_names_it(operation: str) -> None:
    change = Change(URN, operation, SERVICE, ("ingress",))

    (said,) = refusals([change], may_destroy=frozenset({URN}), never_touched=frozenset({SERVICE}))

    assert "placeholder image" in said


def test_what_the_deployment_itself_changes_may_be_made() -> None:
    assert refusals([Change(URN, "create", SERVICE)], may_destroy=frozenset(), never_touched=frozenset({SERVICE})) == ()


def test_a_state_is_read_back_as_it_was_written_and_refused_when_changed() -> None:
    state = StackState({URN: "ab"})
    written = state.to_json()

    assert StackState.from_json(written) == state
    with pytest.raises(ValueError, match="says digest"):
        StackState.from_json({**written, "resources": {URN: "cd"}})


def test_two_states_differ_in_what_one_alone_holds_and_in_what_is_not_the_same() -> None:
    one, other = StackState({"a": "1", "b": "1", "c": "1"}), StackState({"b": "1", "c": "2", "d": "1"})

    assert one.differences(other) == ("a", "c", "d")
    assert one.differences(one) == ()


def test_a_preview_is_read_back_as_it_was_written_and_refused_when_changed() -> None:
    preview = Preview((CHANGE, replace(CHANGE, operation="replace", replace_keys=("name",))))
    written = preview.to_json()

    assert Preview.from_json(json.loads(json.dumps(written))) == preview
    with pytest.raises(ValueError, match="says digest"):
        Preview.from_json({**written, "changes": written["changes"][:1]})
    with pytest.raises(ValueError, match="is no change of a preview"):
        Change.from_json({"urn": URN, "operation": 7, "type": BUCKET})


def test_what_was_made_good_is_told_and_where_nothing_was_nothing_is() -> None:
    assert Recovered(locks_removed=()).told() == []
    assert Recovered(("x.json: created by ci@runner",), {URN: "records"}, ("a",), ("b",)).told() == [
        "lock removed: x.json: created by ci@runner",
        f"found and taken into the state: {URN} (records)",
        "begun and not there: a",
        "read anew: b",
    ]
