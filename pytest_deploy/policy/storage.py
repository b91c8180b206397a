"""Where the record lies and who signs it, how long it is kept, and who else knows of it."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from pytest_deploy.policy.types import RelativePath, Seconds, Section, Text, complaint

SEVEN_YEARS_DAYS = 2557
"""REQ-o00043-Q: seven years with both leap days they may hold."""

Bucket = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$")]
Prefix = Annotated[str, Field(pattern=r"^$|^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$")]
Store = Literal["folder", "gcs"]
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
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
        _check_bucket(self.store, self.bucket)
        if self.rehearsed == "gcs" and self.store != "gcs":
            raise complaint("there is no bucket to rehearse in", "set store: gcs and bucket, or rehearsed: folder")
        if self.signer == "kms" and self.key is None:
            raise complaint(
                "Cloud KMS needs to know which key signs", "give key: projects/…/cryptoKeyVersions/N", at="key"
            )
        if self.signer == "file" and self.key is not None:
            raise complaint("a key in Cloud KMS is named, and a file signs", "set signer: kms, or key: null", at="key")
        return self


def _token_variable(name: str) -> str:
    """Its name shows that it holds a secret, so that its value is cut from every report."""
    if not re.fullmatch(r"[A-Z][A-Z0-9_]*", name) or "TOKEN" not in name:
        # Not shown: it may be the token itself.
        raise complaint(
            "is no name of an environment variable with TOKEN in it",
            "name one, e.g. GITHUB_TOKEN; the token itself stands in no file",
        )
    return name


def _check_bucket(store: str, bucket: str | None) -> None:
    """Raises a complaint where a bucket is missing, or named for nothing."""
    if (store == "gcs") != (bucket is not None):
        raise complaint(
            "a store in gcs and no other has a bucket", "give bucket: NAME with store: gcs only", at="bucket"
        )


class Retention(Section):
    """REQ-o00043-Q: how long the record store must hold what it is given."""

    days: Annotated[int, Field(ge=SEVEN_YEARS_DAYS)] = SEVEN_YEARS_DAYS
    """days, at least 2557 (seven years)"""
    storage_class: Literal["STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"] = "ARCHIVE"
    """STANDARD, NEARLINE, COLDLINE or ARCHIVE"""
    locked: bool = False
    """true where every run needs the bucket's retention policy locked, read back from the API"""


class Copies(Section):
    """A second place that gets a copy of every anchored checkpoint, and is read back before each run."""

    store: Store = "folder"
    """folder or gcs"""
    folder: RelativePath | None = None
    """a folder outside the record where store is folder, else null"""
    bucket: Bucket | None = None
    """a bucket other than the record's where store is gcs, else null"""
    prefix: Prefix = ""
    """a path inside the bucket; the environment's name follows it"""

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        _check_bucket(self.store, self.bucket)
        if (self.store == "folder") != (self.folder is not None):
            raise complaint("a folder of copies and no other has a path", "give folder: PATH with store: folder only")
        return self


class Timestamp(Section):
    """An RFC 3161 authority that says when a checkpoint was there."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")]
    """the authority's address, e.g. https://tsa.example.org/tsr"""
    ca: RelativePath
    """its certificate authority as a PEM file; it goes into the record's trust"""
    timeout_s: Seconds = 30
    """seconds it may take to answer"""


class GitHub(Section):
    """A deployment of its own at GitHub, whose statuses hold the lines; read back before each run."""

    repository: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]*[A-Za-z0-9_-]$")]
    """owner/name"""
    ref: Text = "main"
    """a branch, tag or commit that is there: a deployment must name one"""
    token_variable: Annotated[str, AfterValidator(_token_variable)] = "GITHUB_TOKEN"  # noqa: S105 -- a variable's name
    """the environment variable that holds a token which may read and write the repository's deployments"""
    api: Annotated[
        str, Field(pattern=r"^(https://[A-Za-z0-9.:-]+|http://(127\.0\.0\.1|localhost)(:[0-9]+)?)(/[A-Za-z0-9._-]+)*$")
    ] = "https://api.github.com"
    """GitHub's address, of an Enterprise Server https://HOST/api/v3; http at a loopback address only"""
    timeout_s: Seconds = 10
    """seconds one request may take"""

    @property
    def loopback(self) -> bool:
        """Whether a stand-in on this machine is asked."""
        return urlsplit(self.api).hostname in LOOPBACK


class Anchors(Section):
    """What is said of the record outside it: truncation and a rewrite show against nothing else."""

    required: bool = False
    """true where no run goes without an anchor that can be read back"""
    lines: RelativePath | None = None
    """a folder for the lines `tlog ORIGIN SIZE ROOT` that people are sent, or null"""
    copies: Copies | None = None
    """a second folder or bucket for copies of checkpoints, or null"""
    github: GitHub | None = None
    """repository of the deployment whose statuses hold the lines, or null"""
    timestamp: Timestamp | None = None
    """url and ca of an RFC 3161 authority, or null"""

    @model_validator(mode="after")
    def _can_be_read_back(self) -> Self:
        if self.required and self.copies is None and self.github is None:
            raise complaint(
                "an anchor is required and none can be read back",
                "give copies: {store: gcs, bucket: NAME} or {store: folder, folder: PATH}, or github: {repository: OWNER/NAME}",
                at="copies",
            )
        return self
