"""Which signatures count: each file under a request held against roster, request, key, time, and who may not sign.

Whether a key was valid is judged at the log's time of the event that counts a file (a real time), expiry at the earlier of that
event and of what the signer says, by the request's own clock. A request that is used is used now: a key that was ended since
counts no longer for it, whatever it signed before. A file that fails is named with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Final, Generic

from pytest_deploy.approvals.fill_roles import match_roles
from pytest_deploy.approvals.roster import Person, Roster, enroll_command, why_unfit
from pytest_deploy.approvals.sign_request import Approval, OverrideStatement, Rejection, S, UnderRequest, parse
from pytest_deploy.approvals.signed_file import SignedFile
from pytest_deploy.policy.user_verification import UserVerification
from pytest_deploy.record import sshsig, stored_file
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import RequestMade, RequestRejected, Signed
from pytest_deploy.record.meanings import wrong_lifetime, wrong_meaning, wrong_time
from pytest_deploy.record.ssh_signature import verify
from pytest_deploy.release.request import digest
from pytest_deploy.workspace import Workspace

OVERRIDE_PREFIX: Final = "override-"
_PREFIXES: Final[Mapping[str, type[UnderRequest]]] = {OVERRIDE_PREFIX: OverrideStatement, "rejection-": Rejection}
"""How the names of files begin that are no approvals."""
_LARGEST: Final = stored_file.LARGEST["signoffs"]
_COUNTING: Final = frozenset({Approval.type, Rejection.type, OverrideStatement.type})


@dataclass(frozen=True)
class CountedSignature(Generic[S]):
    file: SignedFile
    statement: S
    event: Event | None
    """What counts it in the log; None where no event does yet."""


@dataclass(frozen=True)
class RefusedFile:
    """A file that does not count, and why."""

    file: str
    reason: str
    signer: str | None = None
    role: str | None = None


@dataclass(frozen=True)
class ApprovalContext:
    """What the signatures under a request are judged against. Each file is verified once."""

    store: Path
    run: str
    request: bytes
    """The bytes of request.json."""
    events: Sequence[Event]
    roster: Roster
    now: datetime
    """By the request's own clock."""
    at: datetime
    """The real instant: keys of files that no event counts yet are judged by it."""
    roles: tuple[str, ...]
    expires_h: float
    who: str
    authors: tuple[str, ...] = ()
    """E-mails of the commits since the environment's last release."""
    outside: tuple[str, ...] = ()
    """E-mails that need no place in the roster."""
    asked_of: Roster | None = None
    """The roster in force when the request was made; None where none was made."""
    trust_root: str | None = None
    """The SHA-256 of the first signed roster, where policy pins it."""
    user_verification: UserVerification = "none"
    """What policy asks a signature to be made with."""

    @property
    def deployer(self) -> Person | None:
        return self.roster.of_actor(self.who)

    @property
    def requester(self) -> Person | None:
        return None if self.request_made is None else self.roster.of_actor(self.request_made[1].requested_by)

    @cached_property
    def taking_part(self) -> Mapping[str, str]:
        """E-mail -> the part a person has in this release, in words: they deploy it, asked for it, or are an approver by who does."""
        found: dict[str, str] = {}
        for part, person in (("deploys this", self.deployer), ("asked for this", self.requester)):
            if person is not None:
                put_in = (email for email, by in self.roster.put_in_by.items() if person.email in by)
                by_them = f"is in the roster by the signature of {person.printed_name}, who {part}"
                found = {**dict.fromkeys(put_in, by_them), person.email: part, **found}
        return found

    @cached_property
    def ineligible_signers(self) -> Mapping[str, str]:
        """Who may not approve, and why: who takes part, and who wrote part of what is released. The latter may override."""
        wrote = (person.email for email in self.authors if (person := self.roster.of_git(email)) is not None)
        return {**dict.fromkeys(wrote, "wrote part of what is released"), **self.taking_part}

    @property
    def roster_unfit(self) -> str:
        """Why nobody's signature counts under this roster, in words; empty where it can be relied on."""
        return why_unfit(self.roster, self.trust_root, self.at, Workspace.of_store(self.store))

    @property
    def unidentified(self) -> str:
        """Why nobody can tell who may not sign, in words; empty where everybody is known."""
        if unknown := self.roster.unknown_authors(self.authors, self.outside):
            return (
                f"{', '.join(unknown)} wrote part of what is released and is nobody in the roster: enroll them "
                f"(`{enroll_command(Workspace.of_store(self.store), self.roster, unknown[0])}`), or list them under approval.outside"
            )
        if self.deployer is None:
            return f"{self.who} deploys and is nobody in the roster, so it cannot be told whose signature counts: enroll them"
        if self.request_made is not None and self.requester is None:
            asked = self.request_made[1].requested_by
            return f"{asked} asked for it and is nobody in the roster, so it cannot be told whose signature counts: enroll them"
        return ""

    @cached_property
    def request_made(self) -> tuple[Event, RequestMade] | None:
        return next(of_type(self.events, RequestMade), None)

    @cached_property
    def approvals(self) -> Signatures[Approval]:
        return _evaluate_folder(self, Approval)

    @cached_property
    def rejections(self) -> Signatures[Rejection]:
        return _evaluate_folder(self, Rejection)

    @cached_property
    def overrides(self) -> Signatures[OverrideStatement]:
        return _evaluate_folder(self, OverrideStatement)


@dataclass(frozen=True)
class Signatures(Generic[S]):
    """The files of one kind under a request."""

    counted: tuple[CountedSignature[S], ...]
    refused: tuple[RefusedFile, ...]


@dataclass(frozen=True)
class Evaluation:
    counted: tuple[CountedSignature[Approval], ...]
    refused: tuple[RefusedFile, ...]
    filled: Mapping[str, str]
    """Role -> e-mail."""
    missing: tuple[str, ...]
    why_impossible: str
    """Why the roster can never fill the roles; empty where it can."""
    expires: datetime | None
    """When the request lapses, by its own clock."""
    rejected: tuple[str, ...] = ()
    """Who rejects the request, as which role and why, in words."""


def evaluate(context: ApprovalContext) -> Evaluation:
    signed: dict[str, set[str]] = {}
    for signature in context.approvals.counted:
        signed.setdefault(signature.statement.signer, set()).add(signature.statement.role)
    filled, missing = match_roles(signed, context.roles)
    return Evaluation(
        counted=context.approvals.counted,
        refused=tuple(dict.fromkeys((*context.approvals.refused, *context.rejections.refused))),
        filled=filled,
        missing=missing,
        why_impossible=why_impossible(context),
        expires=None if context.request_made is None else context.request_made[1].expires,
        rejected=tuple(_rejected(context)),
    )


def _rejected(context: ApprovalContext) -> Iterator[str]:
    """The rejections that stand: of each person the newest that they signed no approval after, in words.

    The log's word is enough, also where the file is gone or the key was ended since: a rejection is not got rid of so.
    """
    taken_back: dict[str, list[tuple[datetime, int | None]]] = {}
    for signature in context.approvals.counted:
        seq = None if signature.event is None else signature.event.seq
        taken_back.setdefault(signature.statement.signer, []).append((signature.statement.at, seq))
    recorded = [(event.seq, one) for event, one in of_type(context.events, RequestRejected)]
    laid = [one.statement for one in context.rejections.counted if one.event is None]
    standing = {
        one.signer: f"{one.printed_name} as {one.role}: {one.reason}"
        for seq, one in recorded
        if not any(at > one.signed_at and (by is None or by > seq) for at, by in taken_back.get(one.signer, ()))
    }
    standing |= {
        one.signer: f"{one.printed_name} as {one.role}: {one.reason}"
        for one in laid
        if not any(at > one.at for at, _ in taken_back.get(one.signer, ()))
    }
    yield from standing.values()


# --- one file


def _evaluate_folder(context: ApprovalContext, kind: type[S]) -> Signatures[S]:
    name = f"runs/{context.run}/approvals"
    try:
        folder = stored_file.folder_of(context.store, name)
    except stored_file.NotOfARecord:
        return Signatures((), (RefusedFile(name, "is a link, no folder"),))
    judged = [
        _evaluate_file(context, path, f"{name}/{path.name}", kind)
        for path in (sorted(folder.glob("*.json")) if context.run else ())
        if _kind_of(path.name) is kind
    ]
    return Signatures(
        tuple(file for file in judged if isinstance(file, CountedSignature)),
        tuple(file for file in judged if isinstance(file, RefusedFile)),
    )


def _kind_of(name: str) -> type[UnderRequest]:
    return next((kind for prefix, kind in _PREFIXES.items() if name.startswith(prefix)), Approval)


def _evaluate_file(context: ApprovalContext, path: Path, name: str, kind: type[S]) -> CountedSignature[S] | RefusedFile:
    # 1. It is a plain file with a name that can be shown, and so is its signature.
    if not path.name.isprintable():
        shown = f"{name.removesuffix(path.name)}{path.name!a}"
        return RefusedFile(shown, "its name holds characters that cannot be shown")
    beside = path.with_name(f"{path.name}.sig")
    for part, what in ((path, "is"), (beside, "its .sig is")):
        if part.is_symlink() or (part.exists() and not part.is_file()):
            return RefusedFile(name, f"{what} a link or a folder, no file")
    # 2. It is a statement.
    try:
        file = SignedFile(name, stored_file.read(path, _LARGEST), stored_file.read(beside, _LARGEST))
        statement = parse(file.content, kind)
    except (OSError, ValueError) as error:
        unsigned = isinstance(error, FileNotFoundError)
        return RefusedFile(name, "is not signed: its .sig is missing" if unsigned else str(error))
    # 3. It is the one that an event counted, where one did.
    counting = (found for found in of_type(context.events, Signed) if found[0].type in _COUNTING)
    event, signed = next((found for found in counting if found[1].file == name), (None, None))
    if event is not None and signed is not None and not file.is_counted_by(signed):
        why = f"is not the file that event {event.seq} counts: it was changed after it was signed"
        return RefusedFile(name, why, statement.signer, statement.role)
    # 4. It is about this request, by somebody who may sign it, in time.
    why = next(_objections(context, statement, event), "")
    # 5. The signature is the signer's.
    if not why:
        fingerprint, why = verify(
            file.content,
            file.signature,
            allowed_signers=context.roster.files()["allowed_signers"],
            signer=statement.signer,
            namespace=context.roster.namespace,
            at=context.at if event is None else event.time,
        )
        # 6. And its key was one when the request was made, and was not ended since: nothing rests on this signature yet. It was
        # used as policy asks. A rejection counts whatever it was made with.
        if kind is not Rejection:
            why = (
                why
                or _too_new(context, statement.signer, fingerprint)
                or _ended(context, statement.signer, fingerprint)
                or sshsig.read(file.signature).lacks(context.user_verification)
            )
    if why:
        return RefusedFile(name, why, statement.signer, statement.role)
    return CountedSignature(file, statement, event)


def _too_new(context: ApprovalContext, signer: str, fingerprint: str) -> str:
    """Why a key came too late for this request, in words; empty where it was there when the request was made.

    Else whoever sees a request wait could have an approver enrolled for it.
    """
    if context.asked_of is None:
        return ""
    known = {(key.email, key.fingerprint) for key in context.asked_of.keys}
    if (signer, fingerprint) in known:
        return ""
    return f"was signed with the key {fingerprint}, which was enrolled after the request was made: plan anew"


def _ended(context: ApprovalContext, signer: str, fingerprint: str) -> str:
    """Why a key that was valid when it signed no longer is, in words; empty where it is."""
    own = [key for key in context.roster.keys if (key.email, key.fingerprint) == (signer, fingerprint)]
    if any(key.valid(context.at) for key in own):
        return ""
    ended = max(key.valid_before for key in own)
    return f"was signed with the key {fingerprint}, which ended {stamp(ended)}, before it was used"


def _objections(context: ApprovalContext, statement: UnderRequest, event: Event | None) -> Iterator[str]:
    """Why a statement does not count, most telling first."""
    if wrong := wrong_meaning(statement.type, statement.meaning):
        yield wrong
    person = context.roster.people.get(statement.signer)
    if statement.run != context.run or statement.request_sha256 != digest(context.request):
        yield f"signs another request: {statement.run}, SHA-256 {statement.request_sha256[:16]}…"
    if context.request_made is None or context.request_made[1].request_sha256 != digest(context.request):
        yield "the request is not the one that was made: somebody changed it"
    if person is None:
        yield f"{statement.signer} is nobody in the roster"
        return
    if person.printed_name != statement.printed_name:
        yield f"{statement.signer} is {person.printed_name} in the roster, not {statement.printed_name}"
    if statement.role not in person.roles:
        yield f"{statement.signer} does not hold the role {statement.role}"
    if statement.role not in context.roles:
        yield f"the role {statement.role} is not asked for here"
    parts = context.taking_part if isinstance(statement, OverrideStatement) else context.ineligible_signers
    if part := parts.get(person.email):
        yield f"{person.printed_name} {part}, and cannot approve it"
    yield from _untimely(context, statement, event)


def _untimely(context: ApprovalContext, statement: UnderRequest, event: Event | None) -> Iterator[str]:
    made = None if context.request_made is None else context.request_made[0]
    logged = context.now if event is None else event.instant
    if wrong := wrong_time(statement.at, None if made is None else made.instant, logged):
        yield wrong
    if isinstance(statement, Rejection):  # it stands while the request lives
        return
    if context.roster_unfit:
        yield context.roster_unfit
    if min(statement.at, logged) + timedelta(hours=context.expires_h) <= context.now:
        yield f"has expired: signed {statement.signed_at}, good for {context.expires_h:g} h"
    if isinstance(statement, OverrideStatement) and (wrong := wrong_lifetime(statement.at, statement.until)):
        yield wrong
    if isinstance(statement, OverrideStatement) and statement.until <= context.now:
        yield f"has expired at {statement.expires}"


# --- the quorum: every role filled, each by a person of its own


def why_impossible(context: ApprovalContext) -> str:
    """Why the roster can never fill the roles for this release, in words; empty where it can."""
    if context.roster_unfit or context.unidentified:
        return context.roster_unfit or context.unidentified
    roster, at, ineligible = context.roster, context.at, context.ineligible_signers
    on_token = context.user_verification != "none"
    holders = {role: roster.holders(role, at, on_token=on_token) for role in context.roles}
    eligible = {
        person.email: person.roles for people in holders.values() for person in people if person.email not in ineligible
    }
    _, missing = match_roles(eligible, context.roles)
    reasons = []
    for role in dict.fromkeys(slot.partition(" (")[0] for slot in missing):
        names = [person.printed_name for person in holders[role]]
        excluded = [f"{p.printed_name} {ineligible[p.email]}" for p in holders[role] if p.email in ineligible]
        nobody = f"held by nobody with a valid key{' on a token, which policy asks for' if on_token else ''}"
        who = f"held by {', '.join(names)}" if names else nobody
        but = f", and {', '.join(excluded)}" if excluded else ""
        reasons.append(f"nobody is left to sign as {role}: {who}{but}")
    return "; ".join(reasons)
