"""Who may sign: the people of roles.json and their keys in allowed_signers, as the trust set in force has them.

allowed_signers is OpenSSH's format, one key a line, one key one person, always with `namespaces=` (one, the same on every
line), `valid-after=` and `valid-before=`, at most a year apart (21 CFR 11.300(b)). roles.json holds each person by e-mail:
printed_name, roles, github (id), local (a user name of this machine), emails (of their commits).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm

from pytest_deploy.errors import IllegalEvent, RecordTampered, Refused, StoreUnavailable, UsageError
from pytest_deploy.record import signed_roster
from pytest_deploy.record.actor import PRINTED_NAME, SIGNER
from pytest_deploy.record.event import Event, canonical, of_type
from pytest_deploy.record.events import KeyChange
from pytest_deploy.record.key import ROSTER, trust_set
from pytest_deploy.record.signed_roster import RosterStatement
from pytest_deploy.record.sshsig import BadSignature, canonical_key
from pytest_deploy.record.store import Store
from pytest_deploy.workspace import NOT_SAID, Workspace

LONGEST: Final = timedelta(days=366)
"""What lies between valid-after and valid-before at most: a year, a leap one too."""

_LINE = re.compile(
    rf"(?P<email>{SIGNER.pattern})"
    r' namespaces="(?P<namespace>[^",*?!]+)",valid-after="(?P<after>\d{14}Z)",valid-before="(?P<before>\d{14}Z)"'
    r" (?P<public>\S+ \S+)"
)
_STAMP: Final = "%Y%m%d%H%M%SZ"
_ALIKE_WRITINGS: Final = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC"})
"""Whose letters look like one another's."""
_KEYS: Final = ("printed_name", "roles", "github", "local", "emails")


@dataclass(frozen=True)
class Person:
    email: str
    """The signer's id: the principal in allowed_signers; lower case."""
    printed_name: str
    roles: tuple[str, ...]
    github: int | None
    local: str | None
    """A user name of this machine: counts in local and rehearsal stores, which alone have `local:` actors."""
    emails: tuple[str, ...]
    """Every e-mail of their commits, lower case."""


@dataclass(frozen=True)
class Key:
    email: str
    public: str
    """`ssh-ed25519 AAAA…`, without a comment."""
    valid_after: datetime
    valid_before: datetime
    namespace: str

    @property
    def fingerprint(self) -> str:
        """`SHA256:…`, as ssh-keygen prints it."""
        return fingerprint(self.public)

    @property
    def short(self) -> str:
        """8 hex of the key's SHA-256, as file names carry it."""
        return hashlib.sha256(_blob(self.public)).hexdigest()[:8]

    @property
    def on_token(self) -> bool:
        """Whether it lies on a FIDO token."""
        return self.public.startswith("sk-")

    def valid(self, at: datetime) -> bool:
        return self.valid_after <= at < self.valid_before

    def line(self) -> str:
        """Its line of allowed_signers, with the newline."""
        after, before = f"{self.valid_after:{_STAMP}}", f"{self.valid_before:{_STAMP}}"
        options = f'namespaces="{self.namespace}",valid-after="{after}",valid-before="{before}"'
        return f"{self.email} {options} {self.public}\n"


@dataclass(frozen=True)
class Roster:
    """The people and keys of one trust set."""

    people: Mapping[str, Person]
    keys: tuple[Key, ...]
    signed: RosterStatement | None = None
    """What administrators signed of it; None where it is the log's key's own word."""
    root_sha256: str = ""
    """Of the first roster that administrators signed, hex; empty where there is none."""
    put_in_by: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """E-mail of each person -> the administrators who signed what it says of them; empty where nobody signed it."""

    @property
    def namespace(self) -> str:
        """What a signature is made for; empty where nobody may sign yet."""
        return self.keys[0].namespace if self.keys else ""

    def of_actor(self, actor: str) -> Person | None:
        """The person behind `github:<id>:<login>`, `local:<uid>:<user>@<host>`, or an e-mail; None where nobody is known."""
        kind, _, rest = actor.partition(":")
        if kind == "github":
            number = rest.partition(":")[0]
            return self._only(person for person in self.people.values() if str(person.github) == number)
        if kind == "local":
            user = rest.partition(":")[2].rpartition("@")[0]
            return self._only(person for person in self.people.values() if person.local == user)
        return self.of_git(actor)

    def of_git(self, email: str) -> Person | None:
        """The person whose commits carry an e-mail."""
        lowered = email.lower()
        return self._only(p for p in self.people.values() if lowered == p.email or lowered in p.emails)

    def unknown_authors(self, emails: Iterable[str], outside: Collection[str]) -> tuple[str, ...]:
        """The e-mails of commits that are nobody's here and not listed as `outside`."""
        known_emails = {email.lower() for email in outside}
        return tuple(email for email in emails if email.lower() not in known_emails and self.of_git(email) is None)

    def holders(self, role: str, at: datetime, *, on_token: bool = False) -> tuple[Person, ...]:
        """Who could fill a role at an instant: holds it, and has a key that is valid, on a token where that is asked."""
        able = {key.email for key in self.keys if key.valid(at) and (key.on_token or not on_token)}
        return tuple(p for p in self.people.values() if role in p.roles and p.email in able)

    def files(self) -> dict[str, bytes]:
        """`allowed_signers` and `roles.json`, as a trust set holds them."""
        people = {email: {key: getattr(person, key) for key in _KEYS} for email, person in self.people.items()}
        return {
            "allowed_signers": "".join(key.line() for key in self.keys).encode(),
            "roles.json": canonical(people),
        }

    @staticmethod
    def _only(people: Iterable[Person]) -> Person | None:
        candidates = list(people)
        return candidates[0] if len(candidates) == 1 else None


def fingerprint(public: str) -> str:
    """`SHA256:…` of a public key's text. Raises UsageError where it is none."""
    return f"SHA256:{base64.b64encode(hashlib.sha256(_blob(public)).digest()).decode().rstrip('=')}"


def fingerprint_of(path: Path) -> str:
    """The fingerprint of a key file: a public key, or a private one with its `.pub` beside it. Raises UsageError."""
    for place in (path, path.with_name(f"{path.name}.pub")):
        try:
            words = place.read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError):
            continue
        if len(words) > 1 and words[0].startswith(("ssh-", "sk-ssh-", "ecdsa-", "sk-ecdsa-")):
            return fingerprint(" ".join(words[:2]))
    raise UsageError(
        f"{path}: no public key in it nor in {path.name}.pub; ssh-keygen -y -f {path.name} > {path.name}.pub makes it"
    )


def _blob(public: str) -> bytes:
    words = public.split()
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (IndexError, binascii.Error):
        raise UsageError(f"{public[:60]!r} is no SSH public key: `ssh-ed25519 AAAA…` is") from None
    if base64.b64encode(blob).decode() != words[1]:
        # Base64 can write some keys in more than one way, and one key under two people would look like two.
        raise UsageError(f"{public[:60]!r} is not written as ssh-keygen writes a public key")
    kind = words[0].encode()
    if blob[4 : 4 + len(kind)] != kind:
        raise UsageError(f"{public[:60]!r} is no SSH public key: its type and its content differ")
    try:
        canonical_blob = canonical_key(blob)
    except (BadSignature, ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{public[:60]!r} is no SSH public key that can sign: {error}") from None
    if canonical_blob != blob:
        # So can the numbers in it: with zeros before them one key would be two people's, or a revoked one new.
        raise UsageError(f"{public[:60]!r} is not written as ssh-keygen writes a public key")
    return blob


def parse(files: Mapping[str, bytes]) -> Roster:
    """The roster of a trust set. Raises Refused listing every fault; nothing of a faulty roster is used."""
    faults: list[str] = []
    keys = tuple(_keys(files.get("allowed_signers", b""), faults))
    people = _people(files.get("roles.json", b"{}\n"), faults)
    faults += _contradictions(people, keys)
    signed = None
    if ROSTER in files:
        try:
            signed = signed_roster.read_statement(files[ROSTER])
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise Refused("the roster cannot be trusted:\n" + "\n".join(f"  {fault}" for fault in faults))
    return Roster({person.email: person for person in people}, keys, signed)


def _keys(text: bytes, faults: list[str]) -> Iterable[Key]:
    for number, line in enumerate(text.decode("utf-8", "replace").splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            faults.append(f"allowed_signers line {number} is not `email namespaces=…,valid-after=…,valid-before=… key`")
            continue
        try:
            after, before = (datetime.strptime(match[name], _STAMP).replace(tzinfo=UTC) for name in ("after", "before"))
            _blob(match["public"])
        except (ValueError, UsageError) as error:
            faults.append(f"allowed_signers line {number} {error}")
            continue
        if before - after > LONGEST:
            faults.append(
                f"allowed_signers line {number}: a key is valid for a year at most, this one for {(before - after).days} days"
            )
        yield Key(match["email"], match["public"], after, before, match["namespace"])


def _people(text: bytes, faults: list[str]) -> list[Person]:
    try:
        document = json.loads(text)
        rewritten = canonical(document)
    except UnicodeDecodeError as error:
        faults.append(f"roles.json is not JSON: byte {error.start} is no UTF-8")
        return []
    except (ValueError, IllegalEvent, RecursionError) as error:
        faults.append(f"roles.json is not JSON: {error}")
        return []
    if rewritten != text or not isinstance(document, dict):
        faults.append("roles.json is not a canonical JSON object")
        return []
    people = []
    for email, entry in document.items():
        try:
            people.append(_person(email, entry))
        except (ValueError, TypeError) as error:
            faults.append(f"roles.json: {error}")
    return people


def _person(email: str, entry: Any) -> Person:
    if not isinstance(entry, dict) or set(entry) != set(_KEYS):
        raise ValueError(f"{email} must have exactly {', '.join(_KEYS)}")
    if wrong := _wrong_name(entry["printed_name"]):
        raise ValueError(f"{email!a}: {wrong}")
    if not isinstance(entry["roles"], list) or not isinstance(entry["emails"], list):
        raise TypeError(f"{email}: roles and emails are lists")
    texts: Sequence[Any] = [*entry["roles"], *entry["emails"]]
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError(f"{email}: a role or an e-mail is empty")
    if not SIGNER.fullmatch(email):
        raise ValueError(
            f"{email!a} is no e-mail of one person, in lower case, in plain ASCII, without a pattern's * ? ! and comma"
        )
    github, local = entry["github"], entry["local"]
    if isinstance(github, bool) or not isinstance(github, int | None) or not isinstance(local, str | None):
        raise TypeError(f"{email}: github is a number or null, local a user name or null")
    return Person(
        email, entry["printed_name"], tuple(entry["roles"]), github, local, tuple(e.lower() for e in entry["emails"])
    )


def _wrong_name(name: Any) -> str:
    """What is wrong with a printed name, in words; empty where it is one that cannot be taken for another way to write it."""
    if (
        not isinstance(name, str)
        or not PRINTED_NAME.fullmatch(name)
        or not name.isprintable()
        or not unicodedata.is_normalized("NFC", name)
    ):
        return (
            f"printed_name is written with one space between words, none around them, without hidden characters, and in "
            f"Unicode's form NFC: {name!a} is not"
        )
    for word in re.split(r"[\W\d_]+", name):
        writings = sorted({unicodedata.name(letter, "").partition(" ")[0] for letter in word} & _ALIKE_WRITINGS)
        if len(writings) > 1:
            return f"{' and '.join(writings)} letters stand in one word of {name!a}: write it in one"
    return ""


def _contradictions(people: Collection[Person], keys: Sequence[Key]) -> list[str]:
    faults = []
    namespaces = sorted({key.namespace for key in keys})
    if len(namespaces) > 1:
        faults.append(f"allowed_signers: more than one namespace: {', '.join(namespaces)}")
    emails = {person.email for person in people}
    faults += [f"allowed_signers: {key.email} is not in roles.json" for key in keys if key.email not in emails]
    faults += [
        f"one key, {fingerprint(public)}, is listed under {owners}"
        for public, owners in _shared((key.public, key.email) for key in keys)
    ]
    identities: dict[str, list[tuple[Any, str]]] = {
        "GitHub id": [(p.github, p.email) for p in people if p.github is not None],
        "user of this machine": [(p.local, p.email) for p in people if p.local is not None],
        "e-mail": [(email, p.email) for p in people for email in (p.email, *p.emails)],
    }
    return faults + [
        f"one {what}, {value}, is under {owners}"
        for what, held in identities.items()
        for value, owners in _shared(held)
    ]


def _shared(held: Iterable[tuple[Any, str]]) -> Iterator[tuple[Any, str]]:
    """Each value that several people hold, and who."""
    owners: dict[Any, set[str]] = {}
    for value, email in held:
        owners.setdefault(value, set()).add(email)
    return ((value, " and ".join(sorted(who))) for value, who in owners.items() if len(who) > 1)


def in_force(store: Store, events: Iterable[Event]) -> tuple[Roster, str]:
    """The roster of the newest trust set that an event put in force, and the set's SHA-256.

    Plain copies are never read. Raises RecordTampered where a file of the set was edited, added or removed, or where the
    administrators of the roster before it did not sign it; Refused where the roster contradicts itself.
    """
    changes = [(event, change) for event, change in of_type(events, KeyChange)]
    if not changes:
        raise StoreUnavailable("the log has no key event: there is no roster in force")
    newest = changes[-1][1].set_sha256
    root, put_in_by = _follow_to_root(store, changes)
    return replace(parse(trust_set(store, newest)), root_sha256=root, put_in_by=put_in_by), newest


def _follow_to_root(
    store: Store, changes: Sequence[tuple[Event, KeyChange]]
) -> tuple[str, Mapping[str, frozenset[str]]]:
    """The SHA-256 of the first signed roster, each later one being signed by enough administrators of the one before it.

    And who signed what the newest says of each person. Raises RecordTampered where one is not signed so: whoever holds the
    log's key has written it.
    """
    root, put_in_by = "", dict[str, frozenset[str]]()
    before: Mapping[str, bytes] | None = None
    for event, change in changes:
        files = trust_set(store, change.set_sha256)
        origin = files.get("log.vkey", b"").decode("utf-8", "replace").partition("+")[0]
        if wrong := signed_roster.wrong_change(before, files, origin=origin, kind=event.type, at=event.time):
            raise RecordTampered(f"event {event.seq} puts a roster in force that is not signed as it must be: {wrong}")
        put_in_by = dict(signed_roster.put_in_by(put_in_by, before, files, at=event.time))
        root, before = root or signed_roster.sha256_of(files) or "", files
    return root, put_in_by


def why_unfit(roster: Roster, trust_root: str | None, at: datetime, workspace: Workspace) -> str:
    """Why nobody's signature counts under a roster at an instant, in words; empty where it can be relied on.

    `trust_root` is the SHA-256 of the first signed roster, where policy pins it.
    """
    if trust_root is not None and roster.root_sha256 != trust_root:
        found = f"{roster.root_sha256[:16]}…" if roster.root_sha256 else "none: no administrator signed it"
        looked_up = workspace.command_line("keys list")
        return f"policy pins the trust root {trust_root[:16]}…, and the roster goes back to {found}: `{looked_up}`"
    if roster.signed is not None and at >= roster.signed.until:
        renew = workspace.command_line("keys renew", "--reason", NOT_SAID)
        return f"the roster ran out at {roster.signed.expires}: have it reviewed and renewed: `{renew}`"
    return ""


def enroll_command(workspace: Workspace, roster: Roster, email: str = NOT_SAID, known: Person | None = None) -> str:
    """The command that makes a key of a person known; what is not known of them is left to say."""
    person = known or Person(email, NOT_SAID, (NOT_SAID,), None, None, ())
    said = [("--person", person.email), ("--name", person.printed_name), *(("--role", role) for role in person.roles)]
    said += [("--github", str(person.github))] if person.github is not None else []
    said += [("--local", person.local)] if person.local is not None else []
    said += [("--git", address) for address in person.emails if address != person.email]
    said += [("--public-key", NOT_SAID), ("--reason", NOT_SAID)]
    said += [("--identity", NOT_SAID), ("--pledge", NOT_SAID)] if roster.signed is not None else []
    words = (word for option in said for word in option)
    return workspace.command_line("keys enroll", *words)
