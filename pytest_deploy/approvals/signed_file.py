"""Signed files of a store: a statement and its signature beside it, made once under a free name, never replaced."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pytest_deploy.approvals.roster import Key, Person, Roster, fingerprint_of
from pytest_deploy.errors import IllegalEvent, Refused
from pytest_deploy.record.events import Signed
from pytest_deploy.record.ssh_signature import sign, verify
from pytest_deploy.record.store import Exists, Store

_TRIES = 100
"""Names tried where others squat on a slot."""


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

    def digests(self) -> dict[str, Any]:
        """What an event says of both."""
        return {
            "file": self.name,
            "sha256": hashlib.sha256(self.content).hexdigest(),
            "signature_sha256": hashlib.sha256(self.signature).hexdigest(),
        }


def slug(words: str) -> str:
    """A role, or another name, as file names carry it: `qa-lead`."""
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def require_valid_key(roster: Roster, person: Person, role: str, key: Path, at: datetime) -> Key:
    """The person's key, valid at an instant, for a role they hold. Raises Refused: a signature that cannot count is not made."""
    if role not in person.roles:
        raise Refused(
            f"{person.printed_name} does not hold the role {role}: the roster says {', '.join(person.roles) or 'none'}"
        )
    fingerprint = fingerprint_of(key)
    enrolled = next((k for k in roster.keys if k.fingerprint == fingerprint and k.email == person.email), None)
    if enrolled is None or not enrolled.valid(at):
        raise Refused(
            f"the key {fingerprint} is not valid for {person.email} now; python deploy.py keys list shows which is"
        )
    return enrolled


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
    if why:
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
