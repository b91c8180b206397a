"""`deploy.py keys`: who may sign for an environment. Each change is a trust set of its own and an event that names it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Annotated

import typer

from pytest_deploy.approvals import enrollment, roster_change
from pytest_deploy.approvals.enrollment import RosterChange
from pytest_deploy.approvals.roster import Person, Roster, in_force, parse
from pytest_deploy.approvals.roster_change import Proposal
from pytest_deploy.approvals.sign_request import choose_signer
from pytest_deploy.approvals.signed_file import signing_key
from pytest_deploy.commands import GROUP, Env, Rehearse
from pytest_deploy.commands.sign_off import require_reason
from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.platform.environment import in_kms, record_of
from pytest_deploy.policy.load import policy_of
from pytest_deploy.policy.storage import KEY_VERSION
from pytest_deploy.record import signed_roster
from pytest_deploy.record.actor import SIGNER, local_actor
from pytest_deploy.record.clock import SystemClock
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import ApprovalSigned, KeyRevoked, OverrideSigned, given
from pytest_deploy.record.key import ROSTER, FileSigner, trust_set, write_plain_copies
from pytest_deploy.record.log import Log
from pytest_deploy.record.open_record import IN_A_FILE, KeyFile
from pytest_deploy.record.open_record import rotate as rotate_log_key
from pytest_deploy.record.plain_text import NOT_PLAIN, escape_line, is_plain, require_plain, says_something
from pytest_deploy.record.signed_roster import RosterStatement
from pytest_deploy.release.request import pending
from pytest_deploy.workspace import NOT_SAID, Workspace

_LONGEST_NAME = 200
"""Characters."""


keys = typer.Typer(
    help="Who may sign for an environment: begin its record, enroll a key, revoke one, have changes signed, rotate the log's own key.",
    **GROUP,
)

Reason = Annotated[str, typer.Option(help="why; goes into the record")]
Identity = Annotated[
    str, typer.Option(help="how it was verified who the person is, e.g. 'passport, by HR'; goes into what is signed")
]


@keys.command()
def init(env: Env, *, rehearse: Rehearse = False) -> None:
    """Begin the environment's record where there is none."""
    record = RecordKeys(env, rehearsal=rehearse)
    typer.echo(f"record    {record.workspace.shown(record.workspace.store)}, {record.log.key.origin}")
    typer.echo(f"signer    {record.policy.record.key or 'a key file in .deploy/keys'}")
    typer.echo(f"log key   {record.log.key.vkey}")
    typer.echo("keep      a copy of this key elsewhere: a record that brings its own keys proves nothing")
    record.tell_unfilled_roles()


@keys.command()
def enroll(
    env: Env,
    *,
    person: Annotated[str, typer.Option(metavar="EMAIL", help="who signs with the key")],
    name: Annotated[str, typer.Option(help="the printed name")],
    public_key: Annotated[Path, typer.Option(help="the person's SSH public key")],
    reason: Reason,
    role: Annotated[list[str] | None, typer.Option(help="a role; may be given several times")] = None,
    github: Annotated[int | None, typer.Option(help="the GitHub user id")] = None,
    local: Annotated[str | None, typer.Option(help="the user name on this machine (local and rehearsals)")] = None,
    git: Annotated[
        list[str] | None, typer.Option(help="an e-mail of their commits; may be given several times")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=365, help="how long the key is valid")] = 365,
    identity: Identity = "",
    rehearse: Rehearse = False,
) -> None:
    """Make a person and their key known; where administrators signed the roster, propose it to them."""
    texts = (person, name, *(role or ()))
    if "@" not in person or not says_something(name):
        raise UsageError("deploy.py keys enroll: say --person EMAIL, --name 'Printed Name' and --role ROLE")
    if not SIGNER.fullmatch(person.lower()):
        raise UsageError(
            f"deploy.py keys enroll: --person {person!a} is no address to sign under: right are plain ASCII letters, digits and "
            "$%&'+/=^_`{|}~.- before the @, and a domain after it, one with other letters in its xn-- form"
        )
    if not all(map(is_plain, texts)):
        raise UsageError(f"deploy.py keys enroll: a name or a role {NOT_PLAIN}")
    if max(map(len, texts)) > _LONGEST_NAME:
        raise UsageError(f"deploy.py keys enroll: a name or a role is longer than {_LONGEST_NAME} characters")
    emails = tuple(dict.fromkeys(address.lower() for address in [person, *(git or ())]))
    enrolled = Person(person.lower(), name, tuple(role or ()), github, local, emails)
    record = RecordKeys(env, rehearsal=rehearse)
    if not public_key.is_file():
        raise UsageError("deploy.py keys enroll: say --public-key FILE, the person's SSH public key")
    if not says_something(reason):
        raise UsageError("deploy.py keys enroll: say --reason, e.g. the ticket; it goes into the record")
    require_plain("--reason", reason)
    deployer, administrators = record.policy.deployer, record.policy.roster.administrators
    if deployer is not None and {deployer.role, administrators} <= set(enrolled.roles):
        raise Refused(f"nobody is {deployer.role} and {administrators}: who deploys must not change who approves")
    change = enrollment.enrolling(
        record.log,
        [enrolled],
        {enrolled.email: public_key.read_text(encoding="utf-8", errors="replace").strip()},
        namespace=f"deploy-approval@{record.policy.organisation.domain}",
        valid_days=days,
        now=SystemClock().now(),
        reason=reason,
    )
    if change.before.signed is not None:
        record.propose(change, identity)
        return
    enrollment.put_in_force(record.log, record.workspace.store, change, actor=local_actor())
    typer.echo(f"enrolled  {_shown(enrolled)}")
    record.tell_unfilled_roles()


@keys.command()
def revoke(
    env: Env,
    *,
    person: Annotated[str, typer.Option(metavar="EMAIL", help="whose keys end; or the fingerprint of one key")],
    reason: Reason,
    rehearse: Rehearse = False,
) -> None:
    """End a person's keys, or one key, from now on; what they signed stays good in runs that are over, and is lost where it waits.

    Where administrators signed the roster it is proposed to them, and ends with their signatures.
    """
    record = RecordKeys(env, rehearsal=rehearse)
    if not person or not says_something(reason):
        raise UsageError("deploy.py keys revoke: say --person EMAIL or fingerprint, and --reason")
    require_plain("--reason", reason)
    now = SystemClock().now()
    change = enrollment.revoking(record.log, record.workspace.store, person, reason=reason, now=now)
    if change.before.signed is not None:
        record.propose(change, "")
        return
    revoked = enrollment.put_in_force(record.log, record.workspace.store, change, actor=local_actor())
    typer.echo(f"revoked   {person}, from now on; what was signed before stays good in runs that are over")
    record.tell_lost_signatures(revoked)
    record.tell_unfilled_roles()


@keys.command()
def root(env: Env, *, reason: Reason, identity: Identity, rehearse: Rehearse = False) -> None:
    """Propose the roster as it stands as the trust root: once its administrators have signed it, nobody else changes it."""
    record = RecordKeys(env, rehearsal=rehearse)
    require_reason("keys root", reason)
    if not says_something(identity):
        raise UsageError(
            "deploy.py keys root: say --identity, e.g. 'passports, seen by HR on 3 May': it is signed with the roster"
        )
    change = roster_change.unchanged(record.log, reason)
    if change.before.signed is not None:
        raise Refused(f"the roster has a trust root already: {change.before.root_sha256}")
    record.propose(change, identity)


@keys.command()
def renew(env: Env, *, reason: Reason, rehearse: Rehearse = False) -> None:
    """Propose the roster once more, as it is, for as long again: the review of who may sign."""
    record = RecordKeys(env, rehearsal=rehearse)
    require_reason("keys renew", reason)
    change = roster_change.unchanged(record.log, reason)
    if change.before.signed is None:
        raise Refused(
            f"no administrator signed this roster: `{record.workspace.command_line('keys root', '--reason', NOT_SAID, '--identity', NOT_SAID)}` first"
        )
    record.propose(change, "")


@keys.command()
def sign(
    env: Env,
    proposal: Annotated[str, typer.Argument(help="a proposal, by its name; else the only one")] = "",
    *,
    key: Annotated[
        Path | None, typer.Option(help="the key that signs: a private key, or the public one of an agent or token")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="show what would be signed, and sign nothing")] = False,
    rehearse: Rehearse = False,
) -> None:
    """Sign a proposed roster as an administrator; whose signature completes the quorum puts it in force."""
    record = RecordKeys(env, rehearsal=rehearse)
    record.sign(record.proposal(proposal), key, show=show)


@keys.command()
def rotate(
    env: Env,
    *,
    reason: Reason,
    to: Annotated[
        str, typer.Option(metavar="VERSION", help="a key version of Cloud KMS, in full; else a new file")
    ] = "",
    keep_old: Annotated[
        bool, typer.Option("--keep-old", help="keep the retired private key; else it is destroyed")
    ] = False,
    rehearse: Rehearse = False,
) -> None:
    """Change the log's own key."""
    record = RecordKeys(env, rehearsal=rehearse)
    if not says_something(reason):
        raise UsageError("deploy.py keys rotate: say --reason; it goes into the record")
    require_plain("--reason", reason)
    in_a_file = record.policy.record.key is None
    if not in_a_file and not to:
        raise UsageError(
            "deploy.py keys rotate: Cloud KMS signs this record; make a new key version and say --to its full name"
        )
    if to and (rehearse or re.fullmatch(KEY_VERSION, to) is None):
        wrong = "a rehearsal's key is a file" if rehearse else f"{to} is no key version in full"
        raise UsageError(f"deploy.py keys rotate: --to: {wrong}; right is projects/P/…/cryptoKeyVersions/N, or no --to")
    log = record.log
    before = log.key.vkey
    file = KeyFile(record.workspace.key_file)
    kept = file.retire() if keep_old and in_a_file else None
    successor = None if to else file.make_successor()
    new = FileSigner.open(successor) if successor is not None else in_kms(to)
    event = rotate_log_key(log, record.workspace.store, new, signer=to or IN_A_FILE, reason=reason, actor=local_actor())
    # The private key that is replaced is destroyed, unless it is kept: nothing needs it again, since records verify with
    # public keys, and whoever finds it could sign a history that ends where it was retired.
    if successor is not None:
        file.install(successor)
    elif in_a_file:
        record.workspace.key_file.unlink()
    typer.echo(f"rotated   by event {event.seq}: {before}")
    typer.echo(f"log key   {log.key.vkey}")
    if to:
        typer.echo(f"now set   record: {{signer: kms, key: {to}}} in deploy.yaml; until then nothing is written here")
    if kept is not None:
        typer.echo(f"kept      {record.workspace.shown(kept)}: whoever reads it can sign as the retired key")
    typer.echo("keep      a copy of the new key elsewhere: a record that brings its own keys proves nothing")


@keys.command(name="list")
def list_keys(env: Env, *, rehearse: Rehearse = False) -> None:
    """Everybody the roster knows, with their keys and how long those are valid."""
    record = RecordKeys(env, rehearsal=rehearse)
    roster, sha256 = in_force(record.log.store, record.log.history())
    typer.echo(f"set       {sha256}")
    if roster.signed is not None:
        typer.echo(f"root      {roster.root_sha256}")
        typer.echo(f"roster    {_terms(roster.signed)}")
    for person in roster.people.values():
        typer.echo(f"person    {_shown(person)}")
        for key in roster.keys:
            if key.email == person.email:
                typer.echo(
                    f"          {key.fingerprint} {key.valid_after:%Y-%m-%d} to {key.valid_before:%Y-%m-%d %H:%M} UTC"
                )
    for waiting in roster_change.proposals(record.log):
        typer.echo(record.waiting_for(waiting))
    record.tell_unfilled_roles()


class RecordKeys:
    """The record of the environment that is named, and so its roster."""

    def __init__(self, env: str, *, rehearsal: bool) -> None:
        """Raises ConfigurationError where deploy.yaml knows no such environment."""
        self.workspace = Workspace(Path.cwd(), env, rehearsal=rehearsal)
        self.policy = policy_of(self.workspace)

    @cached_property
    def log(self) -> Log:
        """Opened, and begun where there was none, once what was asked for is found right."""
        log = record_of(self.workspace, self.policy, SystemClock())
        # Whoever changed the roster elsewhere, or died while changing it here, left older plain copies.
        with suppress(OSError):
            write_plain_copies(self.workspace.store, trust_set(log.store, in_force(log.store, log.history())[1]))
        return log

    def propose(self, change: RosterChange, identity: str) -> None:
        """Lay a change down for administrators; say who must sign it, and how."""
        require_plain("--identity", identity)
        now = SystemClock().now()
        proposal = roster_change.propose(self.log, change, self.policy.roster, identity=identity, now=now)
        for line in _changes(change.before, parse(proposal.files)):
            typer.echo(line)
        typer.echo(f"proposed  {proposal.name}: {_terms(proposal.statement)}")
        typer.echo(self.waiting_for(proposal))

    def proposal(self, name: str) -> Proposal:
        """The proposal of a name, or the only one. Raises Refused."""
        waiting = roster_change.proposals(self.log)
        named = [one for one in waiting if name in ("", one.name)]
        if len(named) == 1:
            return named[0]
        names = ", ".join(one.name for one in waiting) or "nothing"
        raise Refused(f"{f'no proposal {name} waits here' if name else 'say which proposal'}: what waits is {names}")

    def sign(self, proposal: Proposal, key: Path | None, *, show: bool) -> None:
        roster = in_force(self.log.store, self.log.history())[0]
        statement, after = proposal.statement, parse(proposal.files)
        typer.echo(f"proposal  {proposal.name}, SHA-256 {signed_roster.digest(proposal.files[ROSTER])}")
        for line in _changes(roster, after):
            typer.echo(line)
        typer.echo(f"roster    {_terms(statement)}")
        typer.echo(f"reason    {escape_line(statement.reason)}")
        typer.echo(f"identity  {escape_line(statement.identity) or '-'}")
        if show:
            typer.echo(self.waiting_for(proposal))
            return
        judging = after if roster.signed is None else roster
        person, key = choose_signer(self.workspace, judging, "", key)
        now = SystemClock().now()
        typer.echo(
            f"signing   {statement.meaning}, as {person.printed_name} <{person.email}>, {proposal.rule.administrators}"
        )
        signed = roster_change.sign_proposal(self.log, proposal, person=person, key=key, now=now)
        event = roster_change.put_proposal_in_force(
            self.log, self.workspace.store, signed, actor=local_actor(), now=now
        )
        if event is None:
            typer.echo(self.waiting_for(signed))
            return
        typer.echo(f"in force  by event {event.seq}")
        if statement.number == 1:
            root = signed_roster.digest(proposal.files[ROSTER])
            typer.echo(f"root      {root}")
            typer.echo(
                f"keep      this digest elsewhere, pin it: approval: {{trust_root: {root}}}, verify with --trust-root"
            )
        if event.type == KeyRevoked.type:
            self.tell_lost_signatures(event)
        self.tell_unfilled_roles()

    def waiting_for(self, proposal: Proposal) -> str:
        """A proposal that waits, who signed it, who could, and how."""
        now = SystemClock().now()
        signed = proposal.signed_by(now)
        able = ", ".join(one.printed_name for one in proposal.may_sign(now) if one.email not in signed) or "nobody"
        command = self.workspace.command_line("keys sign", proposal.name)
        return (
            f"waits     {proposal.name}: {len(signed)} of {proposal.rule.quorum} signed"
            f"{f' ({chr(44).join(signed)})' if signed else ''}; may sign: {able}: `{command}`"
        )

    def tell_lost_signatures(self, revoked: Event) -> None:
        """What a key that was ended signed under requests that wait: it counts no longer there."""
        ended = (revoked.read(KeyRevoked).fingerprint or "").split(", ")
        events = self.log.history()
        waiting = {request.run for request in pending(events, SystemClock().now(), real=True)}
        counted: list[tuple[Event, ApprovalSigned | OverrideSigned]] = [
            *of_type(events, ApprovalSigned), *of_type(events, OverrideSigned)
        ]  # fmt: skip
        for event, signed in counted:
            if event.run in waiting and signing_key(self.log.store, signed) in ended:
                who, role = given(signed.printed_name), given(signed.role)
                typer.echo(escape_line(f"lost      {event.run}: what {who} signed as {role} counts no longer there"))

    def tell_unfilled_roles(self) -> None:
        """Roles that policy asks for and nobody can fill now."""
        roster = in_force(self.log.store, self.log.history())[0]
        for role in dict.fromkeys([*self.policy.approval.roles, *self.policy.rollback.roles]):
            if not roster.holders(role, SystemClock().now()):
                typer.echo(f"needed    nobody holds the role {role} with a valid key")


def _shown(person: Person) -> str:
    return f"{person.printed_name} <{person.email}>: {', '.join(person.roles) or 'no role'}"


def _terms(statement: RosterStatement) -> str:
    """Number, end and rule of a signed roster, in words."""
    return (
        f"number {statement.number}, until {statement.expires}; "
        f"a change takes {statement.quorum} who are {statement.administrators}"
    )


def _changes(before: Roster, after: Roster) -> Iterator[str]:
    """What another roster changes, a line each; all of it where it is the first that is signed."""
    concerned = signed_roster.concerned(before.files(), after.files()) or (
        after.people if before.signed is None else ()
    )
    if not concerned:
        yield "changes   nobody: the same people and keys"
    old = {key.line() for key in before.keys} if before.signed is not None else set()
    for email in sorted(concerned):
        person = after.people.get(email)
        yield f"person    {_shown(person) if person is not None else f'{email}: taken out'}"
        for key in after.keys:
            if key.email == email and key.line() not in old:
                yield f"          {key.fingerprint} {key.valid_after:%Y-%m-%d} to {key.valid_before:%Y-%m-%d %H:%M} UTC"
