"""What people sign under a request: an approval, a rejection, or one person's part of an override.

Canonical JSON with the printed name, the time and the meaning of the signature (21 CFR 11.50). An approval binds run and
request; an override besides names the gate, the incident, why, and until when. Signing makes two files, created and never
replaced, and the event that counts them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Final, TypeVar

from pytest_deploy.approvals.rehearsal_roster import throw_away_key
from pytest_deploy.approvals.roster import Person, Roster, enroll_command, fingerprint_of, in_force
from pytest_deploy.approvals.signed_file import Statement, sign_and_count, signing_key, slug
from pytest_deploy.errors import IllegalEvent, Refused, UsageError
from pytest_deploy.policy.user_verification import UserVerification
from pytest_deploy.record import stored_file
from pytest_deploy.record.clock import parse_stamp, stamp
from pytest_deploy.record.event import Event, canonical, of_type
from pytest_deploy.record.events import OverrideSigned, RequestMade, Signed, given
from pytest_deploy.record.log import Log
from pytest_deploy.record.meanings import APPROVES, OVERRIDES, REJECTS, wrong_lifetime
from pytest_deploy.release import git
from pytest_deploy.release.request import digest
from pytest_deploy.workspace import Workspace


@dataclass(frozen=True)
class Approval(Statement):
    """An approval of one request, for one role."""

    type: ClassVar[str] = "approval.signed"
    ONCE: ClassVar[tuple[str, ...]] = ("signer", "role")
    """Signed again with the same values it would count no more."""
    request_sha256: str
    run: str
    comment: str


@dataclass(frozen=True)
class Rejection(Statement):
    """One who may approve a request rejects it, until the same person approves it."""

    type: ClassVar[str] = "request.rejected"
    ONCE: ClassVar[tuple[str, ...]] = ("signer",)
    request_sha256: str
    run: str
    reason: str


@dataclass(frozen=True)
class OverrideStatement(Statement):
    """One person's part of an override: it takes two."""

    type: ClassVar[str] = "override.signed"
    ONCE: ClassVar[tuple[str, ...]] = ("signer", "role", "gate", "incident")
    request_sha256: str
    run: str
    gate: str
    incident: str
    reason: str
    expires: str

    @property
    def until(self) -> datetime:
        """When it runs out, UTC."""
        return parse_stamp(self.expires)


UnderRequest = Approval | Rejection | OverrideStatement
S = TypeVar("S", bound=UnderRequest)
_TURNED: Final = {Approval.type: Rejection.type, Rejection.type: Approval.type}
"""By which of a person's statements another is taken back."""


def render(statement: UnderRequest) -> bytes:
    """The bytes that are signed: canonical JSON and a newline."""
    return canonical(asdict(statement))


def parse(text: bytes, kind: type[S]) -> S:
    """A statement from its bytes. Raises ValueError for a key missing, empty, of another kind, or one too many."""
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
        key for key, text in value.items() if not isinstance(text, str) or not (text.strip() or key == "comment")
    ):
        raise ValueError(f"{', '.join(bad)} is empty or no text")
    if hidden := sorted(key for key, text in value.items() if not text.isprintable()):
        # A line break or a control sequence could show a reader another statement than the one that was signed.
        raise ValueError(f"{', '.join(hidden)} holds characters that cannot be shown")
    for key in names & {"signed_at", "expires"}:
        parse_stamp(value[key])
    return kind(**value)


# --- signed


def sign_approval(
    log: Log, store: Path, run: str, *, person: Person, role: str, key: Path, comment: str, now: datetime,
    user_verification: UserVerification = "none",
) -> Event:  # fmt: skip
    """Sign a request for one role; returns the `approval.signed` event. `now` is the request's own clock, `user_verification` what policy asks.

    Raises as `sign_and_count`, and Refused where the person has signed it already.
    """
    stated = (APPROVES, person.printed_name, person.email, role, stamp(now), _request_sha256(store, run), run)
    return _sign(log, Approval(*stated, comment), slug(role), person, key, user_verification=user_verification)


def sign_rejection(
    log: Log, store: Path, run: str, *, person: Person, role: str, key: Path, reason: str, now: datetime
) -> Event:
    """Sign that a request must not be deployed; returns the `request.rejected` event. Raises as `sign_approval`."""
    stated = (REJECTS, person.printed_name, person.email, role, stamp(now), _request_sha256(store, run), run)
    return _sign(log, Rejection(*stated, reason), f"rejection-{slug(role)}", person, key)


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
    user_verification: UserVerification = "none",
) -> Event:
    """Sign one person's part of an override; returns the `override.signed` event.

    Raises as `sign_approval`, and Refused where it would last longer than one may.
    """
    if wrong := wrong_lifetime(now, expires):
        raise Refused(f"an override that {wrong} counts nowhere; nothing was signed")
    stated = (
        OVERRIDES,
        person.printed_name,
        person.email,
        role,
        stamp(now),
        _request_sha256(store, run),
        run,
    )
    statement = OverrideStatement(*stated, gate, incident, reason, stamp(expires))
    return _sign(log, statement, f"override-{gate}", person, key, user_verification=user_verification)


def _request_sha256(store: Path, run: str) -> str:
    return digest(stored_file.read(stored_file.file_of(store, f"runs/{run}/request.json")))


def _sign(
    log: Log,
    statement: UnderRequest,
    slot: str,
    person: Person,
    key: Path,
    *,
    user_verification: UserVerification = "none",
) -> Event:
    """Refuse what would count no more than it does.

    An override may follow one that ran out or names another incident, and anything what was signed with a key that was ended.
    """
    # What was shown is what is signed: a person took their time to read.
    if not any(
        made.request_sha256 == statement.request_sha256 for _, made in of_type(log.run(statement.run), RequestMade)
    ):
        raise Refused(f"runs/{statement.run}/request.json is not the request that was made; nothing was signed")
    roster, now = in_force(log.store, log.events())[0], log.clock.now()
    valid = {enrolled.fingerprint for enrolled in roster.keys if enrolled.email == person.email and enrolled.valid(now)}
    signatures = [found for found in of_type(log.run(statement.run), Signed) if found[1].signer == person.email]
    turned = max((event.seq for event, _ in signatures if event.type == _TURNED.get(statement.type)), default=-1)
    for event, signed in signatures:
        same = event.type == statement.type and all(
            given(getattr(signed, name)) == getattr(statement, name) for name in statement.ONCE
        )
        expires = given(signed.expires) if isinstance(signed, OverrideSigned) else None
        if (
            same
            and event.seq > turned
            and (expires is None or expires > statement.at)
            and signing_key(log.store, signed) in valid
        ):
            raise Refused(f"{person.email} has signed this already, at {stamp(event.time)}; nothing was added")
    folder = f"runs/{statement.run}/approvals"
    parse(render(statement), type(statement))  # what could not be read back is not signed
    return sign_and_count(
        log, statement,
        folder=folder, slot=slot, run=statement.run, person=person, key=key, user_verification=user_verification,
    )  # fmt: skip


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
        f"{key}: the roster knows nobody with the key {fingerprint}; to make it known: `{enroll_command(workspace, roster)}`"
    )


def _git_signing_key() -> Path | None:
    named = git.setting("user.signingkey")
    key = Path(named).expanduser()
    return key if named and key.is_file() else None
