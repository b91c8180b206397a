"""What people sign after a run: a sign-off, an amendment, an accepted deviation, the end of a freeze, a review of the trail.

Each statement names exactly what it is about (the seal of a closed run, the hash of an event), so that it counts there and
nowhere else. It lies under signoffs/, and the event that counts it repeats what it says: both verifiers hold one against
the other.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, ClassVar

from pytest_deploy.approvals.roster import Person, Roster
from pytest_deploy.approvals.signed_file import Statement, sign_and_count, slug
from pytest_deploy.errors import RecordError, Refused
from pytest_deploy.policy.user_verification import UserVerification
from pytest_deploy.record import meanings, sshsig
from pytest_deploy.record.event import Event, line_hash, of_type
from pytest_deploy.record.events import EnvironmentReleased, Json, TrailReviewed
from pytest_deploy.record.log import Log, LogView
from pytest_deploy.record.run_id import NO_RUN
from pytest_deploy.record.ssh_signature import verify
from pytest_deploy.record.store import Store


@dataclass(frozen=True, kw_only=True)
class SignOff(Statement):
    """Somebody stands, in a role, for the record of a closed run."""

    type: ClassVar[str] = "signoff.signed"
    run: str
    record_sha256: str
    """SHA-256 of the run's SHA256SUMS, as run.closed binds it."""
    comment: str


@dataclass(frozen=True, kw_only=True)
class Amendment(Statement):
    """What a person stated in an event of a finished run was wrong; the event stays as it is."""

    type: ClassVar[str] = "record.amended"
    MEANING: ClassVar[str] = meanings.CORRECTS
    run: str
    amends: int
    """seq of the event."""
    event_sha256: str
    """Of its line, hex."""
    key: str
    """Of the event's data."""
    old: Json
    new: Json
    reason: str


@dataclass(frozen=True, kw_only=True)
class Countersignature(Amendment):
    """Another person's amendment that says the same: both count."""

    MEANING: ClassVar[str] = meanings.CONFIRMS
    countersigns: int
    """seq of the first one."""


@dataclass(frozen=True, kw_only=True)
class Note(Statement):
    """A note on an event of a run; what the event says stands."""

    type: ClassVar[str] = "record.annotated"
    MEANING: ClassVar[str] = meanings.ANNOTATES
    run: str
    annotates: int
    """seq of the event."""
    event_sha256: str
    key: str
    """Of the event's data; empty where the whole event is meant."""
    note: str


@dataclass(frozen=True, kw_only=True)
class AcceptedDeviation(Statement):
    """A step of a closed run did not pass, and somebody answers for going on."""

    type: ClassVar[str] = "deviation.accepted"
    MEANING: ClassVar[str] = meanings.ACCEPTS
    run: str
    record_sha256: str
    nodeid: str
    deviation: str
    """What deviated, in words."""
    reason: str


@dataclass(frozen=True, kw_only=True)
class Thaw(Statement):
    """A frozen environment may be deployed to again."""

    type: ClassVar[str] = "environment.released"
    MEANING: ClassVar[str] = meanings.RELEASES
    origin: str
    """Of the log: the same freeze of another environment is not meant."""
    frozen: int
    """seq of the newest environment.frozen."""
    event_sha256: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class TrailReview(Statement):
    """The events from `first` up to a size of the log were reviewed."""

    type: ClassVar[str] = "trail.reviewed"
    MEANING: ClassVar[str] = meanings.REVIEWED
    origin: str
    """Of the log."""
    first: int
    """seq of the first event that is covered; the last one is that before `size`."""
    size: int
    root: str
    """Of the tree of that size, base64."""
    findings: str


AfterRun = SignOff | Amendment | Note | AcceptedDeviation | Thaw | TrailReview


def sign_statement(
    log: Log, statement: AfterRun, *, person: Person, key: Path, user_verification: UserVerification = "none"
) -> Event:
    """Sign a statement, store it, count it; returns its event. Raises as `sign_and_count`.

    What the person read is what they sign: refused where anything of its kind was signed since the log was last read.
    """
    head, run = log.head(), NO_RUN if isinstance(statement, Thaw | TrailReview) else statement.run

    def unchanged_since_read(view: LogView) -> None:
        if isinstance(statement, TrailReview):
            _refuse_reviewed_meanwhile(view, statement)
            return
        for event in view.log.backwards():
            if head is None or event.seq <= head.seq:
                return
            if event.run == run and event.type in {statement.type, "environment.frozen"}:
                raise Refused(f"event {event.seq} ({event.type}) came in between; look again, then sign")

    folder = f"signoffs/{'environment' if run == NO_RUN else run}"
    return sign_and_count(
        log, statement,
        folder=folder, slot=_slot(statement), run=run, person=person, key=key,
        condition=unchanged_since_read, user_verification=user_verification,
    )  # fmt: skip


def _slot(statement: AfterRun) -> str:
    """What the statement is about, as the name of its file begins."""
    match statement:
        case SignOff(role=role):
            return slug(role)
        case Amendment(amends=seq, key=name):
            return f"amend-{seq}-{slug(name)}"
        case Note(annotates=seq):
            return f"note-{seq}"
        case AcceptedDeviation(nodeid=nodeid):  # long names are cut, a digit tells them apart
            return f"deviation-{slug(nodeid.rpartition('::')[2])[:80]}"
        case Thaw(frozen=frozen):
            return f"thaw-{frozen}"
        case TrailReview(first=first):
            return f"trail-{first}"


def _refuse_reviewed_meanwhile(view: LogView, statement: TrailReview) -> None:
    """A review goes on where the one before it ended; only an event at or after `size` can be one that its signer did not see."""
    newer = takewhile(lambda event: event.seq >= statement.size, view.log.backwards())
    for event, review in of_type(newer, TrailReviewed):
        if review.size != statement.first:
            raise Refused(f"event {event.seq} reviewed up to event {review.size - 1} meanwhile; look again, then sign")
        return


def event_hash(event: Event) -> str:
    """SHA-256 of an event's line, hex: what a statement about it names."""
    return line_hash(event.line())


def why_not_thawed(
    store: Store,
    roster: Roster,
    roles: Collection[str],
    released: Event,
    frozen: Event,
    *,
    user_verification: UserVerification = "none",
) -> str:
    """Why an environment.released does not lift a freeze; empty where it does.

    The gate does not take the log's word for it: whoever deploys holds the log's key, not the key of a Tech Lead.
    """
    try:
        release = released.read(EnvironmentReleased)
        content, signature = store.get(release.file), store.get(f"{release.file}.sig")
        statement: dict[str, Any] = json.loads(content)
    except (RecordError, ValueError) as error:
        return f"its statement cannot be read: {error}"
    if statement.get("frozen") != frozen.seq or statement.get("event_sha256") != event_hash(frozen):
        return f"it is about another freeze (event {statement.get('frozen')}), not that of event {frozen.seq}"
    if wrong := meanings.wrong_meaning(released.type, statement.get("meaning")):
        return f"it {wrong}"
    person = roster.people.get(str(statement.get("signer")))
    if person is None or statement.get("role") not in person.roles or statement.get("role") not in roles:
        return f"{statement.get('signer')} does not hold one of the roles that may: {', '.join(roles)}"
    _, wrong = verify(
        content,
        signature,
        allowed_signers=roster.files()["allowed_signers"],
        signer=person.email,
        namespace=roster.namespace,
        at=released.time,
    )
    return wrong or sshsig.read(signature).lacks(user_verification)
