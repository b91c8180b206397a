"""Which signatures count: each file under a request held against roster, request, key, time, and who may not sign.

Key validity is judged at the log's time of the event that counts a file (a real time), expiry at the earlier of that event
and of what the signer says, by the request's own clock; never at "now". A file that fails is named with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Final

from pytest_deploy.approvals.roster import Person, Roster
from pytest_deploy.approvals.sign_request import (
    Approval,
    OverrideStatement,
    approval_event,
    override_event,
    parse_approval,
    parse_override,
)
from pytest_deploy.approvals.signed_file import SignedFile
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import ApprovalRefused, ApprovalSigned, OverrideSigned, RequestMade, given
from pytest_deploy.record.log import Log
from pytest_deploy.record.ssh_signature import verify
from pytest_deploy.release.request import digest

TOLERANCE: Final = timedelta(seconds=60)
"""Clocks of signer and log may differ by this."""
_OVERRIDE_PREFIX: Final = "override-"
_OVERRIDE_SIGNERS: Final = 2
"""An override is asked for by one and confirmed by another."""


@dataclass(frozen=True)
class CountedSignature:
    """A signature that counts."""

    file: SignedFile
    statement: Approval | OverrideStatement
    fingerprint: str
    event: Event | None
    """What counts it in the log; None where no event does yet."""


@dataclass(frozen=True)
class RefusedFile:
    """A file that does not count, and why."""

    file: str
    signer: str | None
    role: str | None
    reason: str


@dataclass(frozen=True)
class ApprovalContext:
    """What the signatures under a request are judged against. Each file is verified once."""

    store: Path
    run: str
    request: bytes
    """The bytes of request.json."""
    events: Sequence[Event]
    """The run's."""
    roster: Roster
    """In force now."""
    now: datetime
    """By the request's own clock."""
    at: datetime
    """The real instant: keys of files that no event counts yet are judged by it."""
    roles: tuple[str, ...]
    """One for each signature needed."""
    expires_h: float
    who: str
    """The actor that deploys."""
    authors: tuple[str, ...] = ()
    """E-mails of the commits since the environment's last release."""
    outside: tuple[str, ...] = ()
    """E-mails that need no place in the roster."""

    @property
    def deployer(self) -> Person | None:
        """Who deploys, as the roster knows them."""
        return self.roster.of_actor(self.who)

    @property
    def ineligible_signers(self) -> frozenset[str]:
        """Who may not sign: the deployer, and whoever had a hand in what is released."""
        people = (self.deployer, *(self.roster.of_git(email) for email in self.authors))
        return frozenset(person.email for person in people if person is not None)

    @property
    def unidentified(self) -> str:
        """Why nobody can tell who may not sign, in words; empty where everybody is known."""
        if unknown := self.roster.unknown_authors(self.authors, self.outside):
            return (
                f"{', '.join(unknown)} wrote part of what is released and is nobody in the roster: enroll them "
                "(python deploy.py keys enroll), or list them under approval.outside"
            )
        if self.deployer is None:
            return f"{self.who} deploys and is nobody in the roster, so it cannot be told whose signature counts: enroll them"
        return ""

    @property
    def request_made(self) -> Event | None:
        """The `request.made` of the run."""
        return next((event for event in self.events if event.type == RequestMade.type), None)

    @cached_property
    def approvals(self) -> tuple[CountedSignature | RefusedFile, ...]:
        """Every approval under the request."""
        return tuple(_evaluate_folder(self, overrides=False))

    @cached_property
    def overrides(self) -> tuple[CountedSignature | RefusedFile, ...]:
        """Every override statement under the request."""
        return tuple(_evaluate_folder(self, overrides=True))


@dataclass(frozen=True)
class Evaluation:
    """How the approvals of a request stand."""

    counted: tuple[CountedSignature, ...]
    refused: tuple[RefusedFile, ...]
    filled: Mapping[str, str]
    """Role -> e-mail."""
    missing: tuple[str, ...]
    possible: bool
    why_not: str
    expires: datetime | None
    """When the request lapses, by its own clock."""


@dataclass(frozen=True)
class Override:
    """A gate that two people overrode for this request."""

    people: tuple[str, ...]
    until: datetime
    incident: str
    signatures: tuple[CountedSignature, ...]


def evaluate(context: ApprovalContext) -> Evaluation:
    """Count the approvals of a request."""
    counted = tuple(signature for signature in context.approvals if isinstance(signature, CountedSignature))
    signed: dict[str, set[str]] = {}
    for signature in counted:
        signed.setdefault(signature.statement.signer, set()).add(signature.statement.role)
    filled, missing = match_roles(signed, context.roles)
    possible, why_not = quorum_possible(context)
    made = None if context.request_made is None else context.request_made.content
    return Evaluation(
        counted=counted,
        refused=tuple(signature for signature in context.approvals if isinstance(signature, RefusedFile)),
        filled=filled,
        missing=missing,
        possible=possible,
        why_not=why_not,
        expires=made.expires if isinstance(made, RequestMade) else None,
    )


def overrides(context: ApprovalContext) -> Mapping[str, Override]:
    """The gates that two different people override for this request, for one incident, until the earlier expiry."""
    by_gate: dict[tuple[str, str], list[tuple[CountedSignature, OverrideStatement]]] = {}
    for file in context.overrides:
        if isinstance(file, CountedSignature) and isinstance(file.statement, OverrideStatement):
            by_gate.setdefault((file.statement.gate, file.statement.incident), []).append((file, file.statement))
    complete = {}
    for (gate, incident), signed in by_gate.items():
        people = tuple(sorted({statement.signer for _, statement in signed}))
        if len(people) >= _OVERRIDE_SIGNERS:
            until = min(statement.until for _, statement in signed)
            complete[gate] = Override(people, until, incident, tuple(file for file, _ in signed))
    return complete


def refused_overrides(context: ApprovalContext) -> tuple[RefusedFile, ...]:
    """The override files that do not count, each with its reason."""
    return tuple(file for file in context.overrides if isinstance(file, RefusedFile))


def incomplete_override(context: ApprovalContext, gate: str) -> str:
    """Why a gate is not overridden although somebody signed for it, in words; empty where nobody did, or it is."""
    if gate in overrides(context):
        return ""
    named = [(file.file.rpartition("/")[2], file.reason) for file in refused_overrides(context)]
    reasons = [f"{name}: {reason}" for name, reason in named if name.startswith(f"{_OVERRIDE_PREFIX}{gate}-")]
    reasons += [
        f"{file.statement.signer} signed for {file.statement.incident}; another person must sign the same"
        for file in context.overrides
        if isinstance(file, CountedSignature)
        and isinstance(file.statement, OverrideStatement)
        and file.statement.gate == gate
    ]
    return "; ".join(reasons)


def record_signatures(log: Log, context: ApprovalContext, *, actor: str) -> None:
    """Append what no event says yet of the files under a request; each once.

    `approval.signed` and `override.signed` for what counts, `approval.refused` for what does not.
    """
    run, evaluation = context.run, evaluate(context)
    for signature in evaluation.counted:
        if signature.event is None:
            log.append(approval_event(signature.file), run=run, actor=actor)
    for override in overrides(context).values():
        for signature in override.signatures:
            if signature.event is None:
                log.append(override_event(signature.file), run=run, actor=actor)
    recorded = {
        (given(content.file), content.reason)
        for event in log.run(run)
        if isinstance(content := event.content, ApprovalRefused)
    }
    for refused in (*evaluation.refused, *refused_overrides(context)):
        if (refused.file, refused.reason) not in recorded:
            content = ApprovalRefused(
                signer=refused.signer, role=refused.role, reason=refused.reason, file=refused.file
            )
            log.append(content, run=run, actor=actor)


# --- one file


def _evaluate_folder(context: ApprovalContext, *, overrides: bool) -> Iterator[CountedSignature | RefusedFile]:
    folder = context.store / "runs" / context.run / "approvals"
    if folder.is_symlink():
        yield RefusedFile(f"runs/{context.run}/approvals", None, None, "is a link, no folder")
        return
    for path in sorted(folder.glob("*.json")):
        if path.name.startswith(_OVERRIDE_PREFIX) == overrides:
            yield _evaluate_file(context, path, parse_override if overrides else parse_approval)


def _evaluate_file(
    context: ApprovalContext, path: Path, parse: Callable[[bytes], Approval | OverrideStatement]
) -> CountedSignature | RefusedFile:
    # 1. It is a plain file with a name that can be shown, and so is its signature.
    if not path.name.isprintable():
        name = f"runs/{context.run}/approvals/{path.name!a}"
        return RefusedFile(name, None, None, "its name holds characters that cannot be shown")
    name = f"runs/{context.run}/approvals/{path.name}"
    for part in (path, path.with_name(f"{path.name}.sig")):
        if part.is_symlink() or (part.exists() and not part.is_file()):
            return RefusedFile(
                name, None, None, f"{'is' if part == path else 'its .sig is'} a link or a folder, no file"
            )
    # 2. It is a statement.
    try:
        content, signature = path.read_bytes(), path.with_name(f"{path.name}.sig").read_bytes()
        statement = parse(content)
    except (OSError, ValueError) as error:
        why = "is not signed: its .sig is missing" if isinstance(error, FileNotFoundError) else str(error)
        return RefusedFile(name, None, None, why)
    # 3. It is the one that an event counted, where one did.
    file = SignedFile(name, content, signature)
    event, counted = next(_counting(context.events, name), (None, None))
    if event is not None and counted is not None and not file.is_counted_by(counted):
        why = f"is not the file that event {event.seq} counts: it was changed after it was signed"
        return RefusedFile(name, statement.signer, statement.role, why)
    # 4. It is about this request, by somebody who may sign it, in time.
    why = next(_objections(context, statement, event), "")
    # 5. The signature is the signer's.
    fingerprint = ""
    if not why:
        fingerprint, why = verify(
            content,
            signature,
            allowed_signers=context.roster.files()["allowed_signers"],
            signer=statement.signer,
            namespace=context.roster.namespace,
            at=context.at if event is None else event.time,
        )
    if why:
        return RefusedFile(name, statement.signer, statement.role, why)
    return CountedSignature(file, statement, fingerprint, event)


def _counting(events: Sequence[Event], name: str) -> Iterator[tuple[Event, ApprovalSigned | OverrideSigned]]:
    """The events that count a file."""
    for event in events:
        content = event.content if event.type in {ApprovalSigned.type, OverrideSigned.type} else None
        if isinstance(content, ApprovalSigned | OverrideSigned) and content.file == name:
            yield event, content


def _objections(
    context: ApprovalContext, statement: Approval | OverrideStatement, event: Event | None
) -> Iterator[str]:
    """Why a statement does not count, most telling first."""
    made = None if context.request_made is None else context.request_made.content
    person = context.roster.people.get(statement.signer)
    if statement.run != context.run or statement.request_sha256 != digest(context.request):
        yield f"signs another request: {statement.run}, SHA-256 {statement.request_sha256[:16]}…"
    if not isinstance(made, RequestMade) or made.request_sha256 != digest(context.request):
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
    if context.deployer is not None and person.email == context.deployer.email:
        yield f"{person.printed_name} deploys this, and cannot approve it"
    elif isinstance(statement, Approval) and person.email in context.ineligible_signers:
        yield f"{person.printed_name} wrote part of what is released, and cannot approve it"
    yield from _untimely(context, statement, event)


def _untimely(context: ApprovalContext, statement: Approval | OverrideStatement, event: Event | None) -> Iterator[str]:
    made = context.request_made
    logged = context.now if event is None else event.instant
    if made is not None and statement.at < made.instant - TOLERANCE:
        yield f"is back-dated: signed {statement.signed_at}, the request was made {stamp(made.instant)}"
    if statement.at > logged + TOLERANCE:
        yield f"is dated {statement.signed_at}, after it was laid down ({stamp(logged)})"
    if min(statement.at, logged) + timedelta(hours=context.expires_h) <= context.now:
        yield f"has expired: signed {statement.signed_at}, good for {context.expires_h:g} h"
    if isinstance(statement, OverrideStatement) and statement.until <= context.now:
        yield f"has expired at {statement.expires}"


# --- the quorum: every role filled, each by a person of its own


def quorum_possible(context: ApprovalContext) -> tuple[bool, str]:
    """Whether the roster can ever fill the roles for this release; and if not, why, in words."""
    if context.unidentified:
        return False, context.unidentified
    roster, at, ineligible = context.roster, context.at, context.ineligible_signers
    eligible = {
        person.email: set(person.roles)
        for role in set(context.roles)
        for person in roster.holders(role, at)
        if person.email not in ineligible
    }
    _, missing = match_roles(eligible, context.roles)
    if not missing:
        return True, ""
    reasons = []
    for role in dict.fromkeys(slot.partition(" (")[0] for slot in missing):
        holders = [person.printed_name for person in roster.holders(role, at)]
        excluded = [person.printed_name for person in roster.holders(role, at) if person.email in ineligible]
        who = f"held by {', '.join(holders)}" if holders else "held by nobody with a valid key"
        but = f", of whom {', '.join(excluded)} deploys or wrote what is deployed" if excluded else ""
        reasons.append(f"nobody is left to sign as {role}: {who}{but}")
    return False, "; ".join(reasons)


def match_roles(signed: Mapping[str, Collection[str]], roles: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Fill `roles` from who signed for which: (role -> person, roles left over), as many as can be filled. Pure.

    A role named twice needs two people; the second is keyed `ROLE (2)`. One person never fills two.
    """
    slots = [
        (role, role if roles[:at].count(role) == 0 else f"{role} ({roles[:at].count(role) + 1})")
        for at, role in enumerate(roles)
    ]
    filled: dict[str, str] = {}

    def fill(slot: tuple[str, str], tried: set[str]) -> bool:
        """Give the slot to a person, moving others to another slot where that frees one (an augmenting path)."""
        for person in sorted(signed):
            if slot[0] not in signed[person] or person in tried:
                continue
            tried.add(person)
            current_slot = next((other for other in slots if filled.get(other[1]) == person), None)
            if current_slot is None or fill(current_slot, tried):
                filled[slot[1]] = person
                return True
        return False

    missing = tuple(slot[1] for slot in slots if not fill(slot, set()))
    return {slot[1]: filled[slot[1]] for slot in slots if slot[1] in filled}, missing
