"""A change of a signed roster, as `pytest-deploy keys` proposes it, shows it and has it signed.

Whoever may write to the store may lay a proposal there: what it says is escaped before it is shown, and all that it changes is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

from pytest_deploy.approvals import roster_change
from pytest_deploy.approvals.enrollment import RosterChange
from pytest_deploy.approvals.look_alikes import look_alikes
from pytest_deploy.approvals.roster import Key, Person, Roster, in_force, parse
from pytest_deploy.approvals.roster_change import Proposal
from pytest_deploy.approvals.sign_request import choose_signer
from pytest_deploy.commands import say
from pytest_deploy.commands.ask import Question
from pytest_deploy.commands.record_keys import RecordKeys
from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.record import signed_roster
from pytest_deploy.record.actor import local_actor
from pytest_deploy.record.clock import SystemClock
from pytest_deploy.record.events import KeyRevoked
from pytest_deploy.record.key import ROSTER
from pytest_deploy.record.plain_text import escape_line, require_plain
from pytest_deploy.record.signed_roster import RosterStatement


def propose(record: RecordKeys, change: RosterChange, identity: str, *, pledged: Sequence[Path] = ()) -> None:
    """Lay a change down for administrators; say who must sign it, and how.

    `pledged` are the files that `keys pledge` made. Raises as `roster_change.propose`, UsageError.
    """
    require_plain("--identity", identity)
    if missing := [path for path in pledged if not path.is_file()]:
        raise UsageError(f"--pledge {missing[0]}: there is no such file; right is what `keys pledge` made")
    signatures = [path.read_bytes() for path in pledged]
    now, rules = SystemClock().now(), record.policy.roster
    proposal = roster_change.propose(
        record.log,
        change,
        rules,
        approvers=record.policy.approval.roles,
        identity=identity,
        now=now,
        pledged=signatures,
    )
    after = parse(proposal.files)
    for line in changed_lines(change.before, after):
        typer.echo(line)
    typer.echo(f"proposed  {proposal.name}: {in_words(proposal.statement)}")
    able = len(after.holders(rules.administrators, now))
    if able == proposal.statement.quorum:
        typer.echo(f"needed    one more {rules.administrators}: with {able} no key of theirs can ever be ended")
    say(waiting_line(record, proposal))


def sign_proposal(record: RecordKeys, name: str, key: Path | None, question: Question) -> None:
    """Show a proposal, sign it, and put it in force where that completes the quorum. Raises Refused, UsageError, Failed."""
    # 1. What is signed, all of it.
    proposal = _named(record, name)
    roster = in_force(record.log.store, record.log.history())[0]
    statement, after = proposal.statement, parse(proposal.files)
    digest = signed_roster.digest(proposal.files[ROSTER])
    typer.echo(f"proposal  {proposal.name}, SHA-256 {digest}")
    for line in changed_lines(roster, after):
        typer.echo(line)
    for person, other in look_alikes(after, SystemClock().now()):
        typer.echo(f"alike     {person_line(person)} and {person_line(other)}")
    typer.echo(f"roster    {in_words(statement)}")
    if roster.signed is not None and roster.signed.approvers != statement.approvers:
        typer.echo(escape_line(f"changed   who approves: {', '.join(roster.signed.approvers) or 'nobody'} before"))
    typer.echo(f"reason    {escape_line(statement.reason)}")
    typer.echo(f"identity  {escape_line(statement.identity) or '-'}")
    if question.show:
        say(waiting_line(record, proposal))
        return
    # 2. By whom.
    person, key = choose_signer(record.workspace, after if roster.signed is None else roster, "", key)
    now, role = SystemClock().now(), proposal.rule.administrators
    roster_change.refuse_signer(proposal, person, now)
    typer.echo(f"signing   {statement.meaning}, as {escape_line(person.printed_name)} <{person.email}>, {role}")
    question.require_yes(role)
    now = SystemClock().now()  # they took their time to read
    signed = roster_change.sign_proposal(record.log, proposal, person=person, key=key, now=now)
    # 3. In force, where they are enough.
    event = roster_change.put_proposal_in_force(
        record.log, record.workspace.store, signed, actor=local_actor(), now=now
    )
    if event is None:
        say(waiting_line(record, signed))
        return
    typer.echo(f"in force  by event {event.seq}")
    if statement.number == 1:
        typer.echo(f"root      {digest}")
        typer.echo(
            "keep      this digest elsewhere; pin it in deploy.yaml, as `trust_root` under `approval`; verify with --trust-root"
        )
    if event.type == KeyRevoked.type:
        record.tell_lost_signatures(event)
    record.tell_unfilled_roles()


def _named(record: RecordKeys, name: str) -> Proposal:
    """The proposal of a name, or the only one. Raises Refused."""
    waiting = roster_change.proposals(record.log)
    named = [one for one in waiting if name in ("", one.name)]
    if len(named) == 1:
        return named[0]
    look = record.workspace.command_line("keys list")
    if not waiting:
        raise Refused(f"no roster waits for signatures here; which one is in force: `{look}`")
    names = ", ".join(one.name for one in waiting)
    raise Refused(f"no proposal {name} waits here; what waits: {names}" if name else f"several wait, say one: {names}")


def waiting_line(record: RecordKeys, proposal: Proposal) -> str:
    """A proposal that waits: who signed it, who could, and how."""
    now = SystemClock().now()
    signed = proposal.signed_by(now)
    able = [escape_line(one.printed_name) for one in proposal.may_sign(now) if one.email not in signed]
    by = f" ({', '.join(signed)})" if signed else ""
    command = record.workspace.command_line("keys sign", proposal.name)
    return (
        f"waits     {proposal.name}: {len(signed)} of {proposal.rule.quorum} signed{by}; "
        f"may sign: {', '.join(able) or 'nobody'}: `{command}`"
    )


def in_words(statement: RosterStatement) -> str:
    """Number, end and rule of a signed roster."""
    rule = f"a change takes {statement.quorum} who are {statement.administrators}"
    approve = (
        f"{' and '.join(statement.approvers)} approve each deployment"
        if statement.approvers
        else "nobody has to approve"
    )
    return escape_line(f"number {statement.number}, until {statement.expires}; {rule}; {approve}")


def person_line(person: Person) -> str:
    """Who somebody is, in a line: what decides who counts as deployer or author too."""
    behind = [
        *([f"GitHub {person.github}"] if person.github is not None else []),
        *([f"local {person.local}"] if person.local is not None else []),
        *(f"git {address}" for address in person.emails if address != person.email),
    ]
    known_as = f"; {', '.join(behind)}" if behind else ""
    return escape_line(f"{person.printed_name} <{person.email}>: {', '.join(person.roles) or 'no role'}{known_as}")


def key_line(key: Key) -> str:
    return f"{key.fingerprint} {key.valid_after:%Y-%m-%d} to {key.valid_before:%Y-%m-%d %H:%M} UTC"


def changed_lines(before: Roster, after: Roster) -> Iterator[str]:
    """All that another roster changes, a line each; the whole roster where it is the first that is signed."""
    first = before.signed is None
    concerned = after.people if first else signed_roster.concerned(before.files(), after.files())
    if not concerned:
        yield "changes   nobody: the same people and keys"
    for email in sorted(concerned):
        was, person = None if first else before.people.get(email), after.people.get(email)
        if was is not None and was != person:
            yield f"was       {person_line(was)}"
        yield f"person    {person_line(person) if person is not None else f'{email}: taken out'}"
        old, new = ([key for key in roster.keys if key.email == email] for roster in (before, after))
        for key in new:
            known = [one for one in old if one.public == key.public] if not first else []
            if key not in known:
                yield f"          {'changed ' if known else ''}{key_line(key)}"
        for key in old if not first else ():
            if all(one.public != key.public for one in new):
                yield f"          taken out {key_line(key)}"
