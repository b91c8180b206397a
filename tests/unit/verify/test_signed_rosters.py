"""Signed rosters: what both verifiers permit, and what both refuse, naming the same event."""

from __future__ import annotations

import base64
import re
import string
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.event import canonical
from tests.unit.verify.second_verifier import second_opinion
from tests.unit.verify.signed_rosters import (
    ADMINISTRATOR,
    SignedRosters,
    known_as,
    leaving,
    make_keys,
    named,
    pledged,
    renamed,
    replaced,
    resigned,
    unpledged,
)
from tests.unit.verify.third_verifier import all_three

Make = Callable[[SignedRosters], object]
ALPHABET = f"{string.ascii_uppercase}{string.ascii_lowercase}{string.digits}+/"
"""Of base64."""

RARE = {
    "a second change", "a timestamp authority beside it", "quorum 1 where one holds the role", "a roster for 366 days",
    "number 2", "something before it", "signed by one with two keys", "by one and a stranger", "over another text",
    "other roles under the roster", "a signature removed", "the number of the one before", "before nothing", "until no day",
    "other roles than it says", "quorum 0 of nobody", "a quorum that is text", "a line more", "a key less", "of another type",
    "with another meaning", "a line for anybody", "a blank after a name", "no break in a name", "a direction in a name",
    "a name that is nothing", "a name that is a number", "a pledge that nobody asked for", "a pledge in another namespace", "a pledge added",
    "a longer key without another pledge", "a pledge that is no signature", "a domain with a dot at its end", "an address in capitals", "a key with other bits behind it", "by who gives themselves a longer key",
}  # fmt: skip
"""Cases like others that are tried each time; `make faults` tries these."""


def cases(table: Mapping[str, object]) -> list[Any]:
    return [pytest.param(name, marks=pytest.mark.faults) if name in RARE else name for name in table]


NAMED = entries.name(2)
"""The event that brings the second signed set; event 1 brings the trust root."""


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    return make_keys(tmp_path_factory.mktemp("people"))


@pytest.fixture
def rosters(tmp_path: Path, keys: Mapping[str, Path]) -> SignedRosters:
    """Nobody signed anything yet."""
    return SignedRosters.begin(tmp_path, keys)


def refused(rosters: SignedRosters, trust_root: str = "") -> tuple[str, str]:
    """The file that both verifiers name, and why, in the script's words."""
    assert not all_three(rosters.store, trust_root=trust_root)[0]
    return refused_by_the_script(rosters, *(("--trust-root", trust_root) if trust_root else ()))


def refused_by_the_script(rosters: SignedRosters, *arguments: str) -> tuple[str, str]:
    said = second_opinion(rosters.store, *arguments)
    assert not said.ok, said.text
    found = re.search(r"^NOT VERIFIED: (\S+): (.*)\n\Z", said.text, re.MULTILINE)
    assert found is not None, said.text
    return found[1], found[2]


def promote(rosters: SignedRosters, *by: str, **how: Any) -> SignedRosters:
    """A change that concerns Tina alone, signed with these keys."""
    return rosters.enrol("tina", "Tech Lead", "QA Lead").put_in_force(*by, **how)


def like(rosters: SignedRosters, **says: Any) -> dict[str, Any]:
    """What the next roster says, for it to be written otherwise."""
    return {**rosters.roster(rosters.files()), **says}


def later(rosters: SignedRosters, seconds: float) -> SignedRosters:
    rosters.clock.move(seconds)
    return rosters


def without(said: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in said.items() if name != key}


def with_tinas_key(rosters: SignedRosters, other: str) -> SignedRosters:
    rosters.lines["eve"] = rosters.lines["tina"].replace("tina", other)
    return rosters


def with_a_key_written_otherwise(rosters: SignedRosters, how: str) -> SignedRosters:
    """One more key of Tina's, which OpenSSH takes for the same as one that is written otherwise."""
    blob = rsa.generate_private_key(65537, 2048).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    kind, written = blob.decode().split()
    if how == "zeros":
        padded = base64.b64decode(written).replace(b"\0\0\0\x03\x01\0\x01", b"\0\0\0\x04\0\x01\0\x01", 1)
        written = base64.b64encode(padded).decode()
    elif how == "bits":  # 279 bytes leave no bits over; ECDSA's 104 leave four
        point = (
            ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        )
        kind, written = point.decode().split()
        last = ALPHABET[ALPHABET.index(written[-2]) ^ 1]
        written = f"{written[:-2]}{last}="
    who, options, *_ = rosters.lines["tina"].split()
    rosters.lines["rsa"] = f"{who} {options} {kind} {written}\n"
    return rosters


def again(rosters: SignedRosters, **files: bytes) -> None:
    """The roster in force once more, beside files that may be others."""
    rosters.bring({**rosters.newest, **files})


def end_ada(rosters: SignedRosters) -> None:
    """A change that ends both of Ada's keys: it concerns her, and the two others sign it."""
    for key in ("ada", "ada-2"):
        rosters.enrol(key, ADMINISTRATOR, until="20261122000000Z")
    rosters.put_in_force("ben", "cleo", event="key.revoked")


PERMITTED: dict[str, Make] = {
    "the root alone": lambda r: None,
    "a change signed by two": lambda r: promote(r, "ada", "ben"),
    "by two, one of them with two keys": lambda r: promote(r, "ada", "ada-2", "cleo"),
    "by two and the person concerned": lambda r: r.enrol("cleo", ADMINISTRATOR, "QA Lead").put_in_force("ada", "ben", "cleo"),
    "a key ended": end_ada,
    "a second change": lambda r: promote(r, "ada", "ben").enrol("nina", ADMINISTRATOR).put_in_force("ben", "cleo"),
    "by who was enrolled before": lambda r: promote(r.enrol("nina", ADMINISTRATOR).put_in_force("ben", "cleo"), "nina", "ben"),
    "the same roster again": again,
    "a timestamp authority beside it": lambda r: again(r, **{"tsa-ca.pem": b"a certificate\n"}),
    "the log's key rotated": lambda r: r.rotate(r.store.parents[1]),
    "a roster for 366 days": lambda r: promote(r, "ada", "ben", expires=r.after(days=366)),
    "quorum 1 where one holds the role": lambda r: promote(r, "ada", "ben", administrators="Tech Lead", quorum=1),
    "nobody approves": (lambda r: promote(r, "ada", "ben", approvers=[]).deploy([])),
    "two of one role approve": lambda r: promote(r, "ada", "ben", approvers=["Tech Lead", 'QA "L", ead', "Tech Lead"]),
    "a deployment that who approves approved": lambda r: r.deploy(["Tech Lead"], tina="Tech Lead"),
    "policy asks for more": lambda r: promote(r, "ada", "ben").deploy(["Tech Lead", "Administrator"], tina="Tech Lead", ben="Administrator"),
    "names in other writings": lambda r: named(r, "\u041d\u0438\u043d\u0430 \\\\u200b O'Neil-\u6797 \U0001f600").put_in_force("ada", "ben"),
    "a new key with its pledge": lambda r: r.enrol("nina", "QA Lead").put_in_force("ada", "ben"),
    "the key of a pledge once more": lambda r: r.enrol("nina", "QA Lead").put_in_force("ada", "ben").put_in_force("ben", "cleo"),
    "a longer key without another pledge": (
        lambda r: r.enrol("nina", until="20261124000000Z").put_in_force("ada", "ben").enrol("nina", until="20261230000000Z").put_in_force("ada", "ben")
    ),
    "an ended key without a pledge": lambda r: unpledged(r.enrol("nina", until="20261122000000Z")).put_in_force("ada", "ben"),
    "a pledge that nobody asked for": lambda r: pledged(r, "eve", "eve@example.org", "Eve").put_in_force("ada", "ben"),
    "an approval before the roster expires": lambda r: later(r, 30 * 86400 - 0.001).approve(),
}  # fmt: skip


@pytest.mark.parametrize("case", cases(PERMITTED))
def test_what_follows_from_the_trust_root_verifies(rosters: SignedRosters, case: str) -> None:
    root = rosters.root().trust_root
    PERMITTED[case](rosters)
    said = second_opinion(rosters.store)

    assert said.ok, said.text
    assert all_three(rosters.store, trust_root=root) == (True, "")
    assert f"\ntrust root {root}\n" in f"\n{said.text}"


ROOTS: dict[str, tuple[Make, str]] = {
    "signed by nobody": (lambda r: r.put_in_force(), "not signed by 2 administrators of its own"),
    "signed by one": (lambda r: r.root("ada"), "not signed by 2 administrators of its own"),
    "signed by one with two keys": (lambda r: r.root("ada", "ada-2"), "not signed by 2 administrators of its own"),
    "signed by who does not hold the role": (lambda r: r.root("ada", "ben", "tina"), "no signature over its roster"),
    "signed by a stranger": (lambda r: r.root("ada", "ben", "eve"), "no signature over its roster"),
    "number 2": (lambda r: r.root(number=2), "number of its roster.json is 2, not 1"),
    "a key without a pledge": (lambda r: unpledged(r).root(), "has no pledge"),
    "something before it": (lambda r: r.root(before="0" * 64), "does not follow the one before"),
}


@pytest.mark.parametrize("case", cases(ROOTS))
def test_a_trust_root_that_its_own_administrators_did_not_sign_is_refused(rosters: SignedRosters, case: str) -> None:
    make, why = ROOTS[case]
    make(rosters)
    place, said = refused(rosters)

    assert place == entries.name(1)
    assert why in said


TOO_FEW = "its roster is not signed by 2 administrators of the one before it"
NO_SIGNATURE = "is no signature over its roster by an administrator of the one before it"
OTHER_FILES = "its roster.json is the one before it, and its allowed_signers, roles.json or signatures are not"
APPROVERS = "approvers of its roster.json is out of form"
OUT_OF_FORM = "has not exactly the keys"
EXPIRES = "expires of its roster.json is not within 366 days"

NAME = "has a printed_name that is not written as one"
ADDRESS = "not one person"
NO_PLEDGE = "is no pledge of nina@example.org for this key and this log, under the name they have"

REFUSED: dict[str, tuple[Make, str]] = {
    "signed by nobody": (promote, TOO_FEW),
    "by one of two": (lambda r: promote(r, "ada"), TOO_FEW),
    "by one and a stranger": (lambda r: promote(r, "ada", "eve"), NO_SIGNATURE),
    "by two and a stranger": (lambda r: promote(r, "ada", "ben", "eve"), NO_SIGNATURE),
    "by the same person with two keys": (lambda r: promote(r, "ada", "ada-2"), TOO_FEW),
    "by the new administrators only": (
        lambda r: r.enrol("nina", ADMINISTRATOR).enrol("otto", ADMINISTRATOR).put_in_force("nina", "otto"), NO_SIGNATURE,
    ),
    "by the person concerned": (lambda r: r.enrol("cleo", ADMINISTRATOR, "QA Lead").put_in_force("ada", "cleo"), TOO_FEW),
    "by who gives themselves a longer key": (lambda r: r.enrol("cleo", ADMINISTRATOR, until="20261230000000Z").put_in_force("ada", "cleo"), TOO_FEW),
    "over another text": (lambda r: r.bring({**r.files(), "roster.json": canonical(like(r)), **signatures_of(r)}), NO_SIGNATURE),
    "in another namespace": (lambda r: promote(r, "ada", "ben", namespace="file"), NO_SIGNATURE),
    "by a key that had ended": (
        lambda r: promote(later(r.enrol("cleo", ADMINISTRATOR, until="20261123000000Z").put_in_force("ada", "ben"), 86400), "ada", "cleo"),
        NO_SIGNATURE,
    ),
    "without a roster": (lambda r: r.bring(r.files()), "is not signed, and the one before it was"),
    "other allowed_signers under the roster": (lambda r: again(r, allowed_signers=b""), OTHER_FILES),
    "other roles under the roster": (lambda r: again(r, **{"roles.json": canonical({})}), OTHER_FILES),
    "a signature added": (lambda r: r.bring(resigned(r.newest, [r.keys[n] for n in ("ada", "ben", "cleo")]) | signatures_of(r)), OTHER_FILES),
    "a signature removed": (lambda r: r.bring(without(r.newest, max(signatures_of(r)))), OTHER_FILES),
    "a number skipped": (lambda r: promote(r, "ada", "ben", number=3), "number of its roster.json is 3, not 2"),
    "the number of the one before": (lambda r: promote(r, "ada", "ben", number=1), "number of its roster.json is 1, not 2"),
    "before another": (lambda r: promote(r, "ada", "ben", before="0" * 64), "does not follow"),
    "before nothing": (lambda r: promote(r, "ada", "ben", before=None), "does not follow"),
    "of another log": (lambda r: promote(r, "ada", "ben", origin="deploy.example.org/staging"), "of another log"),
    "other allowed_signers than it says": (lambda r: promote(r, "ada", "ben", allowed_signers_sha256="0" * 64), "lies beside it"),
    "other roles than it says": (lambda r: promote(r, "ada", "ben", roles_sha256="0" * 64), "lies beside it"),
    "quorum 1 of two administrators": (lambda r: promote(r, "ada", "ben", quorum=1), "the quorum of its roster.json is 1"),
    "quorum 0": (lambda r: promote(r, "ada", "ben", quorum=0), "the quorum of its roster.json is 0"),
    "quorum 0 of nobody": (lambda r: promote(r, "ada", "ben", quorum=0, administrators="Nobody"), "the quorum of its roster.json is 0"),
    "approvers that are text": (lambda r: promote(r, "ada", "ben", approvers="Tech Lead"), APPROVERS),
    "an approver without a name": (lambda r: promote(r, "ada", "ben", approvers=["Tech Lead", ""]), APPROVERS),
    "an approver that is a number": (lambda r: promote(r, "ada", "ben", approvers=[7]), APPROVERS),
    "a list of approvers in a list": (lambda r: promote(r, "ada", "ben", approvers=[["Tech Lead"]]), APPROVERS),
    "a quorum that is text": (lambda r: promote(r, "ada", "ben", quorum="2"), "quorum of its roster.json is out of form"),
    "not canonical JSON": (lambda r: promote(r, "ada", "ben", text=canonical(like(r)).replace(b":", b": ")), "not canonical JSON"),
    "a line more": (lambda r: promote(r, "ada", "ben", text=canonical(like(r)) + b"\n"), "not canonical JSON"),
    "a key more": (lambda r: promote(r, "ada", "ben", more=1), OUT_OF_FORM),
    "a key less": (lambda r: promote(r, "ada", "ben", text=canonical(without(like(r), "identity"))), OUT_OF_FORM),
    "of another type": (lambda r: promote(r, "ada", "ben", type="list"), "no roster that is put in force"),
    "with another meaning": (lambda r: promote(r, "ada", "ben", meaning="reviewed"), "no roster that is put in force"),
    "expired when it comes": (lambda r: promote(r, "ada", "ben", expires=r.after()), EXPIRES),
    "for more than 366 days": (lambda r: promote(r, "ada", "ben", expires=r.after(days=366, milliseconds=1)), EXPIRES),
    "until no day": (lambda r: promote(r, "ada", "ben", expires="2026-11-31T00:00:00.000Z"), EXPIRES),
    "brought by key.rotated": (lambda r: r.rotate(r.store.parents[1], reason="another"), "key.rotated changes no roster"),
    "one key for two people": (
        lambda r: promote(with_tinas_key(r, "eve"), "ada", "ben"), "one key to two people",
    ),
    "a key with zeros before its exponent": (
        lambda r: with_a_key_written_otherwise(r, "zeros").put_in_force("ada", "ben"), "not written as ssh-keygen writes it",
    ),
    "a key with other bits behind it": (
        lambda r: with_a_key_written_otherwise(r, "bits").put_in_force("ada", "ben"), "not written as ssh-keygen writes it",
    ),
    "a blank before a name": (lambda r: named(r, " Tina").put_in_force("ada", "ben"), NAME),
    "a blank after a name": (lambda r: named(r, "Tina ").put_in_force("ada", "ben"), NAME),
    "two blanks in a name": (lambda r: named(r, "Tina  Tanaka").put_in_force("ada", "ben"), NAME),
    "no break in a name": (lambda r: named(r, "Tina\u00a0Tanaka").put_in_force("ada", "ben"), NAME),
    "no width in a name": (lambda r: named(r, "Ti\u200bna").put_in_force("ada", "ben"), NAME),
    "a line break in a name": (lambda r: named(r, "Tina\nTanaka").put_in_force("ada", "ben"), NAME),
    "a direction in a name": (lambda r: named(r, "Tina \u202eakanaT").put_in_force("ada", "ben"), NAME),
    "a name that is nothing": (lambda r: named(r, "").put_in_force("ada", "ben"), NAME),
    "a name that is a number": (lambda r: named(r, 7).put_in_force("ada", "ben"), NAME),
    "a new key without a pledge": (lambda r: unpledged(r.enrol("nina", "QA Lead")).put_in_force("ada", "ben"), "nina@example.org has no pledge"),
    "a second key without a pledge": (
        lambda r: unpledged(r.enrol("eve", "Tech Lead", person="tina")).put_in_force("ada", "ben"), "tina@example.org has no pledge",
    ),
    "a pledge by another key": (lambda r: replaced(r, "eve").put_in_force("ada", "ben"), NO_PLEDGE),
    "a pledge of another person": (lambda r: replaced(r, person="otto@example.org").put_in_force("ada", "ben"), NO_PLEDGE),
    "a pledge under another name": (lambda r: replaced(r, printed_name="Nora").put_in_force("ada", "ben"), NO_PLEDGE),
    "a pledge for another log": (lambda r: replaced(r, origin="deploy.example.org/staging").put_in_force("ada", "ben"), NO_PLEDGE),
    "a pledge in another namespace": (lambda r: replaced(r, namespace="file").put_in_force("ada", "ben"), NO_PLEDGE),
    "a pledge that is no signature": (lambda r: replaced(r, text=b"I do\n").put_in_force("ada", "ben"), NO_PLEDGE),
    "a key of who is not in the roster": (
        lambda r: leaving(r.enrol("nina", "QA Lead"), "nina@example.org").put_in_force("ada", "ben"), "who is not in its roles.json",
    ),
    "a pledge added": (lambda r: again(r, **{"pledge-00000000.sig": b""}), OTHER_FILES),
    "a pledge removed": (lambda r: r.bring(without(r.newest, max(name for name in r.newest if name.startswith("pledge")))), OTHER_FILES),
    "an ended key again without a pledge": (
        lambda r: unpledged(r.enrol("nina", until="20261122000000Z")).put_in_force("ada", "ben").enrol("nina").put_in_force("ada", "ben"),
        "nina@example.org has no pledge",
    ),
    "a plus-address": (lambda r: renamed(r, "tina+1@example.org").put_in_force("ada", "ben"), ADDRESS),
    "a domain with a dot at its end": (lambda r: renamed(r, "tina@example.org.").put_in_force("ada", "ben"), ADDRESS),
    "an address in capitals": (lambda r: renamed(r, "Tina@example.org").put_in_force("ada", "ben"), ADDRESS),
    "a plus-address of nobody's key": (lambda r: known_as(r, "tina+1@example.org").put_in_force("ada", "ben"), ADDRESS),
    "a line for anybody": (
        lambda r: promote(with_tinas_key(r, "*"), "ada", "ben"), "not one person and a key",
    ),
}  # fmt: skip


AT_THE_NEXT = {"by a key that had ended", "an ended key again without a pledge"}
"""Cases whose second signed set is sound, and their third is not."""


def signatures_of(rosters: SignedRosters) -> dict[str, bytes]:
    return {name: data for name, data in rosters.newest.items() if name.startswith("roster-")}


@pytest.mark.parametrize("case", cases(REFUSED))
def test_a_set_that_does_not_follow_from_the_one_before_is_refused(rosters: SignedRosters, case: str) -> None:
    make, why = REFUSED[case]
    make(rosters.root())
    place, said = refused(rosters)

    assert place == (entries.name(3) if case in AT_THE_NEXT else NAMED)
    assert why in said


def test_an_approval_when_the_roster_has_expired_does_not_stand(rosters: SignedRosters) -> None:
    rosters.root()
    rosters.clock.move(30 * 86400)
    rosters.approve()

    place, said = refused(rosters)
    assert place == entries.name(rosters.log.history()[-1].seq)
    assert "the roster in force had expired" in said


@pytest.mark.parametrize("days, stands", [(0, False), (2, True), (4, False)], ids=["before", "on", "after"])
def test_a_deputy_signs_on_the_days_of_the_key_alone(rosters: SignedRosters, days: int, *, stands: bool) -> None:
    rosters.root().enrol("nina", "Tech Lead", after="20261124000000Z", until="20261126000000Z").put_in_force(
        "ada", "ben"
    )
    rosters.clock.move(days * 86400)
    rosters.approve("nina")

    well, place = all_three(rosters.store)
    assert well is stands
    assert stands or "/approvals/" in place


def test_a_new_roster_lets_people_sign_again(rosters: SignedRosters) -> None:
    rosters.root()
    rosters.clock.move(30 * 86400)
    promote(rosters, "ada", "ben")
    rosters.approve()

    assert all_three(rosters.store) == (True, "")


def test_the_trust_root_is_held_against_the_one_that_is_known(rosters: SignedRosters) -> None:
    root = rosters.root().trust_root
    promote(rosters, "ada", "ben")
    rosters.approve()

    assert all_three(rosters.store, trust_root=root) == (True, "")
    for other in (rosters.trust_root, "0" * 64):
        place, said = refused(rosters, other)
        assert (place, root in said) == ("--trust-root", True)
    assert all_three(rosters.store, trust_root=root.upper()) == (True, "")
    for no_digest in (root[1:], f"{root[1:]}g", ""):
        assert refused_by_the_script(rosters, "--trust-root", no_digest)[0] == "--trust-root"


def test_a_record_whose_roster_nobody_signed_says_so(rosters: SignedRosters) -> None:
    rosters.bring(rosters.files()).approve()

    assert "nobody signed a roster: who may sign rests on the log's key alone\n" in second_opinion(rosters.store).text
    assert refused(rosters, "0" * 64)[0] == "--trust-root"


def test_what_was_signed_before_the_trust_root_does_not_stand_under_it(rosters: SignedRosters) -> None:
    rosters.bring(rosters.files()).approve()
    early = entries.name(rosters.log.history()[-1].seq)
    rosters.number = 0
    root = rosters.root().trust_root

    assert all_three(rosters.store) == (True, "")
    place, said = refused(rosters, root)
    assert place == early
    assert "before the trust root, which event 11 put in force" in said
