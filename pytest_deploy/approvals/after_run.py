"""What people sign after a run: a sign-off, an amendment, an accepted deviation, the end of a freeze.

Each statement names exactly what it is about (the seal of a closed run, the hash of an event), so that it counts there and
nowhere else. It lies under signoffs/, and the event that counts it repeats what it says: both verifiers hold one against
the other.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from pytest_deploy.approvals.roster import Person, Roster, in_force
from pytest_deploy.approvals.signed_file import SignedFile, require_valid_key, slug, store_signed_file
from pytest_deploy.errors import IllegalEvent, RecordError, Refused
from pytest_deploy.record import events
from pytest_deploy.record.event import Event, canonical, line_hash
from pytest_deploy.record.events import EnvironmentReleased, EventContent, Json
from pytest_deploy.record.log import Log, LogView
from pytest_deploy.record.run_id import NO_RUN
from pytest_deploy.record.ssh_signature import verify
from pytest_deploy.record.store import Store


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What every one of them says (21 CFR 11.50: printed name, time, meaning)."""

    type: ClassVar[str]
    """Of the event that counts it."""
    meaning: str
    printed_name: str
    signer: str
    """An e-mail of the roster."""
    role: str
    signed_at: str
    """A stamp, by the clock of the signer's machine; keys are judged by the event's time."""

    @property
    def folder(self) -> str:
        """Where it lies in the store."""
        return f"signoffs/{self.about}"

    @property
    def about(self) -> str:
        """The run it is about, or `environment`."""
        raise NotImplementedError

    @property
    def slot(self) -> str:
        """The beginning of its file's name."""
        raise NotImplementedError

    def event_data(self) -> dict[str, Json]:
        """What its event repeats."""
        fields_known = events.fields(events.TYPES[self.type])
        return {key: value for key, value in asdict(self).items() if key in fields_known}


@dataclass(frozen=True, kw_only=True)
class SignOff(Statement):
    """Somebody stands, in a role, for the record of a closed run."""

    type: ClassVar[str] = "signoff.signed"
    run: str
    record_sha256: str
    """SHA-256 of the run's SHA256SUMS, as run.closed binds it."""
    comment: str

    @property
    def about(self) -> str:
        """The run."""
        return self.run

    @property
    def slot(self) -> str:
        """By role."""
        return slug(self.role)

    def event_data(self) -> dict[str, Json]:
        """An empty comment is none."""
        return {**super().event_data(), "comment": self.comment or None}


@dataclass(frozen=True, kw_only=True)
class Amendment(Statement):
    """One value of one event of a finished run was wrong; the event stays as it is."""

    type: ClassVar[str] = "record.amended"
    MEANING: ClassVar[str] = "corrects this value of the record"
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

    @property
    def about(self) -> str:
        """The run."""
        return self.run

    @property
    def slot(self) -> str:
        """By event and key."""
        return f"amend-{self.amends}-{slug(self.key)}"


@dataclass(frozen=True, kw_only=True)
class AcceptedDeviation(Statement):
    """A step of a closed run did not pass, and somebody answers for going on."""

    type: ClassVar[str] = "deviation.accepted"
    MEANING: ClassVar[str] = "accepts this deviation"
    run: str
    record_sha256: str
    nodeid: str
    deviation: str
    """What deviated, in words."""
    reason: str

    @property
    def about(self) -> str:
        """The run."""
        return self.run

    @property
    def slot(self) -> str:
        """By step; long names are cut, a digit tells them apart."""
        return f"deviation-{slug(self.nodeid.rpartition('::')[2])[:80]}"


@dataclass(frozen=True, kw_only=True)
class Thaw(Statement):
    """A frozen environment may be deployed to again."""

    type: ClassVar[str] = "environment.released"
    MEANING: ClassVar[str] = "releases this environment from its freeze"
    origin: str
    """Of the log: the same freeze of another environment is not meant."""
    frozen: int
    """seq of the newest environment.frozen."""
    event_sha256: str
    reason: str

    @property
    def about(self) -> str:
        """The environment, not a run."""
        return "environment"

    @property
    def slot(self) -> str:
        """By freeze."""
        return f"thaw-{self.frozen}"


def sign_statement(log: Log, statement: Statement, *, person: Person, key: Path) -> Event:
    """Sign a statement, store it, count it; returns its event.

    What the person read is what they sign: refused where anything of its kind was signed since the log was last read.
    Raises Refused (role not held, key not valid, ...), Failed where ssh-keygen does not sign, StoreUnavailable.
    """
    head, at = log.head(), log.clock.now()
    roster, _ = in_force(log.store, log.events())
    enrolled_key = require_valid_key(roster, person, statement.role, key, at)
    run = NO_RUN if statement.about == "environment" else statement.about
    try:
        content = canonical(asdict(statement))
    except IllegalEvent as error:
        raise Refused(f"this cannot be signed, nothing was kept: {error}") from error

    def content_of(file: SignedFile) -> EventContent:
        return events.parse(statement.type, {**file.digests(), **statement.event_data()})

    file = store_signed_file(
        log.store,
        statement.folder,
        statement.slot,
        content,
        key=key,
        known=enrolled_key,
        roster=roster,
        at=at,
        check=lambda signed: log.check(content_of(signed), run=run, actor=person.email),
    )

    def unchanged_since_read(view: LogView) -> None:
        for event in view.log.backwards():
            if head is None or event.seq <= head.seq:
                return
            if event.run == run and event.type in {statement.type, "environment.frozen"}:
                raise Refused(f"event {event.seq} ({event.type}) came in between; look again, then sign")

    return log.append(content_of(file), run=run, actor=person.email, claim=unchanged_since_read)


def event_hash(event: Event) -> str:
    """SHA-256 of an event's line, hex: what a statement about it names."""
    return line_hash(event.line())


def why_not_thawed(store: Store, roster: Roster, roles: Collection[str], released: Event, frozen: Event) -> str:
    """Why an environment.released does not lift a freeze; empty where it does.

    The gate does not take the log's word for it: whoever deploys holds the log's key, not the key of a Tech Lead.
    """
    try:
        release = released.content
        assert isinstance(release, EnvironmentReleased)  # noqa: S101 -- what lifts a freeze
        content, signature = store.get(release.file), store.get(f"{release.file}.sig")
        statement: dict[str, Any] = json.loads(content)
    except (RecordError, ValueError) as error:
        return f"its statement cannot be read: {error}"
    if statement.get("frozen") != frozen.seq or statement.get("event_sha256") != event_hash(frozen):
        return f"it is about another freeze (event {statement.get('frozen')}), not that of event {frozen.seq}"
    person = roster.people.get(str(statement.get("signer")))
    if person is None or statement.get("role") not in person.roles or statement.get("role") not in roles:
        return f"{statement.get('signer')} does not hold one of the roles that may: {', '.join(roles)}"
    return verify(
        content,
        signature,
        allowed_signers=roster.files()["allowed_signers"],
        signer=person.email,
        namespace=roster.namespace,
        at=released.time,
    )[1]
