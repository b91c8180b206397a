"""Roles are filled by distinct people, as many as can be."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.approvals.fill_roles import match_roles

ROLES = st.lists(st.sampled_from(["Tech Lead", "QA Lead", "CTO"]), max_size=4)
SIGNED = st.dictionaries(
    st.sampled_from(["ann", "ben", "cat", "dan"]), st.sets(st.sampled_from(["Tech Lead", "QA Lead", "CTO", "Cook"]))
)


def most(signed: dict[str, set[str]], roles: list[str]) -> int:
    """How many roles can be filled at all: every way to seat the people, tried."""
    people = [*signed, *[""] * len(roles)]
    return max(
        sum(bool(person) and role in signed[person] for person, role in zip(seats, roles, strict=True))
        for seats in permutations(people, len(roles))
    )


@given(signed=SIGNED, roles=ROLES)
def test_as_many_roles_are_filled_as_can_be_each_by_somebody_else_who_signed_for_it(
    signed: dict[str, set[str]], roles: list[str]
) -> None:
    filled, missing = match_roles(signed, roles)

    assert most(signed, roles) == len(filled)
    assert len(filled) == len(set(filled.values()))
    assert all(slot.partition(" (")[0] in signed[person] for slot, person in filled.items())
    assert sorted(roles) == sorted(slot.partition(" (")[0] for slot in [*filled, *missing])


@given(signed=SIGNED, roles=ROLES)
def test_a_further_signature_never_empties_a_role(signed: dict[str, set[str]], roles: list[str]) -> None:
    _, missing = match_roles(signed, roles)
    _, with_one_more = match_roles({**signed, "eve": {"QA Lead"}}, roles)

    assert set(with_one_more) <= set(missing)


def test_a_role_named_twice_takes_two_people() -> None:
    assert match_roles({"ann": {"CTO"}}, ["CTO", "CTO"]) == ({"CTO": "ann"}, ("CTO (2)",))
    filled, missing = match_roles({"ann": {"CTO"}, "ben": {"CTO"}}, ["CTO", "CTO"])
    assert ({"CTO", "CTO (2)"}, {"ann", "ben"}, ()) == (set(filled), set(filled.values()), missing)
