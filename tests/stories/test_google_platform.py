"""A whole deployment on the platform for Google, every service of Google's on this machine: released, served, recorded, and led back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.google_cloud import OWNERS_PASSWORD, SERVICE_ROLE, SERVICES_PASSWORD
from tests.stories.google_checkout import AtGoogle, checkout_at_google
from tests.stories.story_assertions import assert_ended

pytestmark = pytest.mark.faults


@pytest.fixture
def at_google(tmp_path: Path) -> Iterator[AtGoogle]:
    """Before the first release."""
    with checkout_at_google(tmp_path) as made:
        yield made


def assert_deployed(at: AtGoogle) -> None:
    """The last release serves everybody, as the container that its digest names, and each service of Google's had its part."""
    checkout, google = at.checkout, at.google
    # 1. What was built was pushed, pulled by its digest, and runs; nothing else does.
    (deployed,) = checkout.said("revision.deployed")
    revision, image = deployed["revision"], deployed["image"]
    assert re.fullmatch(rf"{google.addresses['registry']}/example/diary/diary@sha256:[0-9a-f]{{64}}", image)
    assert google.instances.pulled[-1] == image
    assert list(google.instances.running) == [revision]
    # 2. It serves whoever has a token, and nobody else.
    standing = google.standing()
    assert (standing.shares, standing.tags, standing.settled) == ({revision: 100}, {}, True)
    assert (standing.status, standing.body["commit"]) == (200, checkout.git("rev-parse", "HEAD"))
    assert google.ask("/health", token=False).status_code == 403
    # 3. The record lies in the locked bucket, where nothing was replaced, signed by the key that nobody can copy.
    assert google.bucket.refused == []
    assert {"GetPublicKey", "AsymmetricSign"} <= set(google.kms.calls)
    assert not list((checkout.path / ".deploy/keys").glob("*.pem"))
    # 4. Nothing of the embedded platform ran, and nobody was told a password.
    assert list(checkout.memory.iterdir()) == []
    written = b"".join(checkout.bytes_below("reports").values())
    assert not [word for word in (OWNERS_PASSWORD, SERVICES_PASSWORD) if word.encode() in written]


def test_a_release_is_built_pushed_and_run_by_its_digest(at_google: AtGoogle) -> None:
    ran = at_google.deploy()

    assert_ended(at_google.checkout, ran, code=0, outcome="deployed")
    assert_deployed(at_google)
    google = at_google.google
    assert google.sql.asked == [f"before {at_google.checkout.last_run()}"]
    assert {token["aud"] for token in google.iam.minted} == {google.run.service.uri}, "a tag's too"
    (owner,) = google.as_superuser("select relowner::regrole::text from pg_class where oid = 'diary.entry'::regclass")
    assert owner == ("deployer",)
    members = f"select pg_has_role('{SERVICE_ROLE}', 'diary_app', 'member'), rolsuper from pg_roles where rolname = 'deployer'"
    assert google.as_superuser(members) == [(True, False)]
    (opened,) = at_google.checkout.said("run.opened")
    assert {"platform.google.loopback", "record.bucket", "record.key"} <= set(opened["substituted"])


def test_a_faulty_release_is_rolled_back(at_google: AtGoogle) -> None:
    assert at_google.deploy().code == 0
    standing = at_google.google.standing()
    at_google.set_fault("crud")

    ran = at_google.deploy()

    assert_ended(at_google.checkout, ran, code=1, outcome="rolled-back")
    assert at_google.google.standing() == standing
    assert list(at_google.google.instances.running) == list(standing.shares)
