"""What people sign under a request: an approval, or one person's part of an override.

Canonical JSON with the printed name, the time and the meaning of the signature (21 CFR 11.50). An approval binds run and
request; an override besides names the gate, the incident, why, and until when. Signing makes two files, created and never
replaced, and the event that counts them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pytest_deploy.approvals.rehearsal_roster import throw_away_key
from pytest_deploy.approvals.roster import Key, Person, Roster, fingerprint_of, in_force
from pytest_deploy.approvals.signed_file import SignedFile, require_valid_key, slug, store_signed_file
from pytest_deploy.errors import IllegalEvent, Refused, UsageError
from pytest_deploy.record.clock import parse_stamp, stamp
from pytest_deploy.record.event import Event, canonical
from pytest_deploy.record.events import ApprovalSigned, EventContent, OverrideSigned, given
from pytest_deploy.record.log import Log
from pytest_deploy.release import source
from pytest_deploy.release.request import digest
from pytest_deploy.workspace import Workspace

MEANING: Final = "approves the deployment of this request"
MEANING_OF_OVERRIDE: Final = "answers for passing over this gate, once, for this request"


@dataclass(frozen=True)
class Approval:
    """An approval of one request, for one role."""

    meaning: str
    printed_name: str
    signer: str
    """An e-mail of the roster."""
    role: str
    signed_at: str
    """A stamp, by the request's own clock."""
    request_sha256: str
    run: str
    comment: str

    @property
    def at(self) -> datetime:
        """When the signer says they signed, UTC."""
        return parse_stamp(self.signed_at)


@dataclass(frozen=True)
class OverrideStatement:
    """One person's part of an override: it takes two."""

    meaning: str
    printed_name: str
    signer: str
    role: str
    signed_at: str
    request_sha256: str
    run: str
    gate: str
    incident: str
    reason: str
    expires: str

    @property
    def at(self) -> datetime:
        """When the signer says they signed, UTC."""
        return parse_stamp(self.signed_at)

    @property
    def until(self) -> datetime:
        """When it runs out, UTC."""
        return parse_stamp(self.expires)


# --- as bytes


def render(statement: Approval | OverrideStatement) -> bytes:
    """The bytes that are signed: canonical JSON and a newline."""
    return canonical(asdict(statement))


def parse_approval(text: bytes) -> Approval:
    """An approval from its bytes. Raises ValueError for a key missing, empty, of another kind, or one too many."""
    return Approval(**_parse(text, Approval, may_be_empty=frozenset({"comment"})))


def parse_override(text: bytes) -> OverrideStatement:
    """An override statement from its bytes. Raises ValueError as `parse_approval`."""
    statement = OverrideStatement(**_parse(text, OverrideStatement))
    parse_stamp(statement.expires)
    return statement


def _parse(
    text: bytes, kind: type[Approval | OverrideStatement], may_be_empty: frozenset[str] = frozenset()
) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
        again = canonical(value)
    except (ValueError, IllegalEvent, RecursionError) as error:
        raise ValueError(f"is no canonical JSON: {error}") from None
    if again != text or not isinstance(value, dict):
        raise ValueError("is no canonical JSON object")
    names = {field.name for field in fields(kind)}
    if wrong := sorted(names ^ value.keys()):
        raise ValueError(f"must hold exactly {', '.join(sorted(names))}: {', '.join(wrong)} is missing or too much")
    if bad := sorted(
        key for key, text in value.items() if not isinstance(text, str) or not (text.strip() or key in may_be_empty)
    ):
        raise ValueError(f"{', '.join(bad)} is empty or no text")
    if hidden := sorted(key for key, text in value.items() if not text.isprintable()):
        # A line break or a control sequence could show a reader another statement than the one that was signed.
        raise ValueError(f"{', '.join(hidden)} holds characters that cannot be shown")
    parse_stamp(value["signed_at"])
    return value


# --- signed


def sign_approval(
    log: Log, store: Path, run: str, *, person: Person, role: str, key: Path, comment: str, now: datetime
) -> Event:
    """Sign a request for one role; returns the `approval.signed` event. `now` is the request's own clock.

    A signature that could never count is not made. Raises Refused (role not held, key not valid, signed already), Failed
    where ssh-keygen does not sign, StoreUnavailable.
    """
    request = (store / "runs" / run / "request.json").read_bytes()
    statement = Approval(MEANING, person.printed_name, person.email, role, stamp(now), digest(request), run, comment)
    return _sign_request(log, statement, approval_event, key=key, slot=slug(role), person=person)


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
    return _sign_request(log, statement, override_event, key=key, slot=f"override-{gate}", person=person)


def approval_event(file: SignedFile) -> ApprovalSigned:
    """The event that counts the file of an approval."""
    statement = parse_approval(file.content)
    return ApprovalSigned(
        **file.digests(),
        signer=statement.signer,
        role=statement.role,
        meaning=statement.meaning,
        request_sha256=statement.request_sha256,
        printed_name=statement.printed_name,
        signed_at=statement.at,
        comment=statement.comment or None,
    )


def override_event(file: SignedFile) -> OverrideSigned:
    """The event that counts the file of one person's part of an override."""
    statement = parse_override(file.content)
    return OverrideSigned(
        **file.digests(),
        signer=statement.signer,
        reason=statement.reason,
        gate=statement.gate,
        incident=statement.incident,
        expires=statement.until,
        request_sha256=statement.request_sha256,
        role=statement.role,
        meaning=statement.meaning,
        printed_name=statement.printed_name,
        signed_at=statement.at,
    )


def _sign_request(
    log: Log,
    statement: Approval | OverrideStatement,
    event: Callable[[SignedFile], ApprovalSigned | OverrideSigned],
    *,
    key: Path,
    slot: str,
    person: Person,
) -> Event:
    """Sign, put both files under the first free name of the slot, count them."""
    roster, _ = in_force(log.store, log.events())
    at, run = log.clock.now(), statement.run
    enrolled_key = require_valid_key(roster, person, statement.role, key, at)
    _refuse_second(log, statement, enrolled_key)
    file = store_signed_file(
        log.store,
        f"runs/{run}/approvals",
        slot,
        render(statement),
        key=key,
        known=enrolled_key,
        roster=roster,
        at=at,
        check=lambda signed: log.check(event(signed), run=run, actor=person.email),
    )
    return log.append(event(file), run=run, actor=person.email)


def _refuse_second(log: Log, statement: Approval | OverrideStatement, key: Key) -> None:
    """Refuse what would count no more than it does; an override may follow one that ran out or names another incident."""
    for event in log.run(statement.run):
        if _says_the_same(event.content, statement):
            raise Refused(f"{key.email} has signed this already, at {stamp(event.time)}; nothing was added")


def _says_the_same(content: EventContent, statement: Approval | OverrideStatement) -> bool:
    match content, statement:
        case ApprovalSigned(), Approval():
            return (content.signer, content.role) == (statement.signer, statement.role)
        case OverrideSigned(), OverrideStatement():
            signed = (content.signer, given(content.role), given(content.gate), given(content.incident))
            same = signed == (statement.signer, statement.role, statement.gate, statement.incident)
            expires = given(content.expires)
            return same and (expires is None or expires > statement.at)
        case _:
            return False


# --- who signs a command, and with which key


def choose_signer(workspace: Workspace, roster: Roster, role: str, key: Path | None) -> tuple[Person, Path]:
    """Who signs, and with what: the key given, a rehearsal's throw-away key of the role, else git's signing key.

    Raises UsageError where there is no key, Refused where it is nobody's.
    """
    if key is None and workspace.rehearsal and role:
        key = throw_away_key(workspace, role)
    if key is not None and not key.is_file():
        raise UsageError(
            f"--key {key}: there is no such file; right is a private key, or the public key of one in the agent"
        )
    key = key or _git_signing_key()
    if key is None:
        raise UsageError(
            "say which key signs: --key FILE (a private key, or the public key of one in the agent or on a token)"
        )
    fingerprint = fingerprint_of(key)
    for enrolled in roster.keys:
        if enrolled.fingerprint == fingerprint:
            return roster.people[enrolled.email], key
    raise Refused(
        f"{key}: the roster knows nobody with the key {fingerprint}; python deploy.py keys enroll makes it known"
    )


def _git_signing_key() -> Path | None:
    named = source.setting("user.signingkey")
    key = Path(named).expanduser()
    return key if named and key.is_file() else None
