"""Who may sign: the roster changes by trust sets that an event puts in force, and never contradicts itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from pytest_deploy.approvals import enrollment
from pytest_deploy.approvals.roster import Person
from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.record.event import Event
from pytest_deploy.verify.verify import verify
from tests.unit.approvals.desk import DEPLOYER, NAMESPACE, QUINN, TINA, Desk, public
from tests.unit.verify.test_second_opinion import second_opinion

COPIES = ("log.vkey", "log.pem", "roles.json", "allowed_signers")
NINA = Person("nina@example.org", "Nina New", ("QA Lead",), 21, "nina", ("nina@home.example",))


def enroll(desk: Desk, person: Person, key: str = "stranger", **changes: Any) -> Event:
    return enrollment.enroll(
        desk.log, desk.store, person, public(desk.keys[key]),
        **{"namespace": NAMESPACE, "now": desk.clock.now(), "actor": DEPLOYER, "reason": "OPS-1", **changes},
    )  # fmt: skip


def test_who_is_enrolled_may_sign_from_then_on(desk: Desk) -> None:
    event = enroll(desk, NINA)

    assert ("key.enrolled", NINA.email, "OPS-1") == (event.type, event.data["person"], event.data["reason"])
    assert desk.roster.people[NINA.email] == NINA
    assert [NINA.email] == [key.email for key in desk.roster.key_of(NINA.email, desk.clock.now())]


def test_the_set_that_the_event_names_is_what_lies_in_the_store(desk: Desk) -> None:
    event = enroll(desk, NINA)

    folder = desk.store / event.data["set"]
    assert {"log.vkey", "log.pem", "allowed_signers", "roles.json"} == {path.name for path in folder.iterdir()}
    assert (folder / "roles.json").read_bytes() == (desk.store / "trust" / "roles.json").read_bytes()


def test_a_second_key_is_added_and_the_first_one_stays(desk: Desk) -> None:
    enroll(desk, TINA, key="second")

    assert len(desk.roster.key_of(TINA.email, desk.clock.now())) == 2


def test_the_same_key_again_changes_the_roles_and_adds_no_line(desk: Desk) -> None:
    enroll(desk, replace(TINA, roles=("QA Lead",)), key=TINA.email)

    assert desk.roster.people[TINA.email].roles == ("QA Lead",)
    assert len(desk.roster.key_of(TINA.email, desk.clock.now())) == 1


@pytest.mark.parametrize("days", [0, 366])
def test_a_key_is_valid_for_a_year_at_most(desk: Desk, days: int) -> None:
    with pytest.raises(Refused, match=f"valid for 1 to 365 days, not {days}"):
        enroll(desk, NINA, valid_days=days)


def test_a_key_ends_when_it_was_said_to(desk: Desk) -> None:
    enroll(desk, NINA, valid_days=1)
    day = timedelta(days=1)

    assert tuple(
        len(desk.roster.key_of(NINA.email, desk.clock.now() + after)) for after in (day - timedelta(seconds=1), day)
    ) == (1, 0)


@pytest.mark.parametrize("text", ["", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-rsa AAAAC3NzaC1lZDI1NTE5", "ünsinn x"])
def test_what_is_no_public_key_is_not_enrolled(desk: Desk, text: str) -> None:
    with pytest.raises(UsageError, match="is no SSH public key"):
        enrollment.enroll(
            desk.log, desk.store, NINA, text, namespace=NAMESPACE, now=desk.clock.now(), actor=DEPLOYER, reason="OPS-1"
        )


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"github": 11}, "one GitHub id, 11, is under nina@example.org and tina@example.org"),
        ({"local": "tina"}, "one user of this machine, tina, is under nina@example.org and tina@example.org"),
        ({"emails": ("tina@home.example",)}, "one e-mail, tina@home.example, is under nina@example.org and tina@"),
        ({"email": "Nina@example.org"}, "is no e-mail of one person, in lower case"),
        ({"email": "nina new"}, "allowed_signers line 6 is not"),
        ({"email": "#nina@example.org"}, "allowed_signers line 6 is not"),
        ({"email": "nina@example.org,tina@example.org"}, "is no e-mail of one person"),
        ({"email": "*@example.org"}, "is no e-mail of one person"),
        ({"printed_name": " "}, "must have exactly"),
        ({"roles": ("",)}, "a role or an e-mail is empty"),
    ],
)
def test_a_roster_that_contradicts_itself_is_never_put_in_force(desk: Desk, changes: Any, said: str) -> None:
    before = len(desk.log.history())

    with pytest.raises(Refused) as refused:
        enroll(desk, replace(NINA, **changes))

    assert said in str(refused.value)
    assert before == len(desk.log.history())


def test_one_key_under_two_people_is_no_roster(desk: Desk) -> None:
    with pytest.raises(Refused, match=r"is listed under nina@example\.org and tina@example\.org"):
        enroll(desk, NINA, key=TINA.email)

    assert NINA.email not in desk.roster.people


def test_of_two_changes_at_once_none_is_lost(desk: Desk) -> None:
    """The slower one was made from a roster no longer in force: it is refused, or was made from the newer one."""
    both = [replace(NINA, email=f"{name}@example.org", github=None, local=None, emails=()) for name in ("ann", "ben")]
    barrier = Barrier(len(both))

    def at_once(person: Person, key: str) -> str:
        barrier.wait(10)
        try:
            enroll(desk, person, key)
        except Refused as refused:
            return str(refused)
        return person.email

    with ThreadPoolExecutor() as pool:
        done = set(pool.map(at_once, both, ("stranger", "second")))

    enrolled = {person.email for person in both} & desk.roster.people.keys()
    assert enrolled
    assert all("somebody else changed the roster meanwhile" in said for said in done - enrolled)
    assert len(both) == len(done)


# --- revoking


def test_a_revoked_key_is_good_until_then(desk: Desk) -> None:
    enrolled = desk.clock.now()
    desk.clock.move(10)

    event = enrollment.revoke(desk.log, desk.store, TINA.email, reason="left", now=desk.clock.now(), actor=DEPLOYER)

    assert ("key.revoked", TINA.email) == (event.type, event.data["person"])
    assert len(desk.roster.key_of(TINA.email, enrolled)) == 1
    assert desk.roster.key_of(TINA.email, desk.clock.now()) == ()
    assert TINA.email in desk.roster.people


def test_one_key_of_two_is_revoked_by_its_fingerprint(desk: Desk) -> None:
    enroll(desk, TINA, key="second")
    desk.clock.move(10)
    first, second = desk.roster.key_of(TINA.email, desk.clock.now())

    enrollment.revoke(desk.log, desk.store, first.fingerprint, reason="lost", now=desk.clock.now(), actor=DEPLOYER)

    assert [second.public] == [key.public for key in desk.roster.key_of(TINA.email, desk.clock.now())]


def test_who_has_no_key_has_none_to_revoke(desk: Desk) -> None:
    with pytest.raises(Refused, match="has no valid key here"):
        enrollment.revoke(desk.log, desk.store, NINA.email, reason="left", now=desk.clock.now(), actor=DEPLOYER)


def test_a_key_revoked_in_the_second_it_was_enrolled_is_no_contradiction(desk: Desk) -> None:
    enroll(desk, NINA)

    enrollment.revoke(desk.log, desk.store, NINA.email, reason="wrong key", now=desk.clock.now(), actor=DEPLOYER)
    desk.clock.move(1)

    assert desk.roster.key_of(NINA.email, desk.clock.now()) == ()
    assert tuple(p for p in desk.roster.holders("QA Lead", desk.clock.now()) if p == QUINN) == (QUINN,)


def test_a_revoked_key_is_enrolled_by_nobody_again_and_one_that_ran_out_is(desk: Desk) -> None:
    desk.clock.move(60)
    event = enrollment.revoke(desk.log, desk.store, TINA.email, reason="stolen", now=desk.clock.now(), actor=DEPLOYER)
    with pytest.raises(Refused, match=f"event {event.seq} revoked the key SHA256:.*: nobody signs with it again"):
        enroll(desk, TINA, key=TINA.email)
    enroll(desk, TINA)

    desk.clock.move(timedelta(days=366).total_seconds())
    enroll(desk, QUINN, key=QUINN.email)
    assert [QUINN.email] == [key.email for key in desk.roster.key_of(QUINN.email, desk.clock.now())]


@pytest.mark.parametrize("left", [OSError("the disk is full"), KeyboardInterrupt()], ids=["a full disk", "a kill"])
def test_a_change_whose_plain_copies_could_not_be_laid_counts_and_the_record_verifies(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, left: BaseException
) -> None:
    def refuse(*_: Any) -> None:
        raise left

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(Path, "write_bytes", refuse)
        enroll(desk, NINA)

    assert NINA.email in desk.roster.people
    found = verify(desk.store)
    assert found.findings == ()
    assert [name for name in COPIES if any(name in note for note in found.notes)] == ["roles.json", "allowed_signers"]
    assert second_opinion(desk.store).ok
    enroll(desk, QUINN, key="second")
    assert not any(name in note for note in verify(desk.store).notes for name in COPIES)
