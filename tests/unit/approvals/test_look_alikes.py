"""People whose names or addresses look alike are told apart by an explicit word, and names are written in one way."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from pytest_deploy.approvals import enrollment
from pytest_deploy.approvals.look_alikes import look_alikes, skeleton
from pytest_deploy.approvals.roster import Person
from pytest_deploy.errors import Refused
from tests.unit.approvals.pending_request import DEPLOYER, NAMESPACE, TINA, PendingRequest, public

OTHER = Person("nina@example.org", "Nina New", ("QA Lead",), 21, "nina", ())
"""Nobody whom Tina Tanaka, tina@example.org, could be taken for."""


def enroll(pending: PendingRequest, person: Person, *, distinct_from: Collection[str] = ()) -> None:
    enrollment.enroll(
        pending.log, pending.store, [person], {person.email: public(pending.keys["stranger"])}, namespace=NAMESPACE,
        now=pending.clock.now(), actor=DEPLOYER, reason="OPS-1", distinct_from=distinct_from,
    )  # fmt: skip


ALIKE = {
    "the same name": {"printed_name": "Tina Tanaka"},
    "the same name in capitals": {"printed_name": "TINA TANAKA"},
    "with an accent": {"printed_name": "Tina Tan\u00e1ka"},
    "with a hyphen": {"printed_name": "Tina-Tanaka"},
    "with an l for an i": {"printed_name": "Tlna Tanaka"},
    "in letters of full width": {"printed_name": "\uff34ina Tanaka"},
    "an address with a digit": {"email": "t1na@example.org"},
    "an address with a dot": {"email": "ti.na@example.org"},
    "a domain with a digit": {"email": "tina@examp1e.org"},
}


@pytest.mark.parametrize("changes", ALIKE.values(), ids=list(ALIKE))
def test_who_looks_like_somebody_is_enrolled_with_an_explicit_word_only(
    pending: PendingRequest, changes: dict[str, Any]
) -> None:
    twin = replace(OTHER, **changes)
    before = len(pending.log.history())
    with pytest.raises(Refused, match=r"looks like Tina Tanaka <tina@example\.org>.*--distinct-from tina@example\.org"):
        enroll(pending, twin)
    assert len(pending.log.history()) == before

    enroll(pending, twin, distinct_from=[TINA.email])
    assert twin.email in pending.roster.people


def test_the_word_is_about_the_person_it_names(pending: PendingRequest) -> None:
    with pytest.raises(Refused, match="looks like Tina Tanaka"):
        enroll(pending, replace(OTHER, printed_name=TINA.printed_name), distinct_from=["quinn@example.org"])


def test_who_looks_like_nobody_needs_no_word(pending: PendingRequest) -> None:
    enroll(pending, OTHER)

    assert look_alikes(pending.roster, pending.clock.now()) == ()


def test_who_can_sign_no_more_is_taken_for_nobody(pending: PendingRequest) -> None:
    """The same person under a new address, once the keys of the old one are ended."""
    pending.clock.move(60)
    pending.revoke(TINA)
    pending.clock.move(60)
    enroll(pending, replace(OTHER, printed_name=TINA.printed_name))

    assert look_alikes(pending.roster, pending.clock.now()) == ()


def test_who_was_told_apart_once_is_not_asked_about_again(pending: PendingRequest) -> None:
    twin = replace(OTHER, printed_name=TINA.printed_name)
    enroll(pending, twin, distinct_from=[TINA.email])
    enroll(pending, replace(twin, roles=("Tech Lead",)))

    ((one, other),) = look_alikes(pending.roster, pending.clock.now())
    assert {one.email, other.email} == {twin.email, TINA.email}


@pytest.mark.parametrize(
    "name, like",
    [
        ("\u0430\u0441\u0435", "ace"),
        ("\u0420\u041e\u0421\u0421", "POCC"),
        ("\u0391\u039d\u039d\u0391", "ANNA"),
        ("caf\u00e9", "cafe\u0301"),
        ("Stra\u00dfe", "STRASSE"),
        ("Arne", "Ame"),
        ("\u0142ukasz", "Lukasz"),
        ("Ilya", "llya"),
    ],
)
def test_names_that_look_alike_have_one_skeleton(name: str, like: str) -> None:
    assert skeleton(name) == skeleton(like)


@pytest.mark.parametrize("name, other", [("Anna", "Anne"), ("Tina Tanaka", "Nina Tanaka"), ("\u6797", "\u68ee")])
def test_other_names_have_another(name: str, other: str) -> None:
    assert skeleton(name) != skeleton(other)
