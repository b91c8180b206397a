"""`deployer`: who starts it holds the role that policy names, and is no administrator of the roster."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_deploy.gates.facts import GateFacts
from pytest_deploy.gates.verdict import Grounds, Judge, Verdict, not_applicable
from pytest_deploy.policy.policy import Deployer

NAME = "deployer"


def gather(facts: GateFacts) -> Judge:
    """Who deploys, what the roster knows of them, and who could."""
    rule, actor = facts.policy.deployer, facts.deployer
    signed = facts.roster.signed
    administrators = signed.administrators if signed is not None else ""
    person = facts.roster.of_actor(actor)
    now = facts.environment.system_clock.now()
    holders = [holder.printed_name for holder in facts.roster.holders(rule.role, now)] if rule is not None else []
    email, roles = (person.email, frozenset(person.roles)) if person is not None else (None, frozenset[str]())
    return lambda _: judge(rule, actor, email, roles, holders, administrators=administrators)


def judge(
    rule: Deployer | None,
    actor: str,
    person: str | None,
    roles: frozenset[str],
    holders: Sequence[str],
    *,
    administrators: str = "",
) -> Verdict:
    """Whether `actor` is a `person` of the roster whose `roles` hold the one asked for.

    `holders` are the people who do, for the message. An actor whom the roster does not know is refused. `administrators` is the
    role that signs who may sign, where a roster is signed: who deploys must not also say who approves (21 CFR 11.10(g)).
    """
    administers = bool(administrators) and administrators in roles
    if rule is None and not administers:
        return not_applicable(NAME)
    inputs = {
        "role": rule.role if rule else None,
        "who": actor,
        "person": person,
        "roles": sorted(roles),
        "holders": list(holders),
    }
    grounds = Grounds(NAME, inputs)
    if rule is None:
        return _refuse_administrator(grounds, actor, person, administrators)
    if holders:
        remedy = f"have it started by {' or '.join(holders)}"
    else:
        remedy = f"nobody holds the role {rule.role}; give it to somebody in the roster"
    if person is None:
        return grounds.needs_action(
            f"{actor or 'the actor'} is nobody whom the roster knows; {rule.role} starts it", remedy
        )
    if rule.role not in roles:
        roles_held = f"holds {', '.join(sorted(roles))}" if roles else "holds no role"
        return grounds.needs_action(f"{person} ({actor}) {roles_held}; {rule.role} starts it", remedy)
    if administers:
        return _refuse_administrator(grounds, actor, person, administrators)
    return grounds.passes(f"{person} ({actor}) holds {rule.role}")


def _refuse_administrator(grounds: Grounds, actor: str, person: str | None, administrators: str) -> Verdict:
    return grounds.needs_action(
        f"{person} ({actor}) is {administrators} too, and who deploys must not change who approves",
        "have it started by somebody else, or have the role taken from them",
    )
