"""Rosters that administrators sign: each by a quorum of the one before it, back to the trust root (as TUF's root metadata).

The log's key alone can put nobody in force once there is a signed roster. The format: docs/record-format.md, "Signed rosters"
(21 CFR 11.10(g), 11.100(b), 11.300(c)).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from pytest_deploy.errors import IllegalEvent
from pytest_deploy.record import pledge, sshsig
from pytest_deploy.record.actor import PRINTED_NAME, SIGNER
from pytest_deploy.record.clock import parse_stamp, stamp
from pytest_deploy.record.event import canonical
from pytest_deploy.record.key import ROSTER
from pytest_deploy.record.ssh_signature import verify

TYPE: Final = "roster"
MEANING: Final = "puts this roster in force"
LONGEST: Final = timedelta(days=366)
"""From when a roster is put in force until it runs out."""
SIGNATURE: Final = re.compile(r"roster-.*\.sig")
ROSTER_FILES: Final = ("allowed_signers", "roles.json")
_LINE: Final = re.compile(rf"(?P<who>{SIGNER.pattern}) (?:(?P<options>\S+) )?(?P<public>\S+ (?P<blob>\S+))")
_ENDS: Final = re.compile(r'valid-before="(\d{8}|\d{12}|\d{14})Z"')
_NAMESPACE: Final = re.compile(r'namespaces="([^",*?!]+)"')

Files = Mapping[str, bytes]
"""Of a trust set, by name."""


@dataclass(frozen=True, kw_only=True)
class RosterStatement:
    """What administrators sign: `roster.json`."""

    type: str = TYPE
    meaning: str = MEANING
    origin: str
    number: int
    """1 for the trust root."""
    before: str | None
    """SHA-256 of the roster.json before it, hex."""
    allowed_signers_sha256: str
    roles_sha256: str
    administrators: str
    """The role whose holders may sign the next roster."""
    quorum: int
    """How many of them it takes."""
    approvers: tuple[str, ...]
    """The roles that approve each deployment here; one that is named twice takes two people. Policy may ask for more."""
    expires: str
    """A stamp: until when people may sign under it."""
    reason: str
    identity: str
    """How it was verified that those who are new are who they say (21 CFR 11.100(b))."""

    @property
    def until(self) -> datetime:
        return parse_stamp(self.expires)

    def content(self) -> bytes:
        return canonical(asdict(self))


_KEYS: Final = frozenset(RosterStatement.__dataclass_fields__)
_TEXTS: Final = ("origin", "allowed_signers_sha256", "roles_sha256", "administrators", "expires", "reason", "identity")


def read_statement(content: bytes) -> RosterStatement:
    """Raises ValueError, saying what is wrong, for anything that would not be written so."""
    try:
        document = json.loads(content)
        again = canonical(document)
    except (ValueError, RecursionError, IllegalEvent):
        document = again = None
    if not isinstance(document, dict) or again != content:
        raise ValueError(f"{ROSTER} is not canonical JSON")
    if set(document) != _KEYS or (document["type"], document["meaning"]) != (TYPE, MEANING):
        raise ValueError(f"{ROSTER} is not the statement of a roster")
    named = document["approvers"] if isinstance(document["approvers"], list) else [""]
    numbers = all(isinstance(document[key], int) and document[key] is not True for key in ("number", "quorum"))
    texts = all(isinstance(document[key], str) for key in _TEXTS) and isinstance(document["before"], str | None)
    roles = all(isinstance(role, str) and role for role in named)
    if not numbers or not texts or not roles or not document["administrators"]:
        raise ValueError(f"{ROSTER} is not the statement of a roster")
    statement = RosterStatement(**{**document, "approvers": tuple(named)})
    try:
        parse_stamp(statement.expires)
    except ValueError:
        raise ValueError(f"{ROSTER}: its expires is no UTC time like 2026-11-22T20:25:07.951Z") from None
    return statement


def digest(content: bytes) -> str:
    """SHA-256, hex."""
    return hashlib.sha256(content).hexdigest()


def sha256_of(files: Files) -> str | None:
    """The SHA-256 of a set's roster.json, hex; None where the set is not signed."""
    return digest(files[ROSTER]) if ROSTER in files else None


def namespaces_of(files: Files) -> set[str]:
    """What the signatures of a set's people are made for: one namespace, where nobody tampered."""
    return set(_NAMESPACE.findall(files.get("allowed_signers", b"").decode("utf-8", "replace")))


def signatures(files: Files) -> dict[str, bytes]:
    """The administrators' signatures of a set, by file name."""
    return {name: content for name, content in files.items() if SIGNATURE.fullmatch(name)}


def pledges(files: Files) -> dict[str, bytes]:
    """The pledges of a set's new keys, by file name."""
    return {name: content for name, content in files.items() if pledge.SIGNATURE.fullmatch(name)}


def wrong_change(before: Files | None, after: Files, *, origin: str, kind: str, at: datetime) -> str:
    """Why a set may not follow another, as far as who may sign goes, in words; empty where it may.

    Args:
        before: The files of the set in force before it; None for the first.
        after: Its own.
        origin: Of the log.
        kind: The type of the event that puts it in force.
        at: The log's time of that event, UTC: by it keys are valid.
    """
    signed_before = before is not None and ROSTER in before
    # 1. Once rosters are signed, they stay signed.
    if ROSTER not in after:
        return f"its roster is not signed: {ROSTER} is missing, and the one before it has one" if signed_before else ""
    if before is not None and before.get(ROSTER) == after[ROSTER]:
        return _other_files(before, after)
    # 2. It is a statement about this set.
    try:
        statement = read_statement(after[ROSTER])
    except ValueError as error:
        return f"in its trust set, {error}"
    preceding = read_statement(before[ROSTER]) if before is not None and signed_before else None
    if wrong := _contradiction(statement, preceding, before, after, origin=origin, kind=kind, at=at):
        return f"in its trust set, {ROSTER} {wrong}"
    # 3. It tells people apart, and who has a new key pledged it.
    if wrong := _shared_or_open(after) or unpledged(before if preceding else None, after, at=at):
        return f"in its trust set, {wrong}"
    # 4. Enough administrators of the roster before it signed; of the trust root its own.
    judging = before if before is not None and preceding is not None else after
    return _not_signed(judging, preceding or statement, after, concerned(before, after) if preceding else (), at=at)


def new_keys(before: Files | None, after: Files, *, at: datetime) -> list[tuple[str, str]]:
    """(e-mail, public key) of each key that has not ended at an instant, and that the person did not have so before."""
    had = _lasting(before or {}, at)
    return [key for key in _lasting(after, at) if key not in had]


def _lasting(files: Files, at: datetime) -> dict[tuple[str, str], None]:
    lines = map(_LINE.fullmatch, files.get("allowed_signers", b"").decode("utf-8", "replace").splitlines())
    now = f"{at:%Y%m%d%H%M%S}"
    return {
        (line["who"], line["public"]): None
        for line in lines
        if line and not ((ends := _ENDS.search(line["options"] or "")) and ends[1].ljust(len(now), "0") <= now)
    }


def unpledged(before: Files | None, after: Files, *, at: datetime) -> str:
    """Whose new key lacks its pledge in a signed set, in words; empty where none does.

    `before` is the signed set that judges it; None for the trust root.
    """
    origin, people = read_statement(after[ROSTER]).origin, _people(after)
    namespaces = namespaces_of(before or after)
    for email, public in new_keys(before, after, at=at):
        entry = people.get(email)
        if not isinstance(entry, dict):
            return f"allowed_signers has a key of {email}, who is not in roles.json"
        if len(namespaces) != 1:
            return "allowed_signers names no namespace, or more than one"
        try:
            name = pledge.file_name(base64.b64decode(public.split()[1], validate=True))
        except ValueError:
            return f"allowed_signers has a key of {email} that is not in base64"
        signature = after.get(name)
        if signature is None:
            return f"the new key of {email} has no pledge: {name} is missing"
        if wrong := pledge.why_wrong(
            signature, public, origin, email, entry["printed_name"], min(namespaces), at.replace(microsecond=0)
        ):
            return f"{name} {wrong}"
    return ""


def _shared_or_open(files: Files) -> str:
    """Why a set does not tell one person from another, or is no canonical JSON; empty where it is sound."""
    return _shared_key(files) or _unreadable_person(files)


def _shared_key(files: Files) -> str:
    owners: dict[str, str] = {}
    for line in files.get("allowed_signers", b"").decode("utf-8", "replace").splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            return f"allowed_signers has a line that is not one person's: {line[:60]!r}"
        if owners.setdefault(match["blob"], match["who"]) != match["who"]:
            return f"one key stands for {owners[match['blob']]} and {match['who']}"
        if not sshsig.is_canonical(match["blob"]):
            return f"a key of {match['who']} is not written as ssh-keygen writes it: one key would look like two"
    return ""


def _unreadable_person(files: Files) -> str:
    try:
        sound = canonical(json.loads(files.get("roles.json", b""))) == files.get("roles.json")
    except (ValueError, RecursionError, IllegalEvent):
        sound = False
    if not sound:
        return "roles.json is not canonical JSON"
    for email, entry in _people(files).items():
        if not SIGNER.fullmatch(email):
            return f"roles.json has {email[:60]!a}, which is not one person's address"
        name = entry.get("printed_name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not PRINTED_NAME.fullmatch(name):
            return f"{email} of roles.json has a printed_name that is not written as one"
    return ""


def _other_files(before: Files, after: Files) -> str:
    """Why a set with the roster.json of the one before it is none of the same roster; empty where it is."""
    names = {*ROSTER_FILES, *signatures(before), *signatures(after), *pledges(before), *pledges(after)}
    other = sorted(name for name in names if before.get(name) != after.get(name))
    return f"its {other[0]} changed, and {ROSTER} did not" if other else ""


def _contradiction(  # noqa: PLR0911 -- one reason each
    statement: RosterStatement,
    preceding: RosterStatement | None,
    before: Files | None,
    after: Files,
    *,
    origin: str,
    kind: str,
    at: datetime,
) -> str:
    number, follows = (preceding.number + 1, sha256_of(before or {})) if preceding is not None else (1, None)
    own = [digest(after.get(name, b"")) for name in ROSTER_FILES]
    holders = administrators(after, statement.administrators)
    if kind not in {"key.enrolled", "key.revoked"}:
        return f"is another than before, and a {kind} changes no roster"
    if statement.origin != origin:
        return f"is of the log {statement.origin}, this is {origin}"
    if (statement.number, statement.before) != (number, follows):
        return f"is number {statement.number} and does not follow the one before it: number {number} would"
    if own != [statement.allowed_signers_sha256, statement.roles_sha256]:
        return "is about another allowed_signers or roles.json"
    if not at < statement.until <= at + LONGEST:
        return f"runs out at {statement.expires}: right is after its event, by 366 days at most"
    if statement.quorum < 1 or (len(holders) > 1 and statement.quorum < 2):  # noqa: PLR2004 -- two people where there are two
        return f"asks for {statement.quorum}: right is 1 or more, and 2 where two people are {statement.administrators}"
    return ""


def _not_signed(
    judging: Files, rule: RosterStatement, after: Files, concerned_people: Collection[str], *, at: datetime
) -> str:
    people: set[str] = set()
    for name, signature in sorted(signatures(after).items()):
        signer, why = signed_by(judging, rule.administrators, after[ROSTER], signature, at=at)
        if why:
            return f"in its trust set, {name} {why}"
        people.add(signer)
    counting = sorted(people.difference(concerned_people))
    if len(counting) >= rule.quorum:
        return ""
    signed = ", ".join(counting) or "nobody"
    return f"its roster is not signed by {rule.quorum} who were {rule.administrators} before it: signed by {signed}" + (
        ", without those whom it concerns" if people.intersection(concerned_people) else ""
    )


def signed_by(judging: Files, role: str, content: bytes, signature: bytes, *, at: datetime) -> tuple[str, str]:
    """(e-mail of the administrator, "") whose signature it is by a roster at an instant, else ("", why it counts not)."""
    return _signed_by(judging.get("allowed_signers", b""), administrators(judging, role), role, content, signature, at)


@lru_cache(maxsize=8192)
def _signed_by(  # noqa: PLR0917 -- what a cache knows a call by
    allowed: bytes, holders: frozenset[str], role: str, content: bytes, signature: bytes, at: datetime
) -> tuple[str, str]:
    """The same, kept: a process follows a roster to its root each time it asks who may sign, and ssh-keygen costs."""
    namespaces = namespaces_of({"allowed_signers": allowed})
    if len(namespaces) != 1:
        return "", "cannot be checked: allowed_signers names no namespace, or more than one"
    namespace = namespaces.pop()
    try:
        read = sshsig.check(content, signature, namespace=namespace)
    except sshsig.BadSignature as error:
        return "", f"does not verify: {error}"
    able = sshsig.signer_of(read, allowed, at=at) & holders
    if len(able) != 1:
        return "", f"is by no key that a {role} of that roster had at {stamp(at)}: {read.fingerprint}"
    (signer,) = able
    _, why = verify(content, signature, allowed_signers=allowed, signer=signer, namespace=namespace, at=at)
    return (signer, "") if not why else ("", why)


def put_in_by(
    had: Mapping[str, frozenset[str]], before: Files | None, after: Files, *, at: datetime
) -> Mapping[str, frozenset[str]]:
    """E-mail of each person -> the administrators who signed what the roster says of them, by the newest roster that concerned them.

    Args:
        had: The same for the set before; empty for the first.
        before: As for `wrong_change`, after which this is asked: `after` is legal.
        after: As there.
        at: As there.
    """
    if ROSTER not in after or (before is not None and before.get(ROSTER) == after[ROSTER]):
        return had
    preceding = before if before is not None and ROSTER in before else None
    judging = preceding or after
    role = read_statement(judging[ROSTER]).administrators
    by = {signed_by(judging, role, after[ROSTER], one, at=at)[0] for one in signatures(after).values()}
    return {**had, **dict.fromkeys(concerned(preceding, after), frozenset(by))}


def administrators(files: Files, role: str) -> frozenset[str]:
    """The e-mails of those who hold a role in a set."""
    return frozenset(
        email
        for email, entry in _people(files).items()
        if isinstance(entry, dict) and isinstance(entry.get("roles"), list) and role in entry["roles"]
    )


def concerned(before: Files | None, after: Files) -> frozenset[str]:
    """The e-mails of those whose entry or keys are others in one set than in another."""
    sets = (before or {}, after)
    old, new = (_people(files) for files in sets)
    lines_before, lines_after = (_lines(files) for files in sets)
    return frozenset(
        email
        for email in old.keys() | new.keys() | lines_before.keys() | lines_after.keys()
        if old.get(email) != new.get(email) or lines_before.get(email) != lines_after.get(email)
    )


def _people(files: Files) -> Mapping[str, Any]:
    try:
        people = json.loads(files.get("roles.json", b"{}"))
    except (ValueError, RecursionError):
        return {}
    return people if isinstance(people, dict) else {}


def _lines(files: Files) -> Mapping[str, tuple[str, ...]]:
    """The lines of allowed_signers by whose they are, sorted."""
    by_person: dict[str, list[str]] = {}
    for line in files.get("allowed_signers", b"").decode("utf-8", "replace").splitlines():
        by_person.setdefault(line.partition(" ")[0], []).append(line)
    return {email: tuple(sorted(lines)) for email, lines in by_person.items()}
