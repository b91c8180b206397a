"""`administrators`: who administers what the record rests on is listed, holds no business role, and does not deploy.

Their rights are read back now. Each must be of an account that policy lists: who may delete what the record's bucket keeps, change
who uses its key, or end it, administers the repository or the database, is then known by name, and as far as the roster knows them
neither approves nor deploys (21 CFR 11.10(d), (g)). Decision 0069 says what is not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import psycopg

from pytest_deploy.anchors.github import Statuses
from pytest_deploy.approvals.roster import Person, enroll_command
from pytest_deploy.errors import DeployError, UsageError
from pytest_deploy.gates.facts import GateFacts
from pytest_deploy.gates.verdict import Grounds, Judge, Unavailable, Verdict, not_applicable
from pytest_deploy.platform.database_administrators import database_administrators
from pytest_deploy.platform.environment import in_kms
from pytest_deploy.policy.policy import MOST_ACCOUNTS, Administrators
from pytest_deploy.record import iam
from pytest_deploy.record.bucket import MirroredStore
from pytest_deploy.record.plain_text import escape_line

NAME = "administrators"
_WHERE = {
    "store": "the record's bucket",
    "key": "the log's key",
    "github": "the repository",
    "database": "the database",
}


@dataclass(frozen=True)
class Account:
    """An account that was read back with an administrator's rights."""

    rights: tuple[str, ...]
    known_as: str = ""
    """An e-mail or an actor by which the roster may know whose it is, whatever policy says."""


@dataclass(frozen=True)
class Holder:
    """Somebody whom the roster knows."""

    person: str
    """Their e-mail there."""
    roles: frozenset[str]
    enroll: str = ""
    """The command that leaves them none but the roster's own administrators', where they have that."""


Found = Mapping[str, Mapping[str, Account] | Unavailable]
"""By system what was read back."""


def gather(facts: GateFacts) -> Judge:
    """Whose rights each system tells now, and what the roster knows of them and of those whom policy lists."""
    rule = facts.policy.administrators
    if rule is None:
        return lambda _: _nobody_is_asked(replaced=bool(facts.policy.replaced(NAME)))
    found = {system: few(_read(facts, system)) for system in rule.listed}
    names = {email for accounts in rule.listed.values() for email in accounts.values()}
    for accounts in found.values():
        if not isinstance(accounts, Unavailable):
            names |= {account.known_as for account in accounts.values() if account.known_as}
    people = {name: who for name in sorted(names) if (who := _person(facts, name)) is not None}
    deployer = facts.roster.of_actor(facts.deployer)
    person, besides = None if deployer is None else deployer.email, _roster_role(facts)
    holders = {name: _holder(facts, who, besides) for name, who in people.items()}
    enroll = enroll_command(facts.workspace, facts.roster)
    return lambda _: judge(rule, found, holders, deployer=facts.deployer, person=person, besides=besides, enroll=enroll)


def few(accounts: Mapping[str, Account] | Unavailable) -> Mapping[str, Account] | Unavailable:
    """The accounts, or why they are too many to be told: a verdict names each of them, and an event holds 64 KiB."""
    if isinstance(accounts, Unavailable) or len(accounts) <= MOST_ACCOUNTS:
        return accounts
    return Unavailable(
        f"{len(accounts)} accounts have its rights, and at most {MOST_ACCOUNTS} can be listed: take them from most"
    )


def _nobody_is_asked(*, replaced: bool) -> Verdict:
    """`replaced`: policy lists them, and a rehearsal or a setting goes by no list."""
    if not replaced:
        return not_applicable(NAME)
    return Grounds(NAME, {"rule": None}).not_applicable("a rule in place of policy's own lists nobody to ask about")


def judge(
    rule: Administrators,
    found: Found,
    holders: Mapping[str, Holder],
    *,
    deployer: str,
    person: str | None,
    besides: str,
    enroll: str,
) -> Verdict:
    """Whether who administers is listed, and nobody of them whom the roster knows has a say in what is deployed.

    `holders` are those whom the roster knows, by an e-mail that `rule` lists or by what an account is known as; `person` is the
    deployer's e-mail there. `besides` is the one role that an administrator may hold: who signs the roster approves nothing by it.
    `enroll` makes somebody known.
    """
    known = {name: {"person": holder.person, "roles": sorted(holder.roles)} for name, holder in holders.items()}
    idle = _idle(rule, found)
    inputs = {
        "listed": rule.listed,
        "found": _shown(found),
        "idle": [[system, account] for system, account in idle],
        "known": known,
        "who": deployer,
        "person": person,
        "besides": besides or None,
    }
    grounds = Grounds(NAME, inputs)
    faults = [
        *_unread(found),
        *_unlisted(rule, found),
        *_overlapping(rule, found, holders, person, besides),
        *_unknown_deployer(deployer, person, enroll),
    ]
    if faults:
        remedies = dict.fromkeys(remedy for _, remedy in faults)
        return grounds.needs_action("; ".join(dict.fromkeys(fault for fault, _ in faults)), "; ".join(remedies))
    told = ", ".join(
        f"{_WHERE[system]} ({len(accounts)} of {len(rule.listed[system])} accounts)"
        for system, accounts in found.items()
        if isinstance(accounts, Mapping)
    )
    no_more = [f"{escape_line(account)} holds no such right of {_WHERE[system]} now" for system, account in idle]
    listed = f"who administers {told}, as each tells itself, is listed, and none of them whom the roster knows has a business role or deploys"
    return grounds.passes("; ".join([listed, *no_more]))


def _shown(found: Found) -> dict[str, object]:
    """What was read back, as a record writes it."""
    shown: dict[str, object] = {}
    for system, accounts in found.items():
        if isinstance(accounts, Unavailable):
            shown[system] = {"problem": accounts.problem}
        else:
            shown[system] = [
                {"account": name, "rights": list(account.rights), "known_as": account.known_as or None}
                for name, account in sorted(accounts.items())
            ]
    return shown


def _unread(found: Found) -> Iterator[tuple[str, str]]:
    for system, accounts in found.items():
        if isinstance(accounts, Unavailable):
            yield (
                f"who administers {_WHERE[system]} could not be read back: {accounts.problem}",
                "mend what it names, then ask again",
            )


def _unlisted(rule: Administrators, found: Found) -> Iterator[tuple[str, str]]:
    for system, name, account in _accounts(found):
        if not _is_listed(rule, system, name):
            rights = ", ".join(_right(system, right) for right in account.rights)
            yield (
                f"{escape_line(name)} administers {_WHERE[system]} ({rights}) and is not listed",
                f"take the rights from it, or list whose it is under administrators.{system}",
            )


def _right(system: str, right: str) -> str:
    """A right as a refusal names it; of a role of IAM that nobody here knows it says why it counts."""
    known = system not in {"store", "key"} or right in iam.ADMINISTER
    return escape_line(right) if known else f"{escape_line(right)}, which is not known here and so counts"


def _overlapping(
    rule: Administrators, found: Found, holders: Mapping[str, Holder], person: str | None, besides: str
) -> Iterator[tuple[str, str]]:
    """People who administer and have a business role, or deploy: by the e-mail that is listed, and by the account itself."""
    claimed = [(system, account, email) for system, of in rule.listed.items() for account, email in of.items()]
    claimed += [(system, name, account.known_as) for system, name, account in _accounts(found) if account.known_as]
    for system, account, whom in claimed:
        holder = holders.get(whom)
        if holder is None:
            continue
        whose = f"{holder.person}, who administers {_WHERE[system]} as {escape_line(account)}"
        if business := sorted(holder.roles - {besides}):
            off = f"take {escape_line(account)} off administrators.{system} and its rights from it"
            anew = f"take the role from {holder.person}, with a new key of theirs where the old one ended: `{holder.enroll}`"
            yield (
                f"{whose}, holds {', '.join(business)}",
                f"{off}, or give it to somebody without a role; or {anew}",
            )
        if person == holder.person:
            yield f"{whose}, deploys", "have it started by somebody who administers nothing"


def _unknown_deployer(deployer: str, person: str | None, enroll: str) -> Iterator[tuple[str, str]]:
    if person is None:
        yield (
            f"{deployer or 'the actor'} is nobody whom the roster knows, so whether they administer anything cannot be told",
            f"have it started by somebody of the roster, or make them known: `{enroll}`",
        )


def _idle(rule: Administrators, found: Found) -> list[tuple[str, str]]:
    """The accounts that are listed and were not found to hold any right."""
    idle = []
    for system, listed in rule.listed.items():
        accounts = found[system]
        if isinstance(accounts, Mapping):
            held = {_same(system, name) for name in accounts}
            idle += [(system, account) for account in sorted(listed) if _same(system, account) not in held]
    return idle


def _accounts(found: Found) -> Iterator[tuple[str, str, Account]]:
    for system, accounts in found.items():
        if isinstance(accounts, Mapping):
            yield from ((system, name, account) for name, account in sorted(accounts.items()))


def _is_listed(rule: Administrators, system: str, account: str) -> bool:
    return _same(system, account) in {_same(system, name) for name in rule.listed[system]}


def _same(system: str, account: str) -> str:
    """An account as its system compares names: for GitHub alone capitals are small letters."""
    return account.casefold() if system == "github" else account


# --- what is read back, and who that is


def _read(facts: GateFacts, system: str) -> Mapping[str, Account] | Unavailable:
    try:
        return _READERS[system](facts)
    except (DeployError, psycopg.Error) as error:
        return Unavailable(str(error))


def _of_store(facts: GateFacts) -> Mapping[str, Account]:
    store = facts.environment.log.store
    if not isinstance(store, MirroredStore):
        raise UsageError("the record lies in no bucket")
    return _by_member(store.bucket.administrators())


def _of_key(facts: GateFacts) -> Mapping[str, Account]:
    key = facts.policy.record.key
    if key is None:
        raise UsageError("the log's key is a file")
    return _by_member(in_kms(key, facts.policy.platform.google).administrators())


def _of_github(facts: GateFacts) -> Mapping[str, Account]:
    rule, policy = facts.policy.anchors.github, facts.policy
    if rule is None:
        raise UsageError("anchors.github names no repository")
    found = Statuses(rule, policy.origin(rehearsal=facts.workspace.rehearsal)).administrators()
    return {login: Account(("admin",), f"github:{number}:{login}") for login, number in found.items()}


def _of_database(facts: GateFacts) -> Mapping[str, Account]:
    found = database_administrators(facts.environment.platform.database)
    return {role: Account(rights) for role, rights in found.items()}


_READERS = {"store": _of_store, "key": _of_key, "github": _of_github, "database": _of_database}


def _by_member(found: Mapping[str, tuple[str, ...]]) -> Mapping[str, Account]:
    """IAM's members; one that is a user's is the e-mail of whose it is."""
    return {
        member: Account(roles, member.removeprefix("user:") if member.startswith("user:") else "")
        for member, roles in found.items()
    }


def _person(facts: GateFacts, name: str) -> Person | None:
    """Who has this e-mail, one of their commits too, or is this actor."""
    return facts.roster.of_git(name) or facts.roster.of_actor(name)


def _holder(facts: GateFacts, who: Person, besides: str) -> Holder:
    left = replace(who, roles=tuple(role for role in who.roles if role == besides))
    return Holder(who.email, frozenset(who.roles), enroll_command(facts.workspace, facts.roster, known=left))


def _roster_role(facts: GateFacts) -> str:
    """The role that signs who may sign, where policy asks it for nothing else."""
    policy, signed = facts.policy, facts.roster.signed
    role = policy.roster.administrators if signed is None else signed.administrators
    deploys = () if policy.deployer is None else (policy.deployer.role,)
    business = {*policy.approval.roles, *policy.rollback.roles, *policy.thaw.roles, *deploys}
    business |= set() if signed is None else set(signed.approvers)
    return "" if role in business else role
