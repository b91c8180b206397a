"""What stock ssh-keygen signs is checked here as ssh-keygen checks it; what it does not, is not."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.record import programs, ssh_signature, sshsig
from pytest_deploy.record.sshsig import BadSignature, canonical_key, check, read, signer_of

NAMESPACE = "deploy-approval@example.org"
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

    assert (found.key, found.touched, found.user_verified) == (signed.blob, False, False)
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


@pytest.mark.parametrize("flags, said", [(0x00, (False, False)), (0x01, (True, False)), (0x05, (True, True))])
def test_what_a_token_says_of_its_use_is_read_and_is_part_of_what_it_signs(flags: int, said: tuple[bool, bool]) -> None:
    """A token in software: it signs what FIDO tokens sign, and ssh-keygen takes it."""
    made = token_signature(flags)

    found = check(b"said", made.signature, namespace=NAMESPACE)

    assert said == (found.touched, found.user_verified)
    assert (found.fingerprint, "") == made.verified() or flags == 0, "ssh-keygen wants a touch"
    tampered = base64.b64decode(made.signature.split(b"-----")[2]).replace(
        bytes([flags]) + (7).to_bytes(4, "big"), bytes([flags ^ 0x04]) + (7).to_bytes(4, "big")
    )
    with pytest.raises(BadSignature, match="not over this content"):
        check(b"said", armour(tampered), namespace=NAMESPACE)


def string(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


def armour(content: bytes) -> bytes:
    text = base64.b64encode(content).decode()
    lines = "\n".join(text[at : at + 70] for at in range(0, len(text), 70))
    return f"-----BEGIN SSH SIGNATURE-----\n{lines}\n-----END SSH SIGNATURE-----\n".encode()


def token_signature(flags: int) -> Signed:
    key, kind, application = Ed25519PrivateKey.generate(), b"sk-ssh-ed25519@openssh.com", b"ssh:deploy"
    blob = string(kind) + string(key.public_key().public_bytes_raw()) + string(application)
    parts = (NAMESPACE.encode(), b"", b"sha512", hashlib.sha512(b"said").digest())
    signed = b"SSHSIG" + b"".join(map(string, parts))
    used = bytes([flags]) + (7).to_bytes(4, "big")
    value = key.sign(hashlib.sha256(application).digest() + used + hashlib.sha256(signed).digest())
    inner = string(kind) + string(value) + used
    outer = b"".join((string(blob), string(NAMESPACE.encode()), string(b""), string(b"sha512"), string(inner)))
    return Signed(armour(b"SSHSIG" + (1).to_bytes(4, "big") + outer), blob, allowed_line(kind.decode(), blob))


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


TOKEN = token_signature(0x05)


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
