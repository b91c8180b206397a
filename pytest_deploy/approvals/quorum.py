"""People matched to roles: every role filled, each by a person of its own. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from pytest_deploy.approvals.roster import Roster


def match(signed: Mapping[str, Collection[str]], roles: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Fill `roles` from who signed for which: (role -> person, roles left over), as many as can be filled.

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
            held = next((other for other in slots if filled.get(other[1]) == person), None)
            if held is None or fill(held, tried):
                filled[slot[1]] = person
                return True
        return False

    missing = tuple(slot[1] for slot in slots if not fill(slot, set()))
    return {slot[1]: filled[slot[1]] for slot in slots if slot[1] in filled}, missing


def possible(roster: Roster, roles: Sequence[str], excluded: Collection[str], at: datetime) -> tuple[bool, str]:
    """Whether the people of a roster, without the excluded, could ever fill the roles; and if not, why, in words."""
    able = {
        person.email: set(person.roles)
        for role in set(roles)
        for person in roster.holders(role, at)
        if person.email not in excluded
    }
    _, missing = match(able, roles)
    if not missing:
        return True, ""
    said = []
    for role in dict.fromkeys(slot.partition(" (")[0] for slot in missing):
        holders = [person.printed_name for person in roster.holders(role, at)]
        out = [person.printed_name for person in roster.holders(role, at) if person.email in excluded]
        who = f"held by {', '.join(holders)}" if holders else "held by nobody with a valid key"
        barred = f", of whom {', '.join(out)} deploys or wrote what is deployed" if out else ""
        said.append(f"nobody is left to sign as {role}: {who}{barred}")
    return False, "; ".join(said)
