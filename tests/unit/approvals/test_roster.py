"""A trust set is read whole or not at all, and says who is behind an actor, a commit and a role."""

from __future__ import annotations

import base64
import string
import struct
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.approvals.roster import Key, Person, Roster, fingerprint, parse
from pytest_deploy.errors import Refused, StoreUnavailable, UsageError
from pytest_deploy.record.actor import SIGNER
from pytest_deploy.record.event import canonical
from tests.unit.approvals.pending_request import DORA, EVERYBODY, NAMESPACE, TINA, PendingRequest

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def public(of: str) -> str:
    """The text of a key nobody has: its type and 32 bytes made of a name."""
    kind = b"ssh-ed25519"
    blob = struct.pack(">I", len(kind)) + kind + struct.pack(">I", 32) + of.encode().ljust(32, b".")[:32]
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


def key(person: Person, *, days: int = 365, namespace: str = NAMESPACE) -> Key:
    return Key(person.email, public(person.email), NOON, NOON + timedelta(days=days), namespace)


def roster(*people: Person) -> Roster:
    return Roster({person.email: person for person in people}, tuple(key(person) for person in people))


WHOLE = roster(*EVERYBODY)


def test_what_a_roster_writes_it_reads() -> None:
    assert parse(WHOLE.files()) == WHOLE


_NAME = r"[A-Za-z\u00e0-\u00f6'.-]+( [A-Za-z\u00e0-\u00f6'.-]+)*|[\u0410-\u044f]+( [\u0410-\u044f]+)*|[\u4e00-\u9fa5]+"
"""Names in three writings, one in each word."""


@given(
    people=st.lists(
        st.builds(
            Person,
            st.from_regex(SIGNER, fullmatch=True),
            st.from_regex(_NAME, fullmatch=True),
            st.lists(st.sampled_from(["Tech Lead", "QA Lead", "CTO"]), unique=True).map(tuple),
            st.none(), st.none(), st.just(()),
        ),
        unique_by=lambda person: person.email,
    )
)  # fmt: skip
def test_any_roster_reads_as_it_was_written(people: list[Person]) -> None:
    found = parse(roster(*people).files())

    assert {person.email: person for person in people} == dict(found.people)
    assert {key(person) for person in people} == set(found.keys)


@pytest.mark.parametrize(
    "line, said",
    [
        ("tina@example.org {key}", "line 1 is not `email namespaces="),
        ('tina@example.org namespaces="a,b",{valid} {key}', "line 1 is not"),
        ('tina@example.org namespaces="*",{valid} {key}', "line 1 is not"),
        ('* namespaces="{namespace}",{valid} {key}', "line 1 is not"),
        ('tina@example.org,* namespaces="{namespace}",{valid} {key}', "line 1 is not"),
        ('tina@example.org cert-authority,namespaces="{namespace}",{valid} {key}', "line 1 is not"),
        ('tina@example.org namespaces="{namespace}",{valid} ssh-ed25519 AAAA', "line 1 "),
        (
            'tina@example.org namespaces="{namespace}",valid-after="20260230000000Z",valid-before="20270101000000Z" {key}',
            "line 1 ",
        ),
        (
            'tina@example.org namespaces="{namespace}",valid-after="20260101000000Z",valid-before="20270103000000Z" {key}',
            "a key is valid for a year at most, this one for 367 days",
        ),
        ('nobody@example.org namespaces="{namespace}",{valid} {key}', "nobody@example.org is not in roles.json"),
    ],
)
def test_a_line_that_could_let_others_sign_voids_the_roster(line: str, said: str) -> None:
    valid = 'valid-after="20260101000000Z",valid-before="20270101000000Z"'
    text = line.format(key=public("tina"), namespace=NAMESPACE, valid=valid)

    with pytest.raises(Refused) as refused:
        parse({**WHOLE.files(), "allowed_signers": f"{text}\n".encode()})

    assert "the roster cannot be trusted" in str(refused.value)
    assert said in str(refused.value)


def test_one_key_cannot_be_written_in_two_ways() -> None:
    """The last character before the padding carries bits that decoding throws away."""
    kind, written = of_openssh(ec.generate_private_key(ec.SECP256R1()).public_key())
    others = (
        f"{written[:-2]}{letter}=" for letter in f"{string.ascii_letters}{string.digits}+/" if letter != written[-2]
    )
    again = next(other for other in others if base64.b64decode(other) == base64.b64decode(written))

    assert fingerprint(f"{kind} {written}").startswith("SHA256:")
    with pytest.raises(UsageError, match="is not written as ssh-keygen writes a public key"):
        fingerprint(f"{kind} {again}")


def test_nor_can_its_numbers() -> None:
    """OpenSSH takes an RSA key with zeros before its exponent for the same key; so one would be two people's."""
    kind, written = of_openssh(rsa.generate_private_key(65537, 2048).public_key())
    padded = base64.b64decode(written).replace(b"\0\0\0\x03\x01\0\x01", b"\0\0\0\x04\0\x01\0\x01", 1)

    assert fingerprint(f"{kind} {written}").startswith("SHA256:")
    with pytest.raises(UsageError, match="is not written as ssh-keygen writes a public key"):
        fingerprint(f"{kind} {base64.b64encode(padded).decode()}")


def of_openssh(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> tuple[str, str]:
    kind, written = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode().split()
    return kind, written


@pytest.mark.parametrize(
    "text, said",
    [
        (b"no json", "roles.json is not JSON"),
        (b"[" * 100_000, "roles.json is not JSON"),
        (b"[]\n", "not a canonical JSON object"),
        (b'{ "a": 1}\n', "not a canonical JSON object"),
        (b'{"a":1,"a":1}\n', "not a canonical JSON object"),
        (b'{"a":1}\n', "roles.json: a must have exactly printed_name"),
        (b"\xff\n", "roles.json is not JSON: byte 0 is no UTF-8"),
        (b'{"a":{}}\n', "must have exactly printed_name, roles, github, local, emails"),
        (canonical({"a@x": {"printed_name": "A", "roles": [], "github": True, "local": None, "emails": []}}), "github is"),
        (canonical({"a@x": {"printed_name": "A", "roles": None, "github": 1, "local": None, "emails": []}}),
         "roles.json: a@x: roles and emails are lists"),
        (canonical({"a@x": {"printed_name": "A", "roles": [], "github": 1, "local": None, "emails": 7}}), "roles and emails are lists"),
    ],
)  # fmt: skip
def test_roles_that_cannot_be_read_void_the_roster(text: bytes, said: str) -> None:
    with pytest.raises(Refused) as refused:
        parse({"allowed_signers": b"", "roles.json": text})

    assert said in str(refused.value)


def test_every_fault_is_told_at_once() -> None:
    double = [*WHOLE.keys, Key(TINA.email, public(DORA.email), NOON, NOON + timedelta(days=1), "other")]

    with pytest.raises(Refused) as refused:
        parse({**WHOLE.files(), "allowed_signers": b"junk\n" + Roster({}, tuple(double)).files()["allowed_signers"]})

    for said in ("line 1 is not", "more than one namespace", "is listed under dora@example.org and tina@example.org"):
        assert said in str(refused.value)


@pytest.mark.parametrize(
    "actor, person",
    [
        ("local:1000:dora@desk", DORA),
        ("github:14:whatever-the-login-is-now", DORA),
        ("DORA@example.org", DORA),
        ("local:0:dora@x@desk", None),
        ("github:1:dora", None),
        ("github:None:dora", None),
        ("local:1000:None@desk", None),
        ("system:pipeline", None),
        ("", None),
    ],
)
def test_who_is_behind_an_actor(actor: str, person: Person | None) -> None:
    assert person == WHOLE.of_actor(actor)


@pytest.mark.parametrize(
    "email, person", [("Tina@Home.example", TINA), ("tina@example.org", TINA), ("eve@x.org", None), ("", None)]
)
def test_who_wrote_a_commit(email: str, person: Person | None) -> None:
    assert person == WHOLE.of_git(email)


def test_who_can_fill_a_role_holds_it_and_has_a_valid_key() -> None:
    late = NOON + timedelta(days=365)

    assert {TINA.email, "both@example.org", DORA.email, "adam@example.org"} == {
        person.email for person in WHOLE.holders("Tech Lead", NOON)
    }
    assert WHOLE.holders("Tech Lead", late) == ()
    assert WHOLE.holders("Tech Lead", NOON - timedelta(seconds=1)) == ()


def test_the_fingerprint_is_what_ssh_keygen_prints(pending: PendingRequest) -> None:
    import subprocess

    path = pending.keys[TINA.email]
    printed = subprocess.run(["ssh-keygen", "-l", "-f", str(path)], capture_output=True, text=True, check=True).stdout

    assert printed.split()[1] == fingerprint(path.with_name(f"{path.name}.pub").read_text())


def test_a_log_without_a_key_event_has_no_roster(pending: PendingRequest) -> None:
    from pytest_deploy.approvals.roster import in_force

    with pytest.raises(StoreUnavailable, match="no roster in force"):
        in_force(pending.log.store, [])
