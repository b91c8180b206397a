"""`pytest-deploy keys`: who may sign for an environment. Each change is a trust set of its own and an event that names it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from pytest_deploy.approvals import enrollment, look_alikes, roster_change
from pytest_deploy.approvals.enrollment import RosterChange
from pytest_deploy.approvals.roster import Person, fingerprint_of, in_force
from pytest_deploy.commands import GROUP, Env, Rehearse, say
from pytest_deploy.commands.ask import Question, Show, Yes
from pytest_deploy.commands.record_keys import RecordKeys
from pytest_deploy.commands.roster_proposals import (
    in_words,
    key_line,
    person_line,
    propose,
    sign_proposal,
    waiting_line,
)
from pytest_deploy.commands.sign_off import require_reason
from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.platform.environment import in_kms
from pytest_deploy.policy.storage import KEY_VERSION
from pytest_deploy.record import pledge as pledges
from pytest_deploy.record.actor import SIGNER, local_actor
from pytest_deploy.record.clock import SystemClock
from pytest_deploy.record.key import FileSigner
from pytest_deploy.record.open_record import IN_A_FILE, KeyFile
from pytest_deploy.record.open_record import rotate as rotate_log_key
from pytest_deploy.record.plain_text import NOT_PLAIN, is_plain, require_plain, says_something
from pytest_deploy.record.ssh_signature import sign as ssh_sign
from pytest_deploy.workspace import NOT_SAID

_DAY = "%Y-%m-%d"
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
def init(
    env: Env,
    *,
    new_record: Annotated[
        bool,
        typer.Option("--new-record", help="begin one though one was begun before, or a release serves; with --reason"),
    ] = False,
    reason: Annotated[str, typer.Option(help="why a new one begins; stands in its first event")] = "",
    rehearse: Rehearse = False,
) -> None:
    """Begin the environment's record where there is none."""
    if new_record:
        require_reason("keys init", reason)
    elif reason:
        raise UsageError("pytest-deploy keys init: --reason says why a new record begins: give it with --new-record")
    record = RecordKeys(env, rehearsal=rehearse, new_record=reason)
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
    days: Annotated[
        int | None, typer.Option(min=1, max=365, help="how long the key is valid: 365 unless said, or until --until")
    ] = None,
    since: Annotated[
        datetime | None, typer.Option("--from", formats=[_DAY], help="the first day of the key, UTC; else from now on")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=[_DAY], help="the last day of the key, UTC, in place of --days")
    ] = None,
    identity: Identity = "",
    pledge: Annotated[
        Path | None,
        typer.Option(help="what `keys pledge` made with a new key, once administrators have signed the roster"),
    ] = None,
    distinct_from: Annotated[
        list[str] | None,
        typer.Option(metavar="EMAIL", help="somebody whom the person looks like, and is not; goes into what is signed"),
    ] = None,
    rehearse: Rehearse = False,
) -> None:
    """Make a person and their key known; where administrators signed the roster, propose it to them."""
    _require_person("keys enroll", person, name, role or ())
    emails = tuple(dict.fromkeys(address.lower() for address in [person, *(git or ())]))
    enrolled = Person(person.lower(), name, tuple(role or ()), github, local, emails)
    record = RecordKeys(env, rehearsal=rehearse)
    if not says_something(reason):
        raise UsageError("pytest-deploy keys enroll: say --reason, e.g. the ticket; it goes into the record")
    require_plain("--reason", reason)
    if not public_key.is_file():
        raise UsageError(f"--public-key {public_key}: there is no such file; right is the .pub that ssh-keygen made")
    if days is not None and until is not None:
        raise UsageError("pytest-deploy keys enroll: --days and --until both say when the key ends: say one")
    if (since or until) and len(enrolled.roles) > 1:
        raise UsageError(
            "pytest-deploy keys enroll: a deputy, whose key has its days, stands in for one role: say one --role"
        )
    deployer, administrators = record.policy.deployer, record.policy.roster.administrators
    if deployer is not None and {deployer.role, administrators} <= set(enrolled.roles):
        raise Refused(f"nobody is {deployer.role} and {administrators}: who deploys must not change who approves")
    change = enrollment.enrolling(
        record.log,
        [enrolled],
        {enrolled.email: public_key.read_text(encoding="utf-8", errors="replace").strip()},
        namespace=f"deploy-approval@{record.policy.organisation.domain}",
        valid_days=days or enrollment.YEAR_DAYS,
        valid_from=since.replace(tzinfo=UTC) if since is not None else None,
        valid_until=until.replace(tzinfo=UTC) + timedelta(days=1) if until is not None else None,
        now=SystemClock().now(),
        reason=reason,
        distinct_from=distinct_from or (),
    )
    _require_identity(change, identity)
    if change.before.signed is not None:
        word = look_alikes.distinct_from(distinct_from or ())
        propose(record, change, f"{identity}{word}", pledged=[pledge] if pledge is not None else ())
        return
    if pledge is not None:
        raise UsageError(
            "pytest-deploy keys enroll: a --pledge is kept with a signed roster, and nobody signed this one yet: give it to `keys root`"
        )
    enrollment.put_in_force(record.log, record.workspace.store, change, actor=local_actor())
    typer.echo(f"enrolled  {person_line(enrolled)}")
    record.tell_unfilled_roles()


@keys.command()
def pledge(
    env: Env,
    *,
    person: Annotated[str, typer.Option(metavar="EMAIL", help="your own e-mail, as the roster will have it")],
    name: Annotated[str, typer.Option(help="your printed name, as the roster will have it")],
    key: Annotated[Path, typer.Option(help="your key: a private key, or the public one of an agent or token")],
    yes: Yes = False,
    show: Show = False,
    rehearse: Rehearse = False,
) -> None:
    """Sign with your own new key that what it signs is yours; what is made is handed over with the public key."""
    question = Question.of("keys pledge", yes=yes, show=show)
    _require_person("keys pledge", person, name, ())
    record = RecordKeys(env, rehearsal=rehearse)
    origin, known = record.policy.origin(rehearsal=rehearse), fingerprint_of(key)
    typer.echo(f"signing   {pledges.MEANING}")
    typer.echo(f"as        {name} <{person.lower()}>, for {origin}, with {known}")
    made = key.with_name(f"{key.name.removesuffix('.pub')}.{env}.pledge")
    if show:
        return
    question.require_yes(name)
    content = pledges.content(origin=origin, signer=person.lower(), printed_name=name, fingerprint=known)
    signature = ssh_sign(content, key=key, namespace=f"deploy-approval@{record.policy.organisation.domain}")
    made.write_bytes(signature)
    typer.echo(f"pledge    {made}: hand it over with the public key")


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
        raise UsageError("pytest-deploy keys revoke: say --person EMAIL or fingerprint, and --reason")
    require_plain("--reason", reason)
    now = SystemClock().now()
    change = enrollment.revoking(record.log, record.workspace.store, person, reason=reason, now=now)
    if change.before.signed is not None:
        propose(record, change, "")
        return
    revoked = enrollment.put_in_force(record.log, record.workspace.store, change, actor=local_actor())
    typer.echo(f"revoked   {person}, from now on; what was signed before stays good in runs that are over")
    record.tell_lost_signatures(revoked)
    record.tell_unfilled_roles()


@keys.command()
def root(
    env: Env,
    *,
    reason: Reason,
    identity: Identity,
    pledge: Annotated[
        list[Path] | None, typer.Option(help="what `keys pledge` made with a key of the roster; one for each key")
    ] = None,
    rehearse: Rehearse = False,
) -> None:
    """Propose the roster as it stands as the trust root: once its administrators have signed it, nobody else changes it."""
    record = RecordKeys(env, rehearsal=rehearse)
    require_reason("keys root", reason)
    if not says_something(identity):
        raise UsageError(
            "pytest-deploy keys root: say --identity, e.g. 'passports, seen by HR on 3 May': it is signed with the roster"
        )
    change = roster_change.unchanged(record.log, reason)
    if change.before.signed is not None:
        raise Refused(f"the roster has a trust root already: {change.before.root_sha256}")
    propose(record, change, identity, pledged=pledge or ())


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
    propose(record, change, "")


@keys.command()
def sign(
    env: Env,
    proposal: Annotated[str, typer.Argument(help="a proposal, by its name; else the only one")] = "",
    *,
    key: Annotated[
        Path | None, typer.Option(help="the key that signs: a private key, or the public one of an agent or token")
    ] = None,
    rehearse: Rehearse = False,
    yes: Yes = False,
    show: Show = False,
) -> None:
    """Sign a proposed roster as an administrator; whose signature completes the quorum puts it in force."""
    question = Question.of("keys sign", yes=yes, show=show)
    record = RecordKeys(env, rehearsal=rehearse)
    sign_proposal(record, proposal, key, question)


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
        raise UsageError("pytest-deploy keys rotate: say --reason; it goes into the record")
    require_plain("--reason", reason)
    in_a_file = record.policy.record.key is None
    if not in_a_file and not to:
        raise UsageError(
            "pytest-deploy keys rotate: Cloud KMS signs this record; make a new key version and say --to its full name"
        )
    if to and (rehearse or re.fullmatch(KEY_VERSION, to) is None):
        wrong = "a rehearsal's key is a file" if rehearse else f"{to} is no key version in full"
        raise UsageError(
            f"pytest-deploy keys rotate: --to: {wrong}; right is projects/P/…/cryptoKeyVersions/N, or no --to"
        )
    log = record.log
    before = log.key.vkey
    file = KeyFile(record.workspace.key_file)
    kept = file.retire() if keep_old and in_a_file else None
    successor = None if to else file.make_successor()
    new = FileSigner.open(successor) if successor is not None else in_kms(to, record.policy.platform.google)
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
        typer.echo(f"roster    {in_words(roster.signed)}")
    now = SystemClock().now()
    for person in roster.people.values():
        typer.echo(f"person    {person_line(person)}")
        for key in roster.keys:
            if key.email == person.email:
                typer.echo(f"          {key_line(key)}{'' if key.valid(now) else ', not valid now'}")
    for waiting in roster_change.proposals(record.log):
        say(waiting_line(record, waiting))
    record.tell_unfilled_roles()


def _require_identity(change: RosterChange, identity: str) -> None:
    """How a new person or key was verified is said where it is signed, and nowhere else. Raises Refused, UsageError."""
    said = says_something(identity)
    if change.before.signed is None and said:
        raise UsageError(
            "pytest-deploy keys enroll: --identity is signed with a roster, and nobody signed this one yet: say it in --reason, or to "
            "`keys root`"
        )
    if change.before.signed is not None and change.after.files() == change.before.files():
        raise Refused("this changes nothing; to have the roster reviewed there is `keys renew`")
    if change.before.signed is not None and not said and set(change.after.keys) - set(change.before.keys):
        raise UsageError(
            "pytest-deploy keys enroll: say --identity, e.g. 'passport, seen by HR': it is signed with the roster"
        )


def _require_person(command: str, person: str, name: str, roles: Sequence[str]) -> None:
    """Whether somebody is described as a roster describes people. Raises UsageError."""
    texts = (person, name, *roles)
    if "@" not in person or not says_something(name):
        raise UsageError(f"pytest-deploy {command}: say --person EMAIL and --name 'Printed Name'")
    if not SIGNER.fullmatch(person.lower()):
        raise UsageError(
            f"pytest-deploy {command}: --person {person!a} is no address to sign under: right are plain ASCII letters, digits and "
            "$%&'/=^_`{|}~.- before the @ (no +), and a domain after it, one with other letters in its xn-- form"
        )
    if not all(map(is_plain, texts)):
        raise UsageError(f"pytest-deploy {command}: a name or a role {NOT_PLAIN}")
    if max(map(len, texts)) > _LONGEST_NAME:
        raise UsageError(f"pytest-deploy {command}: a name or a role is longer than {_LONGEST_NAME} characters")
