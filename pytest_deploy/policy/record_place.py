"""Where the environment's record lies, and who signs it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pytest_deploy.policy.storage import Bucket, Prefix, Store, bucket_where_gcs
from pytest_deploy.policy.types import Section, complaint

KEY_VERSION = r"^projects/[^/\s]+/locations/[^/\s]+/keyRings/[^/\s]+/cryptoKeys/[^/\s]+/cryptoKeyVersions/[1-9][0-9]*$"
"""One version, so that what signs changes by `keys rotate` alone."""


class Record(Section):
    """A folder under reports/ or a bucket of Google Cloud Storage; and the key of the log.

    The key (Ed25519) is a file of this machine, or a version of a key in Cloud KMS that nobody can copy.
    """

    store: Store = "folder"
    """folder (reports/<environment>) or gcs (a bucket of Google Cloud Storage)"""
    bucket: Bucket | None = None
    """the bucket's name where store is gcs, else null"""
    prefix: Prefix = ""
    """a path inside the bucket, e.g. records; the environment's name follows it"""
    rehearsed: Store = "folder"
    """where rehearsals' record lies: folder, or gcs, which is then asked at a loopback address only"""
    signer: Literal["file", "kms"] = "file"
    """file (.deploy/keys/, mode 0600) or kms (Cloud KMS, EC_SIGN_ED25519)"""
    key: Annotated[str, Field(pattern=KEY_VERSION)] | None = None
    """kms: the key's version in full, projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N; else null"""

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        bucket_where_gcs(self.store, self.bucket)
        if self.rehearsed == "gcs" and self.store != "gcs":
            raise complaint("there is no bucket to rehearse in", "set store: gcs and bucket, or rehearsed: folder")
        if self.signer == "kms" and self.key is None:
            raise complaint(
                "Cloud KMS needs to know which key signs", "give key: projects/…/cryptoKeyVersions/N", at="key"
            )
        if self.signer == "file" and self.key is not None:
            raise complaint("a key in Cloud KMS is named, and a file signs", "set signer: kms, or key: null", at="key")
        return self
