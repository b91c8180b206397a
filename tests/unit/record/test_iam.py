"""Which roles of Google's IAM administer a bucket or a key, and who holds them by a real bucket's policy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_deploy.errors import StoreUnavailable
from pytest_deploy.record import iam
from pytest_deploy.record.bucket import Bucket
from tests.fake_gcs import asking
from tests.locked_bucket import LockedBucket, locked_bucket

BUCKET = "record-whose-administrators-are-read"

ENDS = {
    "storage.objects.delete", "storage.objects.setIamPolicy",
    "storage.buckets.delete", "storage.buckets.update", "storage.buckets.setIamPolicy",
    "cloudkms.cryptoKeyVersions.destroy", "cloudkms.cryptoKeyVersions.update",
    "cloudkms.cryptoKeys.update", "cloudkms.cryptoKeys.setIamPolicy", "cloudkms.keyRings.setIamPolicy",
}  # fmt: skip
"""The permissions that delete, end a key, or say who may."""

DOCUMENTED = {
    "roles/owner": "storage.buckets.delete cloudkms.cryptoKeyVersions.destroy cloudkms.cryptoKeys.setIamPolicy",
    "roles/editor": "storage.buckets.delete cloudkms.cryptoKeyVersions.destroy",
    "roles/viewer": "storage.buckets.list cloudkms.cryptoKeys.get cloudkms.cryptoKeys.list",
    "roles/browser": "resourcemanager.projects.get resourcemanager.projects.getIamPolicy",
    "roles/iam.securityAdmin": "storage.buckets.setIamPolicy storage.objects.setIamPolicy cloudkms.cryptoKeys.setIamPolicy",
    "roles/iam.securityReviewer": "storage.buckets.getIamPolicy cloudkms.cryptoKeys.getIamPolicy cloudkms.keyRings.getIamPolicy",
    "roles/storage.admin": "storage.buckets.delete storage.buckets.setIamPolicy storage.objects.delete",
    "roles/storage.bucketViewer": "storage.buckets.get storage.buckets.list",
    "roles/storage.objectAdmin": "storage.objects.create storage.objects.delete storage.objects.setIamPolicy",
    "roles/storage.objectUser": "storage.objects.create storage.objects.delete storage.objects.update",
    "roles/storage.objectCreator": "storage.objects.create storage.multipartUploads.create storage.multipartUploads.abort",
    "roles/storage.objectViewer": "storage.objects.get storage.objects.list",
    "roles/storage.legacyBucketOwner": "storage.buckets.update storage.buckets.setIamPolicy storage.objects.delete",
    "roles/storage.legacyBucketWriter": "storage.buckets.get storage.objects.create storage.objects.delete",
    "roles/storage.legacyBucketReader": "storage.buckets.get storage.objects.list",
    "roles/storage.legacyObjectOwner": "storage.objects.get storage.objects.update storage.objects.setIamPolicy",
    "roles/storage.legacyObjectReader": "storage.objects.get",
    "roles/cloudkms.admin": "cloudkms.cryptoKeyVersions.destroy cloudkms.cryptoKeyVersions.update cloudkms.cryptoKeys.setIamPolicy",
    "roles/cloudkms.viewer": "cloudkms.cryptoKeys.get cloudkms.cryptoKeyVersions.list cloudkms.keyRings.get",
    "roles/cloudkms.publicKeyViewer": "cloudkms.cryptoKeyVersions.viewPublicKey",
    "roles/cloudkms.verifier": "cloudkms.cryptoKeyVersions.useToVerify cloudkms.cryptoKeyVersions.viewPublicKey",
    "roles/cloudkms.signer": "cloudkms.cryptoKeyVersions.useToSign",
    "roles/cloudkms.signerVerifier": "cloudkms.cryptoKeyVersions.useToSign cloudkms.cryptoKeyVersions.useToVerify",
}
"""What each role holds of what matters here, by Google's tables (docs.cloud.google.com/iam/docs/roles-permissions)."""

DANA, OPS, EVE = "user:dana@example.org", "group:ops@example.org", "user:eve@example.org"


@pytest.mark.parametrize("role", sorted(iam.ADMINISTER | iam.NEITHER))
def test_a_role_administers_where_google_gives_it_a_permission_that_ends_what_is_kept(role: str) -> None:
    ends = bool(ENDS & set(DOCUMENTED[role].split()))

    assert iam.administrators([iam.Binding(role, [DANA, OPS])]) == ({DANA: (role,), OPS: (role,)} if ends else {})
    assert (role in iam.ADMINISTER) == ends


def test_a_role_that_nobody_here_knows_administers() -> None:
    assert iam.administrators([iam.Binding("projects/example/roles/keeper", [EVE])]) == {
        EVE: ("projects/example/roles/keeper",)
    }


def test_each_member_is_told_with_the_roles_of_every_policy_once() -> None:
    ring = iam.administrators([iam.Binding("roles/owner", [DANA]), iam.Binding("roles/owner", [DANA])])
    key = iam.administrators([iam.Binding("roles/cloudkms.admin", [DANA, OPS])])

    assert iam.together(ring, key) == {OPS: ("roles/cloudkms.admin",), DANA: ("roles/cloudkms.admin", "roles/owner")}


# --- of a bucket


@pytest.fixture
def locked() -> Iterator[LockedBucket]:
    with locked_bucket(BUCKET) as (standing, url), asking(url):
        yield standing


@pytest.fixture
def bucket(locked: LockedBucket) -> Bucket:
    return Bucket(BUCKET, "", call_s=2, all_s=1.5)


def test_who_administers_a_bucket_is_told_and_who_writes_and_reads_it_is_not(
    bucket: Bucket, locked: LockedBucket
) -> None:
    """What configuration.md grants the deploying identity makes it nobody's administrator."""
    ci = "serviceAccount:ci@example.iam.gserviceaccount.com"
    granted = ("storage.objectCreator", "storage.objectViewer", "storage.bucketViewer", "iam.securityReviewer")
    locked.bindings = [{"role": f"roles/{role}", "members": [ci]} for role in granted]
    assert bucket.administrators() == {}

    locked.bindings.append({"role": "roles/storage.admin", "members": [DANA]})
    assert bucket.administrators() == {DANA: ("roles/storage.admin",)}


def test_a_role_under_a_condition_counts(bucket: Bucket, locked: LockedBucket) -> None:
    weekend = {"title": "weekend", "expression": "request.time.getDayOfWeek() == 6"}
    locked.bindings = [{"role": "roles/storage.admin", "members": [EVE], "condition": weekend}]

    assert bucket.administrators() == {EVE: ("roles/storage.admin",)}


def test_who_may_not_see_who_administers_a_bucket_is_told_what_it_takes(bucket: Bucket, locked: LockedBucket) -> None:
    assert bucket.administrators() == {}

    locked.may_see_bindings = False
    with pytest.raises(StoreUnavailable, match=r"grant it a role with storage\.buckets\.getIamPolicy"):
        bucket.administrators()
