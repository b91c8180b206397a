"""Leave a signature under a request: two files, created and never replaced, and the event that counts them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pytest_deploy.approval.roster import Key, Person, fingerprint_of, in_force
from pytest_deploy.approval.sign import sign, verify
from pytest_deploy.approval.statement import (
    MEANING,
    MEANING_OF_OVERRIDE,
    Approval,
    OverrideStatement,
    parse_approval,
    parse_override,
    render,
)
from pytest_deploy.errors import Refused
from pytest_deploy.record import durable
from pytest_deploy.record.clock import parse_stamp, stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.log import Log
from pytest_deploy.release.request import digest

_TRIES = 100
"""Names tried where others squat on a slot."""


@dataclass(frozen=True)
class Files:
    """A signed statement and its signature, as they lie in a store."""

    name: str
    """Path of the statement inside the store; its signature is `<name>.sig`."""
    content: bytes
    signature: bytes

    def bound(self) -> dict[str, Any]:
        """What an event says of them."""
        return {
            "file": self.name,
            "sha256": hashlib.sha256(self.content).hexdigest(),
            "signature_sha256": hashlib.sha256(self.signature).hexdigest(),
        }


def sign_approval(
    log: Log, store: Path, run: str, *, person: Person, role: str, key: Path, comment: str, now: datetime
) -> Event:
    """Sign a request for one role; returns the `approval.signed` event. `now` is the request's own clock.

    A signature that could never count is not made. Raises Refused (role not held, key not valid, signed already), Failed
    where ssh-keygen does not sign, StoreUnavailable.
    """
    request = (store / "runs" / run / "request.json").read_bytes()
    statement = Approval(MEANING, person.printed_name, person.email, role, stamp(now), digest(request), run, comment)
    files = _leave(log, store, run, statement, key=key, slot=slug(role), person=person, role=role)
    actor = person.email
    return log.append("approval.signed", said_of_approval(files), run=run, actor=actor)


def sign_override(
    log: Log,
    store: Path,
    run: str,
    *,
    gate: str,
    person: Person,
    role: str,
    key: Path,
    reason: str,
    incident: str,
    expires: datetime,
    now: datetime,
) -> Event:
    """Sign one person's part of an override; returns the `override.signed` event. Raises as `sign_approval`."""
    request = (store / "runs" / run / "request.json").read_bytes()
    statement = OverrideStatement(
        meaning=MEANING_OF_OVERRIDE,
        printed_name=person.printed_name,
        signer=person.email,
        role=role,
        signed_at=stamp(now),
        request_sha256=digest(request),
        run=run,
        gate=gate,
        incident=incident,
        reason=reason,
        expires=stamp(expires),
    )
    files = _leave(log, store, run, statement, key=key, slot=f"override-{gate}", person=person, role=role)
    return log.append("override.signed", said_of_override(files), run=run, actor=person.email)


def said_of_approval(files: Files) -> dict[str, Any]:
    """The data of `approval.signed` over these files."""
    said = parse_approval(files.content)
    return {
        **files.bound(),
        "role": said.role,
        "signer": said.signer,
        "meaning": said.meaning,
        "request_sha256": said.request_sha256,
        "printed_name": said.printed_name,
        "signed_at": said.signed_at,
        "comment": said.comment or None,
    }


def said_of_override(files: Files) -> dict[str, Any]:
    """The data of `override.signed` over these files."""
    said = parse_override(files.content)
    return {
        **files.bound(),
        "signer": said.signer,
        "reason": said.reason,
        "gate": said.gate,
        "incident": said.incident,
        "expires": said.expires,
        "request_sha256": said.request_sha256,
        "role": said.role,
    }


def slug(role: str) -> str:
    """A role as file names carry it: `qa-lead`."""
    return re.sub(r"[^a-z0-9]+", "-", role.lower()).strip("-")


def _leave(
    log: Log,
    store: Path,
    run: str,
    statement: Approval | OverrideStatement,
    *,
    key: Path,
    slot: str,
    person: Person,
    role: str,
) -> Files:
    """Sign and put both files down under the first free name of the slot."""
    roster, _ = in_force(log.store, log.events())
    if role not in person.roles:
        raise Refused(
            f"{person.printed_name} does not hold the role {role}: the roster says {', '.join(person.roles) or 'none'}"
        )
    wanted = fingerprint_of(key)
    at = log.clock.now()
    known = next((one for one in roster.keys if one.fingerprint == wanted and one.email == person.email), None)
    if known is None or not known.valid(at):
        raise Refused(
            f"the key {wanted} is not valid for {person.email} now; python deploy.py keys list shows which is"
        )
    content = render(statement)
    _refuse_second(log, run, statement, known)
    signature = sign(content, key=key, namespace=roster.namespace)
    _, why = verify(
        content,
        signature,
        allowed_signers=roster.files()["allowed_signers"],
        signer=person.email,
        namespace=roster.namespace,
        at=at,
    )
    if why:
        raise Refused(f"the signature just made {why}; nothing was kept")
    folder = store / "runs" / run / "approvals"
    for number in range(1, _TRIES):
        name = f"{slot}-{known.short}{'' if number == 1 else f'-{number}'}.json"
        try:
            # Whoever has the statement's name has the slot: the signature follows it.
            durable.create(folder / name, content)
            durable.create(folder / f"{name}.sig", signature)
        except FileExistsError:  # squatted, or signed before: neither is ever replaced
            continue
        return Files(f"runs/{run}/approvals/{name}", content, signature)
    raise Refused(f"{folder}: {_TRIES} names of the slot {slot} are taken; somebody fills the folder, see to the store")


def _refuse_second(log: Log, run: str, statement: Approval | OverrideStatement, key: Key) -> None:
    """Refuse what would count no more than it does; an override may follow one that ran out or names another incident."""
    type_ = "approval.signed" if isinstance(statement, Approval) else "override.signed"
    for event in log.run(run):
        said = event.data
        same = event.type == type_ and said["signer"] == statement.signer and said.get("role") == statement.role
        if isinstance(statement, OverrideStatement):
            same = same and (said.get("gate"), said.get("incident")) == (statement.gate, statement.incident)
            same = same and parse_stamp(said["expires"]) > statement.at
        if same:
            raise Refused(f"{key.email} has signed this already, at {stamp(event.time)}; nothing was added")
