"""Changes of who may sign: each a new trust set, written before the event that puts it in force. A set only grows.

A revoked or ended key keeps its line, with `valid-before` at its end: what it signed before stays good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pytest_deploy.approvals.roster import Key, Person, Roster, fingerprint, in_force, parse
from pytest_deploy.errors import Refused
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import KeyChange, KeyEnrolled, KeyRevoked
from pytest_deploy.record.key import TIMESTAMP_CA, trust_set, write_plain_copies, write_set
from pytest_deploy.record.log import Log, LogView
from pytest_deploy.record.run_id import NO_RUN
from pytest_deploy.workspace import Workspace

YEAR_DAYS = 365


def enroll(
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
    """Make people known, with their keys by e-mail; some may have none. A known person gets another key, or other roles.

    Raises Refused listing every fault, UsageError.
    """
    if not 1 <= valid_days <= YEAR_DAYS:
        raise Refused(f"a key is valid for 1 to {YEAR_DAYS} days, not {valid_days}")
    events = list(log.events())
    before, sha256 = in_force(log.store, events)
    revoked = {
        key: event.seq
        for event, content in of_type(events, KeyRevoked)
        for key in (content.fingerprint or "").split(", ")
    }
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
    data = {"person": emails, "fingerprint": prints, "reason": reason}
    return _put_in_force(log, store, KeyEnrolled, data, actor=actor, before=sha256, files=roster.files())


def revoke(log: Log, store: Path, who: str, *, reason: str, now: datetime, actor: str) -> Event:
    """End the valid keys of a person (e-mail), or one key (fingerprint), now. Raises Refused where none is valid."""
    before, sha256 = in_force(log.store, log.events())
    ended = [key for key in before.keys if who in {key.email, key.fingerprint} and key.valid(now)]
    if not ended:
        raise Refused(f"{who} has no valid key here: `{Workspace.of_store(store).command_line('keys list')}`")
    until = now.replace(microsecond=0)
    keys = tuple(
        replace(key, valid_before=max(until, key.valid_after + timedelta(seconds=1))) if key in ended else key
        for key in before.keys
    )
    data = {"person": ended[0].email, "fingerprint": ", ".join(key.fingerprint for key in ended), "reason": reason}
    files = Roster(before.people, keys).files()
    return _put_in_force(log, store, KeyRevoked, data, actor=actor, before=sha256, files=files)


def trust_authority(log: Log, store: Path, ca: bytes, *, actor: str) -> Event | None:
    """Put the certificate of a timestamp authority into the set in force; None where it is there already.

    The file only grows, as `allowed_signers` does: what an earlier authority stamped is verified by its own certificate.
    """
    _, sha256 = in_force(log.store, log.events())
    certificates = trust_set(log.store, sha256).get(TIMESTAMP_CA, b"")
    if ca in certificates:
        return None
    data = {"person": None, "fingerprint": None, "reason": "the timestamp authority that deploy.yaml names"}
    grown = certificates.rstrip() + b"\n" + ca if certificates else ca
    return _put_in_force(log, store, KeyEnrolled, data, actor=actor, before=sha256, files={TIMESTAMP_CA: grown})


def _put_in_force(
    log: Log,
    store: Path,
    kind: type[KeyChange],
    data: Mapping[str, Any],
    *,
    actor: str,
    before: str,
    files: Mapping[str, bytes],
) -> Event:
    """Write the set `before` (SHA-256, hex) with other `files`, then its event; refuse where another change came meanwhile."""
    files = {**trust_set(log.store, before), **files}
    parse(files)
    folder, sha256 = write_set(log.store, files)

    def still_the_same(view: LogView) -> None:
        newest = next(event for event in view.log.backwards() if event.type.startswith("key.")).content
        if not isinstance(newest, KeyChange) or newest.set_sha256 != before:
            raise Refused("somebody else changed the roster meanwhile; look at it (keys list), then try again")

    content = kind(set=folder, set_sha256=sha256, **data)
    event = log.append(content, run=NO_RUN, actor=actor, condition=still_the_same)
    with suppress(OSError):  # the event counts; a verifier notes older copies, and the next `keys` lays these
        write_plain_copies(store, files)
    return event
