"""Who may sign: the roster changes by trust sets that an event puts in force, and never contradicts itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any

import pytest

from pytest_deploy.approvals import enrollment
from pytest_deploy.approvals.roster import Key, Person
from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.record import atomic_file
from pytest_deploy.record.event import Event
from pytest_deploy.verify.verify import verify
from tests.unit.approvals.pending_request import DEPLOYER, LATER_RUN, NAMESPACE, QUINN, TINA, PendingRequest, public
from tests.unit.verify.second_verifier import second_opinion

COPIES = ("log.vkey", "log.pem", "roles.json", "allowed_signers")
NINA = Person("nina@example.org", "Nina New", ("QA Lead",), 21, "nina", ("nina@home.example",))


def enroll(pending: PendingRequest, person: Person, key: str = "stranger", **changes: Any) -> Event:
    return enrollment.enroll(
        pending.log, pending.store, [person], {person.email: public(pending.keys[key])},
        **{"namespace": NAMESPACE, "now": pending.clock.now(), "actor": DEPLOYER, "reason": "OPS-1", **changes},
    )  # fmt: skip


def keys_of(pending: PendingRequest, person: Person, at: datetime | None = None) -> list[Key]:
    """A person's keys that are valid at an instant, by default now."""
    return [key for key in pending.roster.keys if key.email == person.email and key.valid(at or pending.clock.now())]


def test_who_is_enrolled_may_sign_from_then_on(pending: PendingRequest) -> None:
    event = enroll(pending, NINA)

    assert ("key.enrolled", NINA.email, "OPS-1") == (event.type, event.data["person"], event.data["reason"])
    assert pending.roster.people[NINA.email] == NINA
    assert [NINA.email] == [key.email for key in keys_of(pending, NINA)]


def test_the_set_that_the_event_names_is_what_lies_in_the_store(pending: PendingRequest) -> None:
    event = enroll(pending, NINA)

    folder = pending.store / event.data["set"]
    assert {"log.vkey", "log.pem", "allowed_signers", "roles.json"} == {path.name for path in folder.iterdir()}
    assert (folder / "roles.json").read_bytes() == (pending.store / "trust" / "roles.json").read_bytes()


def test_a_second_key_is_added_and_the_first_one_stays(pending: PendingRequest) -> None:
    enroll(pending, TINA, key="second")

    assert len(keys_of(pending, TINA)) == 2


def test_the_same_key_again_changes_the_roles_and_adds_no_line(pending: PendingRequest) -> None:
    enroll(pending, replace(TINA, roles=("QA Lead",)), key=TINA.email)

    assert pending.roster.people[TINA.email].roles == ("QA Lead",)
    assert len(keys_of(pending, TINA)) == 1


@pytest.mark.parametrize("days", [0, 366])
def test_a_key_is_valid_for_a_year_at_most(pending: PendingRequest, days: int) -> None:
    with pytest.raises(Refused, match=f"valid for 1 to 365 days, not {days}"):
        enroll(pending, NINA, valid_days=days)


def test_a_key_ends_when_it_was_said_to(pending: PendingRequest) -> None:
    enroll(pending, NINA, valid_days=1)
    day = timedelta(days=1)

    assert tuple(
        len(keys_of(pending, NINA, pending.clock.now() + after)) for after in (day - timedelta(seconds=1), day)
    ) == (1, 0)


DAY = timedelta(days=1)


def test_a_deputys_key_is_valid_from_its_first_day_to_its_last(pending: PendingRequest) -> None:
    now = pending.clock.now()
    first, end = now + 2 * DAY, now + 5 * DAY
    enroll(pending, NINA, valid_from=first, valid_until=end)
    instants = (now, first - timedelta(seconds=1), first, end - timedelta(seconds=1), end)

    assert [len(keys_of(pending, NINA, at)) for at in instants] == [0, 0, 1, 1, 0]


def test_a_deputy_approves_on_the_days_of_the_key_alone(pending: PendingRequest) -> None:
    """Of Quinn's role; the request is made once the deputy is enrolled."""
    pending.revoke(QUINN)
    now = pending.clock.now()
    enroll(pending, NINA, valid_from=now + timedelta(hours=2), valid_until=now + timedelta(hours=4))
    pending = replace(pending, keys={**pending.keys, NINA.email: pending.keys["stranger"]})
    pending.clock.move(60)
    pending.ask(LATER_RUN)
    with pytest.raises(Refused, match="is not valid for nina@example"):
        pending.approve(NINA, run=LATER_RUN)
    pending.clock.move(3 * 3600)
    pending.approve(NINA, run=LATER_RUN)
    assert pending.evaluation(run=LATER_RUN).filled == {"QA Lead": NINA.email}
    pending.clock.move(3600)

    assert pending.evaluation(run=LATER_RUN).filled == {}
    with pytest.raises(Refused, match="is not valid for nina@example"):
        pending.approve(NINA, run=LATER_RUN)


@pytest.mark.parametrize(
    "first, end, said",
    [
        (-DAY, DAY, "valid from today on at the earliest"),
        (2 * DAY, DAY, "ends after that, within 365 days"),
        (2 * DAY, 2 * DAY, "ends after that, within 365 days"),
        (2 * DAY, 368 * DAY, "ends after that, within 365 days"),
    ],
)
def test_days_that_are_past_or_none_or_too_many_are_refused(
    pending: PendingRequest, first: timedelta, end: timedelta, said: str
) -> None:
    now = pending.clock.now()
    with pytest.raises(Refused, match=said):
        enroll(pending, NINA, valid_from=now + first, valid_until=now + end)


def test_a_key_that_somebody_has_gets_no_other_days(pending: PendingRequest) -> None:
    with pytest.raises(
        Refused, match=r"tina@example\.org has the key SHA256:\S+ from .*: for other days make another key"
    ):
        enroll(pending, TINA, key=TINA.email, valid_until=pending.clock.now() + DAY)
    enroll(pending, NINA, valid_from=pending.clock.now() + DAY)
    enroll(pending, replace(NINA, roles=("Tech Lead",)))

    assert len([key for key in pending.roster.keys if key.email == NINA.email]) == 1


@pytest.mark.parametrize("text", ["", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-rsa AAAAC3NzaC1lZDI1NTE5", "ünsinn x"])
def test_what_is_no_public_key_is_not_enrolled(pending: PendingRequest, text: str) -> None:
    with pytest.raises(UsageError, match="is no SSH public key"):
        enrollment.enroll(
            pending.log,
            pending.store,
            [NINA],
            {NINA.email: text},
            namespace=NAMESPACE,
            now=pending.clock.now(),
            actor=DEPLOYER,
            reason="OPS-1",
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
        ({"email": "zo\u00eb@example.org"}, r"'zo\xeb@example.org' is no e-mail of one person"),
        ({"email": "nin\u0430@example.org"}, "is no e-mail of one person, in lower case, in plain ASCII"),
        ({"email": "nina@example.org."}, "is no e-mail of one person"),
        ({"email": "*@example.org"}, "is no e-mail of one person"),
        ({"email": "nina+1@example.org"}, "is no e-mail of one person, in lower case"),
        ({"printed_name": " "}, "printed_name is written"),
        ({"printed_name": " Nina"}, "printed_name is written"),
        ({"printed_name": "Nina  New"}, "printed_name is written"),
        ({"printed_name": "Nina\u00a0New"}, "printed_name is written"),
        ({"printed_name": "Ni\u200bna New"}, "printed_name is written"),
        ({"printed_name": "Ni\u00adna New"}, "printed_name is written"),
        ({"printed_name": "Nine\u0301 New"}, "printed_name is written"),
        ({"printed_name": "Nin\u0430 New"}, "'nina@example.org': CYRILLIC and LATIN letters stand in one word"),
        ({"roles": ("",)}, "a role or an e-mail is empty"),
    ],
)
def test_a_roster_that_contradicts_itself_is_never_put_in_force(
    pending: PendingRequest, changes: Any, said: str
) -> None:
    before = len(pending.log.history())

    with pytest.raises(Refused) as refused:
        enroll(pending, replace(NINA, **changes))

    assert said in str(refused.value)
    assert before == len(pending.log.history())


@pytest.mark.parametrize(
    "name", ["Zo\u00eb M\u00fcller-O'Neil", "\u041d\u0438\u043d\u0430 New", "\u6797 \u7f8e\u54b2", "Nina New, Jr."]
)
def test_a_name_is_written_in_any_one_writing(pending: PendingRequest, name: str) -> None:
    enroll(pending, replace(NINA, printed_name=name))

    assert pending.roster.people[NINA.email].printed_name == name


def test_one_key_under_two_people_is_no_roster(pending: PendingRequest) -> None:
    with pytest.raises(Refused, match=r"is listed under nina@example\.org and tina@example\.org"):
        enroll(pending, NINA, key=TINA.email)

    assert NINA.email not in pending.roster.people


def test_of_two_changes_at_once_none_is_lost(pending: PendingRequest) -> None:
    """The slower one was made from a roster no longer in force: it is refused, or was made from the newer one."""
    both = [
        Person(f"{name.lower()}@example.org", f"{name} New", ("QA Lead",), None, None, ()) for name in ("Ann", "Ben")
    ]
    barrier = Barrier(len(both))

    def at_once(person: Person, key: str) -> str:
        barrier.wait(10)
        try:
            enroll(pending, person, key)
        except Refused as refused:
            return str(refused)
        return person.email

    with ThreadPoolExecutor() as pool:
        done = set(pool.map(at_once, both, ("stranger", "second")))

    enrolled = {person.email for person in both} & pending.roster.people.keys()
    assert enrolled
    assert all("somebody else changed the roster meanwhile" in said for said in done - enrolled)
    assert len(both) == len(done)


# --- revoking


def test_a_revoked_key_is_good_until_then(pending: PendingRequest) -> None:
    enrolled = pending.clock.now()
    pending.clock.move(10)

    event = enrollment.revoke(
        pending.log, pending.store, TINA.email, reason="left", now=pending.clock.now(), actor=DEPLOYER
    )

    assert ("key.revoked", TINA.email) == (event.type, event.data["person"])
    assert len(keys_of(pending, TINA, enrolled)) == 1
    assert keys_of(pending, TINA) == []
    assert TINA.email in pending.roster.people


def test_one_key_of_two_is_revoked_by_its_fingerprint(pending: PendingRequest) -> None:
    enroll(pending, TINA, key="second")
    pending.clock.move(10)
    first, second = keys_of(pending, TINA)

    enrollment.revoke(
        pending.log, pending.store, first.fingerprint, reason="lost", now=pending.clock.now(), actor=DEPLOYER
    )

    assert [second.public] == [key.public for key in keys_of(pending, TINA)]


def test_who_has_no_key_has_none_to_revoke(pending: PendingRequest) -> None:
    with pytest.raises(Refused, match="has no valid key here"):
        enrollment.revoke(
            pending.log, pending.store, NINA.email, reason="left", now=pending.clock.now(), actor=DEPLOYER
        )


def test_a_key_revoked_in_the_second_it_was_enrolled_is_no_contradiction(pending: PendingRequest) -> None:
    enroll(pending, NINA)

    enrollment.revoke(
        pending.log, pending.store, NINA.email, reason="wrong key", now=pending.clock.now(), actor=DEPLOYER
    )
    pending.clock.move(1)

    assert keys_of(pending, NINA) == []
    assert tuple(p for p in pending.roster.holders("QA Lead", pending.clock.now()) if p == QUINN) == (QUINN,)


def test_a_revoked_key_is_enrolled_by_nobody_again_and_one_that_ran_out_is(pending: PendingRequest) -> None:
    pending.clock.move(60)
    event = enrollment.revoke(
        pending.log, pending.store, TINA.email, reason="stolen", now=pending.clock.now(), actor=DEPLOYER
    )
    with pytest.raises(Refused, match=f"event {event.seq} revoked the key SHA256:.*: nobody signs with it again"):
        enroll(pending, TINA, key=TINA.email)
    enroll(pending, TINA)

    pending.clock.move(timedelta(days=366).total_seconds())
    enroll(pending, QUINN, key=QUINN.email)
    assert [QUINN.email] == [key.email for key in keys_of(pending, QUINN)]


@pytest.mark.parametrize("left", [OSError("the disk is full"), KeyboardInterrupt()], ids=["a full disk", "a kill"])
def test_a_change_whose_plain_copies_could_not_be_laid_counts_and_the_record_verifies(
    pending: PendingRequest, monkeypatch: pytest.MonkeyPatch, left: BaseException
) -> None:
    def refuse(*_: Any) -> None:
        raise left

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(atomic_file, "overwrite", refuse)
        enroll(pending, NINA)

    assert NINA.email in pending.roster.people
    found = verify(pending.store)
    assert found.findings == ()
    assert [name for name in COPIES if any(name in note for note in found.notes)] == ["roles.json", "allowed_signers"]
    assert second_opinion(pending.store).ok
    enroll(pending, QUINN, key="second")
    assert not any(name in note for note in verify(pending.store).notes for name in COPIES)
