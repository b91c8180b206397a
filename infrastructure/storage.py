"""Buckets: the record, the exports of seven years, and the landing place that exports come from."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from accounts import Accounts
from pulumi_gcp import storage
from settings import RETENTION_DAYS, Settings

_LANDING_DAYS = 7
"""An export that was copied and confirmed is of no use in the landing bucket."""


@dataclass(frozen=True)
class Buckets:
    """Each has a bucket of its own, since each has other writers."""

    record: storage.Bucket
    exports: storage.Bucket
    landing: storage.Bucket


def make_buckets(settings: Settings, accounts: Accounts) -> Buckets:
    """Two locked buckets that the deployer may add to and read, and a landing bucket that empties itself."""
    buckets = Buckets(
        record=_locked_bucket("record", settings),
        exports=_locked_bucket("exports", settings),
        landing=storage.Bucket(
            "landing",
            **_place(settings, "landing"),
            storage_class="STANDARD",
            lifecycle_rules=[{"action": {"type": "Delete"}, "condition": {"age": _LANDING_DAYS}}],
        ),
    )
    # Neither role can delete or replace an object; the retention policy holds those who could.
    for name, bucket, roles in (
        ("record", buckets.record, ("objectCreator", "objectViewer")),
        ("exports", buckets.exports, ("objectCreator", "objectViewer")),
        ("landing", buckets.landing, ("objectViewer",)),
    ):
        for role in roles:
            storage.BucketIAMMember(
                f"deployer-{name}-{role}",
                bucket=bucket.name,
                role=f"roles/storage.{role}",
                member=accounts.deployer.member,
            )
    pulumi.export("recordBucket", buckets.record.name)
    pulumi.export("exportBucket", buckets.exports.name)
    pulumi.export("landingBucket", buckets.landing.name)
    return buckets


def _locked_bucket(purpose: str, settings: Settings) -> storage.Bucket:
    return storage.Bucket(
        purpose,
        **_place(settings, purpose),
        storage_class="ARCHIVE",
        retention_policy={
            "retention_period": str(RETENTION_DAYS * 86_400),
            "is_locked": settings.retention_locked,
        },
        opts=pulumi.ResourceOptions(protect=True),
    )


def _place(settings: Settings, purpose: str) -> dict[str, object]:
    """What every bucket has: names of buckets are of the whole world, so the project's name is in each."""
    return {
        "name": f"{settings.project}-{purpose}",
        "project": settings.project,
        "location": settings.region.upper(),
        "uniform_bucket_level_access": True,
        "public_access_prevention": "enforced",
        "force_destroy": False,
        "labels": settings.labels,
    }
