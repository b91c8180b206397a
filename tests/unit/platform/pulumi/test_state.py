"""A state as Pulumi exports it: what counts in it, and what changes by itself."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pytest_deploy.platform.pulumi.state import read_state

URN = "urn:pulumi:production::diary::gcp:storage/bucket:Bucket::record"
PROVIDER = "urn:pulumi:production::diary::pulumi:providers:gcp::default"
SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:abc"}


def exported() -> dict[str, Any]:
    return {
        "version": 3,
        "deployment": {
            "manifest": {"time": "2026-11-30T15:00:00Z"},
            "resources": [
                {
                    "urn": "urn:pulumi:production::diary::pulumi:pulumi:Stack::diary-production",
                    "type": "pulumi:pulumi:Stack",
                },
                {"urn": PROVIDER, "type": "pulumi:providers:gcp", "id": "drawn-1", "inputs": {"version": "10.2.0"}},
                {
                    "urn": URN,
                    "type": "gcp:storage/bucket:Bucket",
                    "id": "p-record",
                    "custom": True,
                    "provider": f"{PROVIDER}::drawn-1",
                    "inputs": {"name": "p-record", "labels": {"a": "b"}, "token": SECRET},
                    "outputs": {"etag": "1"},
                    "modified": "2026-11-30T15:00:00Z",
                    "ignoreChanges": ["template"],
                },
            ],
        },
    }


def changed(path: str, value: Any) -> dict[str, Any]:
    content = copy.deepcopy(exported())
    resource = content["deployment"]["resources"][2]
    *above, last = path.split(".")
    for name in above:
        resource = resource[name]
    resource[last] = value
    return content


@pytest.mark.parametrize(
    "path,value",
    [
        ("id", "p-other"),
        ("inputs.name", "other"),
        ("inputs.labels", {"a": "c"}),
        ("protect", True),
        ("parent", "x"),
    ],
)
def test_what_the_program_asks_for_counts(path: str, value: Any) -> None:
    assert read_state(changed(path, value)).digest != read_state(exported()).digest


@pytest.mark.parametrize(
    "path,value",
    [
        ("outputs", {"etag": "2"}),
        ("modified", "2026-12-01T00:00:00Z"),
        ("inputs.token.ciphertext", "v1:encrypted again"),
        ("inputs.template", {"containers": [{"image": "another's"}]}),
        ("provider", f"{PROVIDER}::drawn-2"),
    ],
)
def test_what_changes_by_itself_does_not_count(path: str, value: Any) -> None:
    assert read_state(changed(path, value)).digest == read_state(exported()).digest


def test_a_resource_that_waits_for_its_deletion_is_none() -> None:
    assert URN not in read_state(changed("delete", True)).resources


def test_what_an_interrupted_update_had_begun_is_told_with_what_was_asked_for() -> None:
    content = exported()
    resource = {"urn": URN, "type": "gcp:storage/bucket:Bucket", "inputs": {"name": "p-record"}}
    content["deployment"]["pending_operations"] = [{"resource": resource, "type": "creating"}]

    (pending,) = read_state(content).pending

    assert str(pending) == "creating gcp:storage/bucket:Bucket record"
    assert pending.inputs == {"name": "p-record"}


def test_a_stack_that_was_never_updated_holds_nothing() -> None:
    assert read_state({"version": 3, "deployment": None}).resources == {}
