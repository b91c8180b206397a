"""`deployer`: who starts it holds the role that policy names."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_deploy.gates.verdict import Verdict, not_asked_for, passes, to_mend
from pytest_deploy.policy.gate_rules import Deployer

GATE = "deployer"


def deployer(
    rule: Deployer | None, who: str, person: str | None, roles: frozenset[str], holders: Sequence[str]
) -> Verdict:
    """Whether `who` (the actor) is a `person` of the roster whose `roles` hold the one asked for.

    `holders` are the people who do, for the message. An actor whom the roster does not know is refused.
    """
    if rule is None:
        return not_asked_for(GATE)
    inputs = {"role": rule.role, "who": who, "person": person, "roles": sorted(roles), "holders": list(holders)}
    if holders:
        remedy = f"have it started by {' or '.join(holders)}"
    else:
        remedy = f"nobody holds the role {rule.role}; give it to somebody in the roster"
    if person is None:
        return to_mend(
            GATE, inputs, f"{who or 'the actor'} is nobody whom the roster knows; {rule.role} starts it", remedy
        )
    if rule.role not in roles:
        held = f"holds {', '.join(sorted(roles))}" if roles else "holds no role"
        return to_mend(GATE, inputs, f"{person} ({who}) {held}; {rule.role} starts it", remedy)
    return passes(GATE, inputs, f"{person} ({who}) holds {rule.role}")
