"""What people sign: a statement, stored beside its signature, made once under a free name, never replaced; an event counts it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from pytest_deploy.approvals.roster import Key, Person, Roster, enroll_command, fingerprint_of, in_force
from pytest_deploy.errors import IllegalEvent, RecordTampered, Refused
from pytest_deploy.policy.user_verification import IN_WORDS, UserVerification
from pytest_deploy.record import events, sshsig
from pytest_deploy.record.clock import parse_stamp
from pytest_deploy.record.event import Event, canonical
from pytest_deploy.record.events import EventContent, Json, Signed
from pytest_deploy.record.log import AppendCondition, Log
from pytest_deploy.record.ssh_signature import sign, verify
from pytest_deploy.record.store import Exists, Missing, Store
from pytest_deploy.workspace import Workspace

_TRIES = 100
"""Names tried where others squat on a slot."""


@dataclass(frozen=True)
class Statement:
    """What all that people sign says (21 CFR 11.50: printed name, time, meaning)."""

    type: ClassVar[str]
    """Of the event that counts it."""
    meaning: str
    printed_name: str
    signer: str
    """An e-mail of the roster."""
    role: str
    signed_at: str
    """A stamp, by the signer's clock: under a request the request's own, after a run that of the signer's machine."""

    @property
    def at(self) -> datetime:
        """When the signer says they signed, UTC."""
        return parse_stamp(self.signed_at)

    def event_data(self) -> dict[str, Json]:
        """What its event repeats; an empty comment is none."""
        stated = {key: value for key, value in asdict(self).items() if key in events.fields(events.TYPES[self.type])}
        return {key: None if (key, value) == ("comment", "") else value for key, value in stated.items()}


@dataclass(frozen=True)
class SignedFile:
    """A signed statement and its signature, as they lie in a store."""

    name: str
    """Path of the statement inside the store; its signature is `<name>.sig`."""
    content: bytes
    signature: bytes

    def is_counted_by(self, content: Signed) -> bool:
        """Whether an event counts these very bytes under this name."""
        counted = {"file": content.file, "sha256": content.sha256, "signature_sha256": content.signature_sha256}
        return counted == self.digests()

    def digests(self) -> dict[str, Json]:
        return {
            "file": self.name,
            "sha256": hashlib.sha256(self.content).hexdigest(),
            "signature_sha256": hashlib.sha256(self.signature).hexdigest(),
        }

    def event_content(self, statement: Statement) -> EventContent:
        """What counts it in the log, with what the signature says of how it was made. Raises IllegalEvent where no event could."""
        try:
            made_with: dict[str, Json] = {"user_verification": sshsig.read(self.signature).user_verification}
        except sshsig.BadSignature as error:
            raise IllegalEvent(f"{self.name}.sig: {error}") from None
        return events.parse(statement.type, {**self.digests(), **made_with, **statement.event_data()})


def signing_key(store: Store, signed: Signed) -> str:
    """The fingerprint of the key that a counted signature names. Raises RecordTampered where it names none, StoreUnavailable."""
    try:
        return sshsig.read(store.get(f"{signed.file}.sig")).fingerprint
    except (Missing, sshsig.BadSignature) as error:
        raise RecordTampered(f"{signed.file}.sig is not what the log counts: {error}") from error


def slug(words: str) -> str:
    """A role, or another name, as file names carry it: `qa-lead`."""
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def require_valid_key(
    roster: Roster,
    person: Person,
    role: str,
    key: Path,
    at: datetime,
    *,
    store: Path,
    user_verification: UserVerification = "none",
) -> Key:
    """The person's key, valid at an instant, for a role they hold in the record `store`, on a token where policy asks for one.

    Raises Refused: a signature that cannot count is not made.
    """
    if role not in person.roles:
        raise Refused(
            f"{person.printed_name} does not hold the role {role}: the roster says {', '.join(person.roles) or 'none'}"
        )
    fingerprint = fingerprint_of(key)
    enrolled = next((k for k in roster.keys if k.fingerprint == fingerprint and k.email == person.email), None)
    if enrolled is None or not enrolled.valid(at):
        raise Refused(
            f"the key {fingerprint} is not valid for {person.email} now; which is: `{Workspace.of_store(store).command_line('keys list')}`"
        )
    if user_verification != "none" and not enrolled.on_token:
        raise Refused(
            f"{fingerprint} is a key on no token, and policy asks for {IN_WORDS[user_verification]} "
            f"(approval.user_verification: {user_verification}); nothing was signed. `ssh-keygen -t ed25519-sk -O verify-required` "
            f"makes one; to make it known: `{enroll_command(Workspace.of_store(store), roster, known=person)}`"
        )
    return enrolled


def sign_and_count(
    log: Log,
    statement: Statement,
    *,
    folder: str,
    slot: str,
    run: str,
    person: Person,
    key: Path,
    condition: AppendCondition | None = None,
    user_verification: UserVerification = "none",
) -> Event:
    """Sign a statement, store it in `folder` under the first free name of `slot`, count it; returns its event.

    A signature that could never count is not made. `user_verification` is what policy asks it to be made with. Raises Refused
    (role not held, key not valid, ...), Failed where ssh-keygen does not sign, StoreUnavailable, whatever `condition` raises.
    """
    roster, _ = in_force(log.store, log.events())
    at = log.clock.now()
    known = require_valid_key(
        roster, person, statement.role, key, at, store=log.store.path, user_verification=user_verification
    )
    try:
        content = canonical(asdict(statement))
    except IllegalEvent as error:
        raise Refused(f"this cannot be signed, nothing was kept: {error}") from error

    def check(file: SignedFile) -> None:
        log.check(file.event_content(statement), run=run, actor=person.email)

    file = store_signed_file(
        log.store, folder, slot, content,
        key=key, known=known, roster=roster, at=at, check=check, user_verification=user_verification,
    )  # fmt: skip
    return log.append(file.event_content(statement), run=run, actor=person.email, condition=condition)


def store_signed_file(
    store: Store,
    folder: str,
    slot: str,
    content: bytes,
    *,
    key: Path,
    known: Key,
    roster: Roster,
    at: datetime,
    check: Callable[[SignedFile], None],
    user_verification: UserVerification = "none",
) -> SignedFile:
    """Sign a statement and put both files into `folder` of the store, under the first free name of the slot.

    `check` is called right before, and raises IllegalEvent where no event could count them: signing takes as long as a
    person takes, and meanwhile a run may have been closed, its folder sealed.

    Raises:
        Failed: ssh-keygen does not sign.
        Refused: what it made does not verify, or would not count.
        StoreUnavailable: the files cannot be written.
    """
    signature = sign(content, key=key, namespace=roster.namespace)
    allowed = roster.files()["allowed_signers"]
    _, why = verify(
        content, signature, allowed_signers=allowed, signer=known.email, namespace=roster.namespace, at=at
    )  # fmt: skip
    if why := why or sshsig.read(signature).lacks(user_verification):
        raise Refused(f"the signature just made {why}; nothing was kept")
    for number in range(1, _TRIES):
        name = f"{slot}-{known.short}{'' if number == 1 else f'-{number}'}.json"
        file = SignedFile(f"{folder}/{name}", content, signature)
        try:
            check(file)
        except IllegalEvent as error:
            raise Refused(f"this cannot be signed, nothing was kept: {error}") from error
        try:
            # Whoever has the statement's name has the slot: the signature follows it.
            store.create(f"{folder}/{name}", content)
            store.create(f"{folder}/{name}.sig", signature)
        except Exists:  # squatted, or signed before: neither is ever replaced
            continue
        return file
    raise Refused(f"{folder}: {_TRIES} names of the slot {slot} are taken; somebody fills the folder, see to the store")
