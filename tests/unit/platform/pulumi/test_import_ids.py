"""The ids by which what exists is found, from what was asked for."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_deploy.platform.infrastructure import PendingOperation
from pytest_deploy.platform.pulumi.import_ids import import_id

PLACE = {"project": "p", "location": "us-east4"}


@pytest.mark.parametrize(
    "kind,inputs,expected",
    [
        ("gcp:cloudrunv2/service:Service", {**PLACE, "name": "diary"}, "projects/p/locations/us-east4/services/diary"),
        ("gcp:storage/bucket:Bucket", {"project": "p", "name": "p-record"}, "p/p-record"),
        (
            "gcp:serviceaccount/account:Account",
            {"project": "p", "accountId": "diary"},
            "projects/p/serviceAccounts/diary@p.iam.gserviceaccount.com",
        ),
        (
            "gcp:projects/iAMMember:IAMMember",
            {"project": "p", "role": "roles/x", "member": "user:a", "condition": {"title": "only diary"}},
            "p roles/x user:a only diary",
        ),
    ],
)
def test_an_id_is_made_of_what_was_asked_for(kind: str, inputs: dict[str, Any], expected: str) -> None:
    assert import_id(PendingOperation("urn", "creating", kind, inputs)) == expected


@pytest.mark.parametrize(
    "kind,inputs",
    [
        ("gcp:monitoring/alertPolicy:AlertPolicy", {"project": "p", "displayName": "full disk"}),
        ("gcp:storage/bucket:Bucket", {"project": "p"}),
        ("gcp:storage/bucket:Bucket", {"project": "p", "name": {"4dabf18193072939515e22adb298388d": "x"}}),
    ],
    ids=["Google gives it", "a part is missing", "a part is encrypted"],
)
def test_no_id_is_guessed(kind: str, inputs: dict[str, Any]) -> None:
    assert import_id(PendingOperation("urn", "creating", kind, inputs)) is None
