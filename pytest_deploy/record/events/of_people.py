"""What people signed, which keys count, and who read the record or holds a copy of its head."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import UNSET, UnsetType

from pytest_deploy.policy.user_verification import UserVerification
from pytest_deploy.record.events.content import EventContent, Sha256


class Signed(EventContent, frozen=True, kw_only=True):
    """A signed file counts from this event on; what is said here is what was signed."""

    file: str
    """Path of the signed JSON in the store; its signature is `<file>.sig`."""
    sha256: Sha256
    """Of the file."""
    signature_sha256: Sha256
    """Of the signature."""
    signer: str
    """The e-mail address under which the roster has the signer."""
    user_verification: UserVerification | UnsetType = UNSET
    """As the FIDO flags in the signature say; `none` of a key on no token. Older events do not say it."""


class ApprovalSigned(Signed, frozen=True, kw_only=True):
    """Somebody approves a request."""

    role: str
    meaning: str
    request_sha256: Sha256
    printed_name: str | UnsetType = UNSET
    signed_at: datetime | UnsetType = UNSET
    """As the signer's machine had it."""
    comment: str | UnsetType | None = UNSET
    source: str | UnsetType = UNSET


class ApprovalRefused(EventContent, frozen=True, kw_only=True):
    """A file that should have been an approval or an override does not count, and why."""

    signer: str | None
    role: str | None
    reason: str
    file: str | UnsetType = UNSET
    source: str | UnsetType = UNSET


class RequestRejected(Signed, frozen=True, kw_only=True):
    """Somebody who may approve a request rejects it: it starts no run until the same person approves it."""

    role: str
    meaning: str
    reason: str
    request_sha256: Sha256
    printed_name: str
    signed_at: datetime
    """By the request's own clock."""


class OverrideSigned(Signed, frozen=True, kw_only=True):
    """Somebody answers for passing over a gate's refusal."""

    reason: str
    gate: str | UnsetType = UNSET
    incident: str | UnsetType = UNSET
    expires: datetime | UnsetType = UNSET
    request_sha256: Sha256 | UnsetType = UNSET
    role: str | UnsetType = UNSET
    meaning: str | UnsetType = UNSET
    printed_name: str | UnsetType = UNSET
    signed_at: datetime | UnsetType = UNSET


class SignoffSigned(Signed, frozen=True, kw_only=True):
    """Somebody stands, in a role, for the record of a closed run."""

    role: str
    meaning: str
    record_sha256: Sha256
    """Of the run's SHA256SUMS, as run.closed binds it."""
    printed_name: str | UnsetType = UNSET
    signed_at: datetime | UnsetType = UNSET
    comment: str | UnsetType | None = UNSET


class DeviationAccepted(Signed, frozen=True, kw_only=True):
    """A step of a closed run did not pass, and somebody answers for going on."""

    reason: str
    deviation: str | UnsetType = UNSET
    """What deviated, in words."""
    nodeid: str | UnsetType = UNSET
    role: str | UnsetType = UNSET
    printed_name: str | UnsetType = UNSET
    record_sha256: Sha256 | UnsetType | None = UNSET


class RecordAmended(Signed, frozen=True, kw_only=True):
    """What a person stated in an event of a finished run was wrong; the event itself stays as it is.

    It counts once another person signed the same.
    """

    reason: str
    amends: int | UnsetType = UNSET
    """`seq` of the event."""
    event_sha256: Sha256 | UnsetType = UNSET
    """Of its line."""
    key: str | UnsetType = UNSET
    """Of its data."""
    old: Any | UnsetType = UNSET
    """The value as last amended, by what counts."""
    new: Any | UnsetType = UNSET
    countersigns: int | UnsetType = UNSET
    """`seq` of another person's amendment that says the same: both count from here on."""
    printed_name: str | UnsetType = UNSET
    role: str | UnsetType = UNSET


class RecordAnnotated(Signed, frozen=True, kw_only=True):
    """A person's note on an event of a run, or on one value of it; what the event says stands."""

    note: str
    annotates: int
    """`seq` of the event."""
    event_sha256: Sha256
    """Of its line."""
    key: str
    """Of its data; empty where the whole event is meant."""
    printed_name: str
    role: str


class EnvironmentReleased(Signed, frozen=True, kw_only=True):
    """Somebody ends a freeze."""

    reason: str
    incident: str | UnsetType | None = UNSET
    frozen: int | UnsetType = UNSET
    """`seq` of the newest environment.frozen."""
    event_sha256: Sha256 | UnsetType = UNSET
    """Of its line."""
    role: str | UnsetType = UNSET
    printed_name: str | UnsetType = UNSET


class TrailReviewed(Signed, frozen=True, kw_only=True):
    """Somebody reviewed the events from `first` up to the size that the log had, and says what they found."""

    role: str
    meaning: str
    findings: str
    first: int
    """`seq` of the first event that is covered: where the review before it ended, else 0."""
    size: int
    """Of the log as it was reviewed: the last event that is covered is the one before."""
    root: str
    """Of the tree of that size, base64."""
    printed_name: str
    signed_at: datetime
    """As the signer's machine had it."""


class KeyChange(EventContent, frozen=True, kw_only=True):
    """The trust set that is in force from this event on."""

    set: str
    """Its folder in the store, `trust/<set>`."""
    set_sha256: Sha256
    """Of its files."""
    person: str | None
    fingerprint: str | None
    reason: str
    origin: str | UnsetType = UNSET
    vkey: str | UnsetType = UNSET
    """The log's key, in the form of a signed note's verifier."""


class KeyEnrolled(KeyChange, frozen=True, kw_only=True):
    """A person's key counts; without a person, the log's own key, or the same signed roster for as long again."""


class KeyRevoked(KeyChange, frozen=True, kw_only=True):
    """A key counts no longer."""


class KeyRotated(KeyChange, frozen=True, kw_only=True):
    """The log's old key names the new one; the next event enrolls it over the same set."""

    previous: str | UnsetType = UNSET
    """The log's key before it."""
    signer: str | UnsetType = UNSET
    """Where the new key lies."""


class AnchorMade(EventContent, frozen=True, kw_only=True):
    """The log's head is known outside the record."""

    kind: str
    """`line`, `copy`, `github` or `rfc3161`."""
    size: int
    """Of the log that was anchored."""
    root: str
    """Base64."""
    place: str | UnsetType = UNSET
    file: str | UnsetType = UNSET
    """The copied checkpoint, in the store."""
    sha256: Sha256 | UnsetType = UNSET
    """Of that file."""
    receipt: Any | UnsetType = UNSET
    """Of a line its receipt, of a GitHub status its address."""
    reply_sha256: Sha256 | UnsetType = UNSET
    """Of a timestamp authority's reply, `anchors/<size>.tsr`."""


class RecordRead(EventContent, frozen=True, kw_only=True):
    """Somebody took a copy of a run's record away."""

    reader: str
    purpose: str | UnsetType = UNSET
    place: str | UnsetType = UNSET
    size: int | UnsetType = UNSET
    """Of the log at that time."""
    files: int | UnsetType = UNSET
