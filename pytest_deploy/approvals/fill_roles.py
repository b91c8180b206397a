"""Which roles are filled by whom: each by a person of its own, as many as can be."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pytest_deploy.policy import asked_gates


def match_roles(signed: Mapping[str, Collection[str]], roles: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Fill `roles` from who signed for which: (role -> person, roles left over), as many as can be filled. Pure.

    A role named twice needs two people; the second is keyed `ROLE (2)`. One person never fills two.
    """
    slots = asked_gates.slots(roles)
    filled: dict[str, str] = {}

    def fill(slot: str, tried: set[str]) -> bool:
        """Give the slot to a person, moving others to another slot where that frees one (an augmenting path)."""
        for person in sorted(signed):
            if slots[slot] not in signed[person] or person in tried:
                continue
            tried.add(person)
            current_slot = next((other for other, who in filled.items() if who == person), None)
            if current_slot is None or fill(current_slot, tried):
                filled[slot] = person
                return True
        return False

    missing = tuple(slot for slot in slots if not fill(slot, set()))
    return {slot: filled[slot] for slot in slots if slot in filled}, missing
