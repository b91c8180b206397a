"""A change of a roster that administrators sign: proposed by anybody, signed by one after another, put in force by a quorum.

A proposal lies in the store under `rosters/` and counts for nothing: what counts is copied, with its signatures, into the trust
set that its event names.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from pytest_deploy.approvals.enrollment import RosterChange, put_in_force
from pytest_deploy.approvals.look_alikes import refuse_look_alikes
from pytest_deploy.approvals.roster import Person, Roster, fingerprint_of, in_force, parse
from pytest_deploy.errors import RecordError, Refused
from pytest_deploy.policy.policy import RosterRules
from pytest_deploy.record import pledge, signed_roster, sshsig
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import KeyEnrolled, KeyRevoked
from pytest_deploy.record.key import ROSTER, trust_set
from pytest_deploy.record.log import Log
from pytest_deploy.record.signed_roster import RosterStatement, pledges
from pytest_deploy.record.ssh_signature import sign
from pytest_deploy.record.store import Exists, Store
from pytest_deploy.workspace import NOT_SAID, Workspace

FOLDER: Final = "rosters"
_FILES: Final = (*signed_roster.ROSTER_FILES, ROSTER)


@dataclass(frozen=True)
class Proposal:
    """A roster that waits for signatures."""

    name: str
    """Its number and the beginning of its SHA-256: `0002-1f2e3d4c5b6a…`, 32 hex, which nobody finds another text for."""
    files: Mapping[str, bytes]
    """The roster, its statement, and the signatures that lie beside it, by name."""
    statement: RosterStatement
    judging: Mapping[str, bytes]
    """The files of the roster whose administrators must sign: the one in force; of the trust root its own."""
    rule: RosterStatement
    """Of that roster."""
    concerned: frozenset[str]
    """E-mails of those whom it concerns, and whose signatures count not."""

    def signed_by(self, at: datetime) -> tuple[str, ...]:
        """The e-mails of the administrators whose signatures lie there and count at an instant."""
        return tuple(sorted({signer for _, signer in self._counting(at)}))

    def may_sign(self, at: datetime) -> tuple[Person, ...]:
        """The people whose signatures would count."""
        holders = self.roster.holders(self.rule.administrators, at)
        return tuple(person for person in holders if person.email not in self.concerned)

    def complete(self, at: datetime) -> dict[str, bytes] | None:
        """The statement and the signatures that count, once they are a quorum; None before that."""
        counting = dict(self._counting(at))
        if len(set(counting.values())) < self.rule.quorum:
            return None
        signed = (*counting, *(name for name in pledges(self.files) if name in self._pledge_names(at)))
        return {ROSTER: self.files[ROSTER], **{name: self.files[name] for name in signed}}

    def unpledged(self, at: datetime) -> str:
        """Whose new key lacks its pledge, in words; empty where none does."""
        return signed_roster.unpledged(self._before, self.files, at=at)

    def _pledge_names(self, at: datetime) -> frozenset[str]:
        keys = signed_roster.new_keys(self._before, self.files, at=at)
        return frozenset(pledge.file_name(base64.b64decode(public.split()[1])) for _, public in keys)

    @property
    def _before(self) -> Mapping[str, bytes] | None:
        """The signed set in force; None for the trust root."""
        return self.judging if self.statement.before else None

    def _counting(self, at: datetime) -> Iterator[tuple[str, str]]:
        for name, signature in sorted(signed_roster.signatures(self.files).items()):
            role, content = self.rule.administrators, self.files[ROSTER]
            signer, why = signed_roster.signed_by(self.judging, role, content, signature, at=at)
            if not why and signer not in self.concerned:
                yield name, signer

    @property
    def roster(self) -> Roster:
        """The one whose administrators must sign."""
        return parse({name: self.judging[name] for name in signed_roster.ROSTER_FILES})


def propose(
    log: Log,
    change: RosterChange,
    rules: RosterRules,
    *,
    approvers: Sequence[str],
    identity: str,
    now: datetime,
    pledged: Sequence[bytes] = (),
) -> Proposal:
    """Lay a change down for administrators to sign.

    Args:
        log: The environment's.
        change: Another roster than the one in force, or the same one, to be signed for the first time or renewed.
        rules: Of policy: role and quorum of the next change, days until the roster runs out.
        approvers: Of policy: the roles that approve each deployment.
        identity: How it was verified that those who are new are who they say.
        now: UTC.
        pledged: Signatures that `keys pledge` made, one with each new key.

    Raises Refused where not enough people could ever sign it, or where a pledge is missing or is none.
    """
    before, files = change.before, change.after.files()
    parse(files)
    holders = len(signed_roster.administrators(files, rules.administrators))
    preceding = before.signed
    statement = RosterStatement(
        origin=log.key.origin,
        number=1 if preceding is None else preceding.number + 1,
        before=None if preceding is None else signed_roster.sha256_of(trust_set(log.store, change.set_sha256)),
        allowed_signers_sha256=signed_roster.digest(files["allowed_signers"]),
        roles_sha256=signed_roster.digest(files["roles.json"]),
        administrators=rules.administrators,
        quorum=max(1, min(max(rules.quorum, 2), holders)),  # two people where there are two, whatever policy says
        approvers=tuple(approvers),
        expires=stamp(now + timedelta(days=rules.days)),
        reason=change.reason,
        identity=identity,
    )
    # The next change must be possible too.
    able_next = parse(files).holders(rules.administrators, now)
    if len(able_next) < statement.quorum:
        names = ", ".join(person.printed_name for person in able_next) or "nobody"
        raise Refused(
            f"under this roster a change takes {statement.quorum} who are {rules.administrators}, and {names} could sign it: "
            "nobody could ever change it again; enroll another first, or lower roster.quorum of deploy.yaml (to 2 at least)"
        )
    content = statement.content()
    name = proposal_name(statement)
    files |= {ROSTER: content, **_by_key(pledged)}
    proposal = _proposal(log, name, files, before, change.set_sha256)
    if wrong := proposal.unpledged(now):
        raise Refused(
            f"{wrong}; each person makes theirs on their own machine, `{_pledge_command(log)}`, and it is given as --pledge"
        )
    able = proposal.may_sign(now)
    if len(able) < proposal.rule.quorum:
        names = ", ".join(person.printed_name for person in able) or "nobody"
        raise Refused(
            f"{proposal.rule.quorum} who are {proposal.rule.administrators} must sign this, without those whom it concerns, "
            f"and {names} could: no such change can ever be in force"
        )
    for file, data in proposal.files.items():
        with suppress(Exists):
            log.store.create(f"{FOLDER}/{name}/{file}", data)
    return proposal


def _by_key(pledged: Sequence[bytes]) -> dict[str, bytes]:
    """Pledges by their file names. Raises Refused."""
    try:
        return {pledge.file_name(sshsig.read(signature).key): signature for signature in pledged}
    except sshsig.BadSignature as error:
        raise Refused(f"a --pledge is none: {error}; right is the file that `keys pledge` made") from None


def _pledge_command(log: Log) -> str:
    workspace = Workspace.of_store(log.store.path)
    return workspace.command_line("keys pledge", "--person", NOT_SAID, "--name", NOT_SAID, "--key", NOT_SAID)


def proposals(log: Log) -> tuple[Proposal, ...]:
    """The proposals that follow the roster in force; those that another overtook are left out."""
    before, sha256 = in_force(log.store, log.events())
    found = []
    for name in dict.fromkeys(path.split("/")[1] for path in log.store.names(f"{FOLDER}/")):
        try:
            files = _stored(log.store, name)
            proposal = _proposal(log, name, files, before, sha256)
            if name != proposal_name(proposal.statement):  # people tell each other this name
                continue
            parse({file: files[file] for file in _FILES})
        except (KeyError, ValueError, RecordError):  # laid there by anybody: no proposal
            continue
        number = 1 if before.signed is None else before.signed.number + 1
        follows = None if before.signed is None else signed_roster.sha256_of(trust_set(log.store, sha256))
        if (proposal.statement.number, proposal.statement.before) == (number, follows):
            found.append(proposal)
    return tuple(found)


def proposal_name(statement: RosterStatement) -> str:
    """A proposal's number and the beginning of its SHA-256."""
    return f"{statement.number:04d}-{signed_roster.digest(statement.content())[:32]}"


def refuse_signer(proposal: Proposal, person: Person, now: datetime) -> None:
    """Raises Refused where a person's signature would not count."""
    if person.email in proposal.concerned:
        raise Refused(f"{person.printed_name} is whom this change concerns: others must sign it")
    able = proposal.may_sign(now)
    if person.email not in {one.email for one in able}:
        role, names = proposal.rule.administrators, ", ".join(one.printed_name for one in able) or "nobody"
        raise Refused(
            f"{person.printed_name} is no {role} with a valid key in the roster in force; who may sign: {names}"
        )


def sign_proposal(log: Log, proposal: Proposal, *, person: Person, key: Path, now: datetime) -> Proposal:
    """Sign a proposal; returns it with the signature. Raises Refused where the signature would not count, Failed."""
    refuse_signer(proposal, person, now)
    refuse_look_alikes(in_force(log.store, log.events())[0], parse(proposal.files), proposal.statement.identity, now)
    if wrong := proposal.unpledged(now):
        raise Refused(f"this proposal can never be in force: {wrong}")
    content, judging = proposal.files[ROSTER], proposal.roster
    signature = sign(content, key=key, namespace=judging.namespace)
    signer, why = signed_roster.signed_by(proposal.judging, proposal.rule.administrators, content, signature, at=now)
    if why or signer != person.email:
        raise Refused(f"the signature just made {why or f'is by {signer}'}; nothing was kept")
    short = next(k.short for k in judging.keys if k.fingerprint == fingerprint_of(key))
    with suppress(Exists):
        log.store.create(f"{FOLDER}/{proposal.name}/roster-{short}.sig", signature)
    return _proposal(log, proposal.name, _stored(log.store, proposal.name), *in_force(log.store, log.events()))


def put_proposal_in_force(log: Log, store: Path, proposal: Proposal, *, actor: str, now: datetime) -> Event | None:
    """Put a proposal in force where a quorum signed it; None where it did not. Raises Refused where another came first."""
    signed = proposal.complete(now)
    if signed is None:
        return None
    before, sha256 = in_force(log.store, log.events())
    if trust_set(log.store, sha256).get(ROSTER) == proposal.files[ROSTER]:
        raise Refused("this roster is in force already: somebody else's signature completed it")
    after = parse({file: proposal.files[file] for file in _FILES})
    return put_in_force(
        log, store, _change(before, sha256, after, proposal.statement.reason), actor=actor, signed=signed
    )


def unchanged(log: Log, reason: str) -> RosterChange:
    """The roster in force once more: to be signed for the first time, or renewed."""
    before, sha256 = in_force(log.store, log.events())
    return _change(before, sha256, before, reason)


def _change(before: Roster, sha256: str, after: Roster, reason: str) -> RosterChange:
    """What a changed roster changes, as its event says it."""
    known, kept = ({key.line() for key in roster.keys} for roster in (before, after))
    new = [key for key in after.keys if key.line() not in known]
    ended = [key for key in before.keys if key.line() not in kept]  # one that comes again after its end keeps that line
    concerned = (
        frozenset(after.people) if before.signed is None else signed_roster.concerned(before.files(), after.files())
    )
    prints = ", ".join(key.fingerprint for key in ended or new) or None
    kind = KeyRevoked if ended else KeyEnrolled
    return RosterChange(before, sha256, after, kind, ", ".join(sorted(concerned)) or None, prints, reason)


def _proposal(log: Log, name: str, files: Mapping[str, bytes], before: Roster, sha256: str) -> Proposal:
    statement = signed_roster.read_statement(files[ROSTER])
    if before.signed is None:
        return Proposal(name, files, statement, files, statement, frozenset())
    in_place = trust_set(log.store, sha256)
    return Proposal(name, files, statement, in_place, before.signed, signed_roster.concerned(in_place, files))


def _stored(store: Store, name: str) -> dict[str, bytes]:
    """The files of a proposal as they lie in a store, by name."""
    folder = f"{FOLDER}/{name}/"
    return {path.removeprefix(folder): store.get(path) for path in store.names(folder)}
