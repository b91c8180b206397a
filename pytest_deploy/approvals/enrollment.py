"""Changes of who may sign: each a new trust set, written before the event that puts it in force. A set only grows.

A revoked or ended key keeps its line, with `valid-before` at its end: what it signed before stays good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pytest_deploy.approvals.roster import Key, Person, Roster, fingerprint, in_force, parse
from pytest_deploy.errors import Refused
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import KeyChange, KeyEnrolled, KeyRevoked
from pytest_deploy.record.key import TIMESTAMP_CA, trust_set, write_plain_copies, write_set
from pytest_deploy.record.log import Log, LogView
from pytest_deploy.record.run_id import NO_RUN

YEAR_DAYS = 365


def enroll(
    log: Log,
    store: Path,
    person: Person,
    public: str,
    *,
    namespace: str,
    now: datetime,
    actor: str,
    reason: str,
    valid_days: int = YEAR_DAYS,
) -> Event:
    """Make a person known with a key; a known person gets another key, or other roles. Raises Refused, UsageError."""
    return enroll_all(
        log,
        store,
        [person],
        {person.email: public},
        namespace=namespace,
        now=now,
        actor=actor,
        reason=reason,
        valid_days=valid_days,
    )


def enroll_all(
    log: Log,
    store: Path,
    people: Sequence[Person],
    public: Mapping[str, str],
    *,
    namespace: str,
    now: datetime,
    actor: str,
    reason: str,
    valid_days: int = YEAR_DAYS,
) -> Event:
    """Several people in one set; `public` is their keys by e-mail, some may have none. Raises Refused listing every fault."""
    if not 1 <= valid_days <= YEAR_DAYS:
        raise Refused(f"a key is valid for 1 to {YEAR_DAYS} days, not {valid_days}")
    events = list(log.events())
    before, sha256 = in_force(log.store, events)
    revoked = {revoked_key: event.seq for event in events for revoked_key in _revoked_keys(event)}
    since = now.replace(microsecond=0)
    keys = list(before.keys)
    for email, text in public.items():
        bare = " ".join(text.split()[:2])
        if (known := fingerprint(bare)) in revoked:
            raise Refused(f"event {revoked[known]} revoked the key {known}: nobody signs with it again, make a new one")
        if not any(key.public == bare and key.email == email and key.valid(now) for key in keys):
            keys.append(Key(email, bare, since, since + timedelta(days=valid_days), namespace))
    roster = Roster({**before.people, **{person.email: person for person in people}}, tuple(keys))
    emails = ", ".join(person.email for person in people)
    prints = ", ".join(fingerprint(text) for text in public.values()) or None
    change = _Change(KeyEnrolled, roster, sha256, {"person": emails, "fingerprint": prints, "reason": reason})
    return _put_in_force(log, store, change, actor)


def revoke(log: Log, store: Path, who: str, *, reason: str, now: datetime, actor: str) -> Event:
    """End the valid keys of a person (e-mail), or one key (fingerprint), now. Raises Refused where none is valid."""
    before, sha256 = in_force(log.store, log.events())
    ended = [key for key in before.keys if who in {key.email, key.fingerprint} and key.valid(now)]
    if not ended:
        raise Refused(f"{who} has no valid key here; python deploy.py keys list shows whose are")
    until = now.replace(microsecond=0)
    keys = tuple(
        replace(key, valid_before=max(until, key.valid_after + timedelta(seconds=1))) if key in ended else key
        for key in before.keys
    )
    data = {"person": ended[0].email, "fingerprint": ", ".join(key.fingerprint for key in ended), "reason": reason}
    return _put_in_force(log, store, _Change(KeyRevoked, Roster(before.people, keys), sha256, data), actor)


def _revoked_keys(event: Event) -> list[str]:
    """The fingerprints that a key.revoked names; none of any other event."""
    content = event.content if event.type == KeyRevoked.type else None
    return (content.fingerprint or "").split(", ") if isinstance(content, KeyRevoked) else []


@dataclass(frozen=True)
class _Change:
    """A roster that shall replace the one in force."""

    kind: type[KeyChange]
    """Of its event."""
    roster: Roster
    before: str
    """SHA-256 of the set it was made from, hex."""
    data: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Files of the set besides the roster's that are others than before."""


def trust_authority(log: Log, store: Path, ca: bytes, *, actor: str) -> Event | None:
    """Put the certificate of a timestamp authority into the set in force; None where it is there already.

    The file only grows, as `allowed_signers` does: what an earlier authority stamped is verified by its own certificate.
    """
    before, sha256 = in_force(log.store, log.events())
    certificates = trust_set(log.store, sha256).get(TIMESTAMP_CA, b"")
    if ca in certificates:
        return None
    data = {"person": None, "fingerprint": None, "reason": "the timestamp authority that deploy.yaml names"}
    grown = certificates.rstrip() + b"\n" + ca if certificates else ca
    return _put_in_force(log, store, _Change(KeyEnrolled, before, sha256, data, {TIMESTAMP_CA: grown}), actor)


def _put_in_force(log: Log, store: Path, change: _Change, actor: str) -> Event:
    """Write the set, then its event; refuse where another change came into force meanwhile."""
    files = {**trust_set(log.store, change.before), **change.roster.files(), **change.files}
    parse(files)
    folder, sha256 = write_set(log.store, files)

    def still_the_same(view: LogView) -> None:
        newest = next(event for event in view.log.backwards() if event.type.startswith("key.")).content
        if not isinstance(newest, KeyChange) or newest.set_sha256 != change.before:
            raise Refused("somebody else changed the roster meanwhile; look at it (keys list), then try again")

    content = change.kind(set=folder, set_sha256=sha256, **change.data)
    event = log.append(content, run=NO_RUN, actor=actor, claim=still_the_same)
    with suppress(OSError):  # the event counts; a verifier notes older copies, and the next `keys` lays these
        write_plain_copies(store, files)
    return event
