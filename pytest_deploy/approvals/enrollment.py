"""Changes of who may sign: each a new trust set, written before the event that puts it in force. A set only grows.

A revoked or ended key keeps its line, with `valid-before` at its end: what it signed before stays good.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

from pytest_deploy.approvals import look_alikes
from pytest_deploy.approvals.roster import Key, Person, Roster, fingerprint, in_force, parse
from pytest_deploy.errors import Refused
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import KeyChange, KeyEnrolled, KeyRevoked
from pytest_deploy.record.key import LARGEST_SET, ROSTER, TIMESTAMP_CA, trust_set, write_plain_copies, write_set
from pytest_deploy.record.log import Log, LogView
from pytest_deploy.record.run_id import NO_RUN
from pytest_deploy.record.signed_roster import pledges, signatures, wrong_change
from pytest_deploy.workspace import Workspace

YEAR_DAYS = 365


@dataclass(frozen=True)
class RosterChange:
    """Another roster, and what the event says that puts it in force."""

    before: Roster
    set_sha256: str
    """Of the trust set in force."""
    after: Roster
    kind: type[KeyChange]
    person: str | None
    """E-mails, with commas between."""
    fingerprint: str | None
    """Of the keys that are new, or that end, with commas between."""
    reason: str


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
    valid_from: datetime | None = None,
    valid_until: datetime | None = None,
    distinct_from: Collection[str] = (),
) -> Event:
    """Make people known by the log's key alone, which it can until administrators have signed a roster.

    Raises Refused listing every fault, UsageError.
    """
    change = enrolling(
        log, people, public, namespace=namespace, now=now, reason=reason, valid_days=valid_days, valid_from=valid_from,
        valid_until=valid_until, distinct_from=distinct_from,
    )  # fmt: skip
    return put_in_force(log, store, change, actor=actor)


def enrolling(
    log: Log,
    people: Sequence[Person],
    public: Mapping[str, str],
    *,
    namespace: str,
    now: datetime,
    reason: str,
    valid_days: int = YEAR_DAYS,
    valid_from: datetime | None = None,
    valid_until: datetime | None = None,
    distinct_from: Collection[str] = (),
) -> RosterChange:
    """People made known, with their keys by e-mail; some may have none. A known person gets another key, or other roles.

    A key is valid from now on, or from `valid_from`, for `valid_days`, or until `valid_until` (UTC).
    `distinct_from` names those whom they look like and are not. Until administrators sign the roster the reason says so.

    Raises Refused listing every fault, UsageError.
    """
    start, end = _validity(now, valid_days, valid_from, valid_until)
    events = list(log.events())
    before, sha256 = in_force(log.store, events)
    revoked = {
        key: event.seq
        for event, content in of_type(events, KeyRevoked)
        for key in (content.fingerprint or "").split(", ")
    }
    keys = list(before.keys)
    for email, text in public.items():
        bare = " ".join(text.split()[:2])
        if (known := fingerprint(bare)) in revoked:
            raise Refused(f"event {revoked[known]} revoked the key {known}: nobody signs with it again, make a new one")
        had = [key for key in keys if key.public == bare and key.email == email and now < key.valid_before]
        if had and (valid_from or valid_until):
            raise Refused(
                f"{email} has the key {had[0].fingerprint} from {had[0].valid_after:%Y-%m-%d} to {had[0].valid_before:%Y-%m-%d %H:%M} "
                "UTC: for other days make another key"
            )
        if had and _has_its_days(had[0]) and any(len(person.roles) > 1 for person in people if person.email == email):
            raise Refused(
                f"{email} has the key {had[0].fingerprint} for the days of a deputy, who stands in for one role: say one --role, "
                "or revoke that key and enroll another"
            )
        if not had:
            keys.append(Key(email, bare, start, end, namespace))
    roster = Roster({**before.people, **{person.email: person for person in people}}, tuple(keys))
    emails = ", ".join(person.email for person in people)
    prints = ", ".join(fingerprint(text) for text in public.values()) or None
    others = [email.lower() for email in distinct_from]
    if unknown := [email for email in others if email not in roster.people]:
        raise Refused(f"--distinct-from {unknown[0]}: the roster knows nobody of that address")
    word = look_alikes.distinct_from(others)
    look_alikes.refuse_look_alikes(before, roster, word, now)
    reason = reason if before.signed is not None else f"{reason}{word}"
    return RosterChange(before, sha256, roster, KeyEnrolled, emails, prints, reason)


def _has_its_days(key: Key) -> bool:
    """Whether its first or last day was said, as a deputy's is: no other key begins or ends with a day."""
    return any(instant.time() == time.min for instant in (key.valid_after, key.valid_before))


def _validity(
    now: datetime, days: int, valid_from: datetime | None, valid_until: datetime | None
) -> tuple[datetime, datetime]:
    """From when until when a new key is valid. Raises Refused where that is past, nothing, or more than a year."""
    if not 1 <= days <= YEAR_DAYS:
        raise Refused(f"a key is valid for 1 to {YEAR_DAYS} days, not {days}")
    now = now.replace(microsecond=0)
    start = max(now, valid_from or now)
    end = valid_until or start + timedelta(days=days)
    if valid_from is not None and valid_from.date() < now.date():
        raise Refused(
            f"a key is valid from today on at the earliest, not from {valid_from:%Y-%m-%d}: nothing is signed for it before"
        )
    if not start < end <= start + timedelta(days=YEAR_DAYS):
        raise Refused(
            f"a key that begins at {start:%Y-%m-%d %H:%M} UTC ends after that, within {YEAR_DAYS} days, not at {end:%Y-%m-%d %H:%M} UTC"
        )
    return start, end


def revoking(log: Log, store: Path, who: str, *, reason: str, now: datetime) -> RosterChange:
    """The valid keys of a person (e-mail), or one key (fingerprint), ended now. Raises Refused where none is valid."""
    before, sha256 = in_force(log.store, log.events())
    ended = [key for key in before.keys if who in {key.email, key.fingerprint} and key.valid(now)]
    if not ended:
        raise Refused(f"{who} has no valid key here: `{Workspace.of_store(store).command_line('keys list')}`")
    until = now.replace(microsecond=0)
    keys = tuple(
        replace(key, valid_before=max(until, key.valid_after + timedelta(seconds=1))) if key in ended else key
        for key in before.keys
    )
    prints = ", ".join(key.fingerprint for key in ended)
    return RosterChange(before, sha256, Roster(before.people, keys), KeyRevoked, ended[0].email, prints, reason)


def revoke(log: Log, store: Path, who: str, *, reason: str, now: datetime, actor: str) -> Event:
    """End keys as `revoking` says, by the log's key alone."""
    return put_in_force(log, store, revoking(log, store, who, reason=reason, now=now), actor=actor)


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


def put_in_force(
    log: Log, store: Path, change: RosterChange, *, actor: str, signed: Mapping[str, bytes] | None = None
) -> Event:
    """Put a changed roster in force. `signed`: the statement and signatures of administrators, by file name.

    Raises Refused where the roster is signed and the change is not, or where another change came meanwhile.
    """
    if change.before.signed is not None and not signed:
        raise Refused("administrators signed this roster, and only they change it: propose the change, have it signed")
    data = {"person": change.person, "fingerprint": change.fingerprint, "reason": change.reason}
    files = {**change.after.files(), **(signed or {})}
    return _put_in_force(log, store, change.kind, data, actor=actor, before=change.set_sha256, files=files)


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
    in_place = kept = trust_set(log.store, before)
    if ROSTER in files:  # a new statement: what was signed for the one before it stays in its own set
        kept = {name: content for name, content in kept.items() if name not in {**signatures(kept), **pledges(kept)}}
    files = {**kept, **files}
    parse(files)
    if len(files) > LARGEST_SET:
        raise Refused(
            f"a trust set has {LARGEST_SET} files at most, this one would have {len(files)}: enroll fewer people at once"
        )
    folder, sha256 = write_set(log.store, files)

    def still_the_same(view: LogView) -> None:
        newest = next(event for event in view.log.backwards() if event.type.startswith("key.")).content
        if not isinstance(newest, KeyChange) or newest.set_sha256 != before:
            raise Refused("somebody else changed the roster meanwhile; look at it (keys list), then try again")
        # What every reader would refuse is not written: a proposal may have run out, or a key of who signed it.
        if wrong := wrong_change(in_place, files, origin=log.key.origin, kind=kind.type, at=view.time):
            raise Refused(f"this roster cannot be put in force: {wrong}; propose it anew")

    content = kind(set=folder, set_sha256=sha256, **data)
    event = log.append(content, run=NO_RUN, actor=actor, condition=still_the_same)
    with suppress(OSError):  # the event counts; a verifier notes older copies, and the next `keys` lays these
        write_plain_copies(store, files)
    return event
