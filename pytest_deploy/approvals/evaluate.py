"""Which signatures count: each file under a request held against roster, request, key, time, and who may not sign.

Key validity is judged at the log's time of the event that counts a file (a real time), expiry at the earlier of that event
and of what the signer says, by the request's own clock; never at "now". A file that fails is named with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from pytest_deploy.approvals.quorum import match, possible
from pytest_deploy.approvals.roster import Person, Roster
from pytest_deploy.approvals.signed_file import Files
from pytest_deploy.approvals.statement import Approval, OverrideStatement, parse_approval, parse_override
from pytest_deploy.record.clock import parse_stamp, stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.plain_text import NOT_PLAIN, is_plain
from pytest_deploy.record.ssh_signature import verify
from pytest_deploy.release.request import digest

TOLERANCE: Final = timedelta(seconds=60)
"""Clocks of signer and log may differ by this."""
OVERRIDE: Final = "override-"
PEOPLE: Final = 2
"""An override is asked for by one and confirmed by another."""


@dataclass(frozen=True)
class Case:
    """What signatures are judged against."""

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
    def barred(self) -> frozenset[str]:
        """Who may not sign: the deployer, and whoever had a hand in what is released."""
        people = (self.deployer, *(self.roster.of_git(email) for email in self.authors))
        return frozenset(person.email for person in people if person is not None)

    @property
    def unknown(self) -> str:
        """Why nobody can tell who may not sign, in words; empty where everybody is known."""
        if unknown := self.roster.unknown_authors(self.authors, self.outside):
            return (
                f"{', '.join(unknown)} wrote part of what is released and is nobody in the roster: enrol them "
                "(python deploy.py keys enroll), or list them under approval.outside"
            )
        if self.deployer is None:
            return f"{self.who} deploys and is nobody in the roster, so it cannot be told whose signature counts: enrol them"
        return ""


@dataclass(frozen=True)
class Signed:
    """A signature that counts."""

    files: Files
    said: Approval | OverrideStatement
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
class Judged:
    """The standing of a request's approvals."""

    counted: tuple[Signed, ...]
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
    """A gate that two people passed over for this request."""

    people: tuple[str, ...]
    until: datetime
    incident: str
    signed: tuple[Signed, ...]


def judge(case: Case) -> Judged:
    """Count the approvals of a request."""
    found = list(_judged(case, overrides=False))
    counted = tuple(one for one in found if isinstance(one, Signed))
    signed: dict[str, set[str]] = {}
    for one in counted:
        signed.setdefault(one.said.signer, set()).add(one.said.role)
    filled, missing = match(signed, case.roles)
    can, why_not = satisfiable(case)
    made = _made(case)
    return Judged(
        counted=counted,
        refused=tuple(one for one in found if isinstance(one, RefusedFile)),
        filled=filled,
        missing=missing,
        possible=can,
        why_not=why_not,
        expires=None if made is None or made.data["expires"] is None else parse_stamp(made.data["expires"]),
    )


def satisfiable(case: Case) -> tuple[bool, str]:
    """Whether the roster can ever fill the roles for this release; and if not, why."""
    if case.unknown:
        return False, case.unknown
    return possible(case.roster, case.roles, case.barred, case.at)


def overrides(case: Case) -> Mapping[str, Override]:
    """The gates that two different people pass over for this request, for one incident, until the earlier expiry."""
    by: dict[tuple[str, str], list[Signed]] = {}
    for one in _judged(case, overrides=True):
        if isinstance(one, Signed) and isinstance(one.said, OverrideStatement):
            by.setdefault((one.said.gate, one.said.incident), []).append(one)
    found = {}
    for (gate, incident), signed in by.items():
        people = tuple(sorted({one.said.signer for one in signed}))
        if len(people) >= PEOPLE:
            until = min(one.said.until for one in signed if isinstance(one.said, OverrideStatement))
            found[gate] = Override(people, until, incident, tuple(signed))
    return found


def refused_overrides(case: Case) -> tuple[RefusedFile, ...]:
    """The override files that do not count, each with its reason."""
    return tuple(one for one in _judged(case, overrides=True) if isinstance(one, RefusedFile))


def override_owed(case: Case, gate: str) -> str:
    """Why a gate is not passed over although somebody signed for it, in words; empty where nobody did, or it is."""
    if gate in overrides(case):
        return ""
    names = [(one, one.file.rpartition("/")[2]) for one in refused_overrides(case)]
    said = [f"{name}: {one.reason}" for one, name in names if name.startswith(f"{OVERRIDE}{gate}-")]
    said += [
        f"{one.said.signer} signed for {one.said.incident}; another person must sign the same"
        for one in _judged(case, overrides=True)
        if isinstance(one, Signed) and isinstance(one.said, OverrideStatement) and one.said.gate == gate
    ]
    return "; ".join(said)


def _judged(case: Case, *, overrides: bool) -> Iterator[Signed | RefusedFile]:
    folder = case.store / "runs" / case.run / "approvals"
    if folder.is_symlink():
        yield RefusedFile(f"runs/{case.run}/approvals", None, None, "is a link, no folder")
        return
    for path in sorted(folder.glob("*.json")):
        if path.name.startswith(OVERRIDE) == overrides:
            yield _one(case, path, parse_override if overrides else parse_approval)


def _one(case: Case, path: Path, parse: Callable[[bytes], Approval | OverrideStatement]) -> Signed | RefusedFile:
    if not is_plain(path.name):
        name = f"runs/{case.run}/approvals/{path.name!a}"
        return RefusedFile(name, None, None, f"its name {NOT_PLAIN}")
    name = f"runs/{case.run}/approvals/{path.name}"
    for one in (path, path.with_name(f"{path.name}.sig")):
        if one.is_symlink() or (one.exists() and not one.is_file()):
            return RefusedFile(
                name, None, None, f"{'is' if one == path else 'its .sig is'} a link or a folder, no file"
            )
    try:
        content, signature = path.read_bytes(), path.with_name(f"{path.name}.sig").read_bytes()
        said = parse(content)
    except (OSError, ValueError) as error:
        why = "is not signed: its .sig is missing" if isinstance(error, FileNotFoundError) else str(error)
        return RefusedFile(name, None, None, why)
    files = Files(name, content, signature)
    bound = files.bound()
    counts = [e for e in case.events if e.type in {"approval.signed", "override.signed"} and e.data["file"] == name]
    event = counts[0] if counts else None
    if event is not None and any(event.data[key] != value for key, value in bound.items()):
        return RefusedFile(
            name,
            said.signer,
            said.role,
            f"is not the file that event {event.seq} counts: it was changed after it was signed",
        )
    why = next(_objections(case, said, event), "")
    fingerprint = ""
    if not why:
        fingerprint, why = verify(
            content,
            signature,
            allowed_signers=case.roster.files()["allowed_signers"],
            signer=said.signer,
            namespace=case.roster.namespace,
            at=case.at if event is None else event.time,
        )
    return RefusedFile(name, said.signer, said.role, why) if why else Signed(files, said, fingerprint, event)


def _objections(case: Case, said: Approval | OverrideStatement, event: Event | None) -> Iterator[str]:
    """Why a statement does not count, most telling first."""
    made = _made(case)
    person = case.roster.people.get(said.signer)
    if said.run != case.run or said.request_sha256 != digest(case.request):
        yield f"signs another request: {said.run}, SHA-256 {said.request_sha256[:16]}…"
    if made is None or made.data["request_sha256"] != digest(case.request):
        yield "the request is not the one that was made: somebody changed it"
    if person is None:
        yield f"{said.signer} is nobody in the roster"
        return
    if person.printed_name != said.printed_name:
        yield f"{said.signer} is {person.printed_name} in the roster, not {said.printed_name}"
    if said.role not in person.roles:
        yield f"{said.signer} does not hold the role {said.role}"
    if said.role not in case.roles:
        yield f"the role {said.role} is not asked for here"
    if case.deployer is not None and person.email == case.deployer.email:
        yield f"{person.printed_name} deploys this, and cannot approve it"
    elif isinstance(said, Approval) and person.email in case.barred:
        yield f"{person.printed_name} wrote part of what is released, and cannot approve it"
    yield from _untimely(case, said, event, made)


def _untimely(case: Case, said: Approval | OverrideStatement, event: Event | None, made: Event | None) -> Iterator[str]:
    logged = case.now if event is None else event.instant
    if made is not None and said.at < made.instant - TOLERANCE:
        yield f"is back-dated: signed {said.signed_at}, the request was made {stamp(made.instant)}"
    if said.at > logged + TOLERANCE:
        yield f"is dated {said.signed_at}, after it was laid down ({stamp(logged)})"
    if min(said.at, logged) + timedelta(hours=case.expires_h) <= case.now:
        yield f"has expired: signed {said.signed_at}, good for {case.expires_h:g} h"
    if isinstance(said, OverrideStatement) and said.until <= case.now:
        yield f"has expired at {said.expires}"


def _made(case: Case) -> Event | None:
    return next((event for event in case.events if event.type == "request.made"), None)
