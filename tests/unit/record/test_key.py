from __future__ import annotations

import base64
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pytest_deploy.errors import RecordError
from pytest_deploy.record.key import FileSigner, LogKey, parse_vkey
from tests.required_programs import needs

# The example of c2sp.org/signed-note's reference implementation (golang.org/x/mod/sumdb/note).
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NOTE = b"If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
SIGNATURE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="


@pytest.fixture
def signer(tmp_path: Path) -> FileSigner:
    return FileSigner.open_or_create(tmp_path / "keys" / "log.pem")


def test_a_published_key_and_signature_verify() -> None:
    key = parse_vkey(VKEY)
    blob = base64.b64decode(SIGNATURE)

    assert key.vkey == VKEY
    assert blob[:4] == key.id
    assert key.verifies(blob[4:], NOTE)
    assert not key.verifies(blob[4:], NOTE + b"x")


def test_a_new_key_is_readable_by_its_owner_alone_and_stays_the_same(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "log.pem"
    made = FileSigner.open_or_create(path)

    assert path.stat().st_mode & 0o777 == 0o600
    assert made.public == FileSigner.open_or_create(path).public
    assert [path] == list(path.parent.iterdir())


def test_two_that_make_the_key_at_once_get_the_same_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(FileSigner.open_or_create, [tmp_path / "k" / "log.pem"] * 8))

    assert len({key.public for key in keys}) == 1


def test_what_a_signer_signs_verifies_under_its_key_only(signer: FileSigner, tmp_path: Path) -> None:
    signature = signer.sign(b"text")
    other = FileSigner.open_or_create(tmp_path / "other.pem")

    assert LogKey("a", signer.public).verifies(signature, b"text")
    assert not LogKey("a", other.public).verifies(signature, b"text")


def test_a_key_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.pem"
    FileSigner.open_or_create(path)
    path.chmod(0o640)

    with pytest.raises(RecordError, match="0640"):
        FileSigner.open(path)


def test_a_missing_key_is_not_replaced_silently(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="restore it"):
        FileSigner.open(tmp_path / "log.pem")


@pytest.mark.parametrize("kind", ["noise", "x25519"])
def test_a_file_that_holds_no_ed25519_key_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "log.pem"
    pem = X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(pem if kind == "x25519" else b"noise")
    path.chmod(0o600)

    with pytest.raises(RecordError, match="is no"):
        FileSigner.open(path)


def test_a_key_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file where the folder should be")

    with pytest.raises(RecordError, match="cannot be made"):
        FileSigner.open_or_create(tmp_path / "keys" / "log.pem")


def test_the_text_form_of_a_key_reads_back(signer: FileSigner) -> None:
    key = LogKey("deploy.example.org/local", signer.public)

    assert key == parse_vkey(key.vkey + "\n")
    assert len(key.fingerprint) == 64


@pytest.mark.parametrize(
    "text",
    ["", "a+b", VKEY.replace("c74f", "c74e"), VKEY.replace("+ARpc", "+Apc"), VKEY + " ", VKEY.replace("ARpc", "AR*c")],
)
def test_any_other_text_is_no_key(text: str) -> None:
    with pytest.raises(ValueError, match="verifier key"):
        parse_vkey(text)


def test_openssl_verifies_with_the_pem(signer: FileSigner, tmp_path: Path) -> None:
    """The key file an inspector gets works with stock openssl."""
    needs("openssl")
    files = {"key": LogKey("a", signer.public).pem.encode(), "text": b"text", "sig": signer.sign(b"text")}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)

    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key", "-rawin", "-in", "text", "-sigfile", "sig"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
