"""A whole deployment on the platform for Google, every service of Google's on this machine: released, served, recorded, and led back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.google_cloud import OWNERS_PASSWORD, SERVICES_PASSWORD
from tests.pulumi_project import BUCKET
from tests.stories.google_checkout import CLOUD, AtGoogle, checkout_at_google, checkout_at_google_with_infrastructure
from tests.stories.infrastructure_checkout import APPLIED, NEARLINE, change_program
from tests.stories.step_ids import CAUGHT_BY, LED_BACK, MIGRATION, REVISION
from tests.stories.story_assertions import assert_ended

pytestmark = pytest.mark.faults


@pytest.fixture
def at_google(tmp_path: Path) -> Iterator[AtGoogle]:
    """Before the first release."""
    with checkout_at_google(tmp_path) as made:
        yield made


@pytest.fixture
def with_infrastructure(tmp_path: Path) -> Iterator[AtGoogle]:
    """The same, of an environment with a stack."""
    with checkout_at_google_with_infrastructure(tmp_path) as made:
        yield made


NOTE = """\
-- deploy:compatible expand

-- migrate:up
create table diary.note (id bigint primary key);

-- migrate:down
-- deploy:lossy the notes go with their table
drop table diary.note;
"""


def assert_deployed(at: AtGoogle) -> None:
    """The last release serves everybody, as the container that its digest names, and each service of Google's had its part."""
    checkout, google = at.checkout, at.google
    # 1. What was built was pushed, pulled by its digest, and runs; nothing else does.
    (deployed,) = checkout.said("revision.deployed")
    revision, image = deployed["revision"], deployed["image"]
    assert re.fullmatch(rf"{google.addresses['registry']}/example/diary/diary@sha256:[0-9a-f]{{64}}", image)
    assert google.instances.pulled[-1] == image
    assert (list(google.instances.running), google.images) == ([revision], [image])
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
    asked = at_google.deploy_py("doctor", CLOUD)
    assert asked.code == 0, asked.said

    ran = at_google.deploy()

    assert_ended(at_google.checkout, ran, code=0, outcome="deployed")
    assert_deployed(at_google)
    google = at_google.google
    assert google.sql.asked == [f"before {at_google.checkout.last_run()}"]
    assert {token["aud"] for token in google.iam.minted} == {google.run.service.uri}, "a tag's too"
    (owner,) = google.as_superuser("select relowner::regrole::text from pg_class where oid = 'diary.entry'::regclass")
    assert owner == ("deployer",)
    (rights,) = google.as_superuser("select rolsuper, rolbypassrls from pg_roles where rolname = 'deployer'")
    assert rights == (False, False)
    (opened,) = at_google.checkout.said("run.opened")
    assert {"platform.google.loopback", "record.bucket", "record.key"} <= set(opened["substituted"])


def test_a_faulty_release_is_rolled_back_and_its_infrastructure_too(with_infrastructure: AtGoogle) -> None:
    at, google, project = with_infrastructure, with_infrastructure.google, with_infrastructure.project
    assert project is not None
    ran = at.deploy()
    assert_ended(at.checkout, ran, code=0, outcome="deployed")
    assert_deployed(at)
    assert at.checkout.step_outcomes()[APPLIED] == "passed"
    assert project.google.one(BUCKET)["storageClass"] == "STANDARD"
    before, standing = at.state, google.standing()
    (image,) = google.images

    at.checkout.write(
        "examples/diary/diary/faults.py",
        (at.checkout.path / "examples/diary/diary/faults.py").read_text("utf-8") + "# another\n",
    )
    change_program(at.checkout, *NEARLINE)
    at.checkout.write("migrations/0008_note.sql", NOTE)
    at.set_fault("crud")
    ran = at.deploy()

    assert_ended(at.checkout, ran, code=1, outcome="rolled-back")
    assert at.checkout.failing() == CAUGHT_BY["crud"]
    outcomes = at.checkout.step_outcomes()
    assert {outcomes[one] for one in (APPLIED, MIGRATION, REVISION, LED_BACK)} == {"passed"}
    (faulty,) = at.checkout.said("revision.deployed")
    assert faulty["image"] != image
    assert at.checkout.said("rollback.started")[0]["order"] == ["traffic", "database", "infrastructure"]
    assert at.state == before
    assert project.google.one(BUCKET)["storageClass"] == "STANDARD"
    assert google.standing() == standing, "the earlier release on the earlier schema"
    assert google.images == [image]
    assert google.bucket.refused == []
