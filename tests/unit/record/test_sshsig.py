"""What stock ssh-keygen signs is checked here as ssh-keygen checks it; what it does not, is not."""

from __future__ import annotations

import base64
import subprocess
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.policy.user_verification import UserVerification
from pytest_deploy.record import programs, ssh_signature, sshsig
from pytest_deploy.record.sshsig import BadSignature, canonical_key, check, read, signer_of
from tests.unit.record.fido_token import FLAGS, VERIFIED, Kind, Token, armour
from tests.unit.record.fido_token import KINDS as KINDS_OF_TOKENS

NAMESPACE = "deploy-approval@example.org"
COUNTER = (7).to_bytes(4, "big")
"""Of a token in these tests."""
NOW = datetime(2026, 11, 1, tzinfo=UTC)
KINDS = {
    "ed25519": ("-t", "ed25519"),
    "rsa": ("-t", "rsa", "-b", "2048"),
    "ecdsa 256": ("-t", "ecdsa", "-b", "256"),
    "ecdsa 384": ("-t", "ecdsa", "-b", "384"),
    "ecdsa 521": ("-t", "ecdsa", "-b", "521"),
}


@dataclass(frozen=True)
class Signed:
    signature: bytes
    blob: bytes
    allowed: bytes

    def verified(self, content: bytes = b"said") -> tuple[str, str]:
        """What ssh-keygen and this process say together."""
        return ssh_signature.verify(
            content,
            self.signature,
            allowed_signers=self.allowed,
            signer="tina@example.org",
            namespace=NAMESPACE,
            at=NOW,
        )


def allowed_line(kind: str, blob: bytes, *, days: int = 1) -> bytes:
    span = f'valid-after="{NOW - timedelta(days=1):%Y%m%d%H%M%SZ}",valid-before="{NOW + timedelta(days=days):%Y%m%d%H%M%SZ}"'
    return f'tina@example.org namespaces="{NAMESPACE}",{span} {kind} {base64.b64encode(blob).decode()}\n'.encode()


def sign(folder: Path, *words: str) -> Signed:
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-f", str(key), *words], check=True, timeout=60)
    kind, text = key.with_suffix(".pub").read_text().split()[:2]
    blob = base64.b64decode(text)
    return Signed(ssh_signature.sign(b"said", key=key, namespace=NAMESPACE), blob, allowed_line(kind, blob))


@pytest.fixture(params=KINDS)
def signed(request: pytest.FixtureRequest, tmp_path: Path) -> Signed:
    return sign(tmp_path, *KINDS[request.param])


def test_both_agree_on_each_kind_of_key(signed: Signed) -> None:
    found = check(b"said", signed.signature, namespace=NAMESPACE)

    assert (found.key, found.user_verification) == (signed.blob, "none")
    assert signed.verified() == (found.fingerprint, "")
    assert "does not verify" in signed.verified(b"sait")[1]
    with pytest.raises(BadSignature, match="not over this content by that key"):
        check(b"sait", signed.signature, namespace=NAMESPACE)
    with pytest.raises(BadSignature, match="not for 'other'"):
        check(b"said", signed.signature, namespace="other")


def test_one_key_is_written_in_one_way(signed: Signed) -> None:
    assert canonical_key(signed.blob) == signed.blob


def test_an_rsa_key_with_zeros_before_its_numbers_is_the_same_key(tmp_path: Path) -> None:
    blob = sign(tmp_path, *KINDS["rsa"]).blob
    kind, exponent, modulus = b"ssh-rsa", *_parts(blob)[1:]
    padded = b"".join(len(part).to_bytes(4, "big") + part for part in (kind, b"\0\0" + exponent, b"\0" + modulus))

    assert padded != blob
    assert canonical_key(padded) == blob


def _parts(blob: bytes) -> list[bytes]:
    parts = []
    while blob:
        size = int.from_bytes(blob[:4], "big")
        parts.append(blob[4 : 4 + size])
        blob = blob[4 + size :]
    return parts


@pytest.mark.parametrize("kind", KINDS_OF_TOKENS)
@pytest.mark.parametrize("said", FLAGS)
def test_what_a_token_says_of_its_use_is_read_and_is_part_of_what_it_signs(kind: Kind, said: str) -> None:
    """Stock ssh-keygen takes it as well, even where nobody touched the token."""
    made = token_signature(kind, FLAGS[said])

    found = check(b"said", made.signature, namespace=NAMESPACE)

    assert (found.user_verification, (found.fingerprint, "")) == (said, made.verified())
    used = bytes([FLAGS[said]]) + COUNTER
    other = bytes([FLAGS[said] ^ VERIFIED]) + COUNTER
    tampered = base64.b64decode(made.signature.split(b"-----")[2]).replace(used, other)
    with pytest.raises(BadSignature, match="not over this content"):
        check(b"said", armour(tampered), namespace=NAMESPACE)
    assert "does not verify" in replace(made, signature=armour(tampered)).verified()[1]


LACKING: dict[tuple[str | None, UserVerification], str] = {
    ("pin", "pin"): "",
    ("pin", "touch"): "",
    ("touch", "touch"): "",
    (None, "none"): "",
    ("touch", "pin"): "a token without its PIN, and policy asks for a token and its PIN",
    ("none", "touch"): "a token that nobody touched, and policy asks for a token that was touched",
    ("none", "pin"): "a token that nobody touched, and policy asks for a token and its PIN",
    (None, "touch"): "a key on no token, and policy asks for a token that was touched",
    (None, "pin"): "a key on no token",
}


@pytest.mark.parametrize("made_with, asked", LACKING)
def test_what_it_lacks_of_what_policy_asks_is_said(
    tmp_path: Path, made_with: str | None, asked: UserVerification
) -> None:
    made = sign(tmp_path, *KINDS["ed25519"]) if made_with is None else token_signature("ed25519", FLAGS[made_with])

    lacks = read(made.signature).lacks(asked)

    assert (lacks == "") == (LACKING[made_with, asked] == "")
    assert LACKING[made_with, asked] in lacks


def token_signature(kind: Kind, flags: int) -> Signed:
    token = Token(kind, flags)
    return Signed(token.sign(b"said", NAMESPACE), token.blob, allowed_line(token.public.split()[0], token.blob))


def test_the_time_in_which_a_key_counts_is_kept_here_too(tmp_path: Path) -> None:
    made = sign(tmp_path, *KINDS["ed25519"])
    found = read(made.signature)

    assert signer_of(found, made.allowed, at=NOW) == {"tina@example.org"}
    assert signer_of(found, made.allowed, at=NOW + timedelta(days=1)) == frozenset()
    assert signer_of(found, made.allowed.replace(NAMESPACE.encode(), b"other"), at=NOW) == frozenset()


@given(cut=st.integers(0, 400), byte=st.integers(0, 255))
def test_no_bytes_are_anything_but_a_bad_signature(cut: int, byte: int) -> None:
    whole = base64.b64decode(TOKEN.signature.split(b"-----")[2])
    at = cut % len(whole)
    for content in (whole[:at], whole[:at] + bytes([byte]) + whole[at + 1 :], whole + bytes([byte])):
        if content != whole:
            with pytest.raises(BadSignature):
                check(b"said", armour(content), namespace=NAMESPACE)


TOKEN = token_signature("ed25519", FLAGS["pin"])


# --- the program


@pytest.fixture
def forger(tmp_path: Path) -> Path:
    """An ssh-keygen that calls everything good."""
    folder = tmp_path / "first"
    folder.mkdir()
    program = folder / "ssh-keygen"
    program.write_text(f"#!/bin/sh\necho 'Good \"x\" signature for tina with ED25519 key {TOKEN_PRINT}'\n")
    program.chmod(0o755)
    return folder


TOKEN_PRINT = read(TOKEN.signature).fingerprint


def test_a_program_that_comes_first_on_path_is_not_asked(
    forger: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = sign(tmp_path, *KINDS["ed25519"])
    monkeypatch.setenv("PATH", f"{forger}:/usr/bin:/bin")

    assert made.verified()[1] == ""
    assert "does not verify" in made.verified(b"other")[1]


@pytest.mark.parametrize("content, signature", [(b"other", TOKEN.signature), (b"said", b"not a signature")])
def test_a_program_that_calls_all_good_is_contradicted(
    forger: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, signature: bytes
) -> None:
    monkeypatch.setattr(programs, "SYSTEM_FOLDERS", (forger,))

    said = Signed(signature, TOKEN.blob, TOKEN.allowed).verified(content)

    assert said[0] == ""
    assert "ssh-keygen says that it does, and checked here" in said[1]


def test_a_signature_by_a_key_that_is_not_the_signers_is_contradicted(
    forger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "SYSTEM_FOLDERS", (forger,))

    said = Signed(TOKEN.signature, TOKEN.blob, TOKEN.allowed.replace(b"tina@", b"quinn@")).verified()

    assert "is not one that they may sign with then" in said[1]
    assert sshsig.check(b"said", TOKEN.signature, namespace=NAMESPACE).fingerprint == TOKEN_PRINT
