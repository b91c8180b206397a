"""The record's key in Cloud KMS: Ed25519, whose private half never leaves the service."""

from __future__ import annotations

import pulumi
from accounts import Accounts
from pulumi_gcp import kms
from settings import Settings


def make_signing_key(settings: Settings, accounts: Accounts) -> kms.CryptoKey:
    """A key that the deployer signs with and nobody here destroys: a key ring cannot be deleted at all."""
    ring = kms.KeyRing(
        "record",
        name="deploy-record",
        project=settings.project,
        location=settings.region,
        opts=pulumi.ResourceOptions(protect=True),
    )
    key = kms.CryptoKey(
        "log",
        name="log",
        key_ring=ring.id,
        purpose="ASYMMETRIC_SIGN",
        version_template={"algorithm": "EC_SIGN_ED25519", "protection_level": "SOFTWARE"},
        labels=settings.labels,
        opts=pulumi.ResourceOptions(protect=True),
    )
    kms.CryptoKeyIAMMember(
        "deployer-signs",
        crypto_key_id=key.id,
        role="roles/cloudkms.signerVerifier",
        member=accounts.deployer.member,
    )
    pulumi.export("logKey", key.id)
    return key
