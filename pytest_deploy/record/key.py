"""The log's Ed25519 key: who signs, the texts by which others know the key, and the trust sets that name it.

`log.vkey` and the key id follow c2sp.org/signed-note: `<origin>+<hex key id>+<base64(0x01 || public key)>`, where the id
is the first 4 bytes of SHA-256(origin || newline || 0x01 || public key). `log.pem` is the same key as SubjectPublicKeyInfo.

A trust set is the keys and roles in force, as files named by their own hash, bound by the event that enrolls them:

    trust/<first 16 hex of the set's SHA-256>/   log.vkey log.pem allowed_signers roles.json

The set's SHA-256 is that of its list, one line a file, sorted: what `(cd trust/<set> && sha256sum * | sha256sum)` prints
in the C locale. `trust/log.vkey` and the like, where they lie, are plain copies of the newest set, a convenience.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from pytest_deploy.errors import RecordError, RecordTampered
from pytest_deploy.record import atomic_file, stored_file
from pytest_deploy.record.event import canonical
from pytest_deploy.record.store import Exists, Missing, Store

_ED25519 = b"\x01"
_PUBLIC_BYTES = 32


class Signer(Protocol):
    """Whatever holds the log's private key: a file, or a key service that never gives it away."""

    @property
    def public(self) -> bytes:
        """The Ed25519 public key, 32 bytes."""

    def sign(self, message: bytes) -> bytes:
        """The Ed25519 signature (RFC 8032) over `message`, 64 bytes."""


class FileSigner:
    """An Ed25519 key in a PEM file that its owner alone can read (0600): for local, rehearsals and tests."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @classmethod
    def open(cls, path: Path) -> FileSigner:
        """The key in a file. Raises RecordError where it is missing, no Ed25519 key, or readable by others."""
        try:
            mode = path.stat().st_mode & 0o777
            pem = path.read_bytes()
        except OSError as error:
            raise RecordError(
                f"the log's key {path} cannot be read: {error.strerror}; restore it from its backup"
            ) from error
        if mode & 0o077:
            raise RecordError(
                f"the log's key {path} has mode {mode:04o}: others can read it; rotate the key, chmod 600"
            )
        try:
            key = load_pem_private_key(pem, password=None)
        except ValueError as error:
            raise RecordError(f"the log's key {path} is no PEM private key: {error}; restore it") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise RecordError(f"the log's key {path} is no Ed25519 key; restore the one the log was made with")
        return cls(key)

    @staticmethod
    def generate() -> tuple[bytes, LogKey]:
        """A new private key as PEM, and its public half under no origin."""
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return pem, LogKey("", key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    @classmethod
    def open_or_create(cls, path: Path) -> FileSigner:
        """The key in a file, made if there is none. Of two that make it at once both get the same one."""
        if not path.exists():
            pem, _ = cls.generate()
            try:
                with suppress(FileExistsError):  # another process was faster; its key it is
                    atomic_file.create(path, pem, mode=0o600)
            except OSError as error:
                raise RecordError(
                    f"the log's key {path} cannot be made: {error.strerror}; see to the folder"
                ) from error
        return cls.open(path)

    @property
    def public(self) -> bytes:
        return self._public

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


@dataclass(frozen=True)
class LogKey:
    """A public key under an origin: what a verifier needs."""

    origin: str
    """`<organisation's domain>/<environment>`."""
    public: bytes
    """32 bytes."""

    @property
    def id(self) -> bytes:
        """4 bytes that point at the key in a signature line."""
        return _key_id(self.origin, self.public)

    @property
    def vkey(self) -> str:
        """The text form, one line without its newline."""
        return f"{self.origin}+{self.id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"

    @property
    def pem(self) -> str:
        """SubjectPublicKeyInfo, as openssl reads it."""
        return _public_key(self.public).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @property
    def files(self) -> dict[str, bytes]:
        """As a trust set holds it."""
        return {"log.vkey": f"{self.vkey}\n".encode(), "log.pem": self.pem.encode()}

    @property
    def named(self) -> dict[str, Any]:
        """As an event of the log's own key names it."""
        return {"person": None, "fingerprint": self.fingerprint, "origin": self.origin, "vkey": self.vkey}

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the public key, hex: how events name it."""
        return hashlib.sha256(self.public).hexdigest()

    def verifies(self, signature: bytes, message: bytes) -> bool:
        try:
            _public_key(self.public).verify(signature, message)
        except InvalidSignature:
            return False
        return True


def parse_vkey(text: str) -> LogKey:
    """The key of a `log.vkey` text, one line. Raises ValueError for anything that would not be written so."""
    origin, _, rest = text.removesuffix("\n").partition("+")
    try:
        blob = base64.b64decode(rest.partition("+")[2], validate=True)
    except binascii.Error as error:
        raise ValueError(f"{text!r} is no verifier key: {error}") from error
    key = LogKey(origin, blob[1:])
    if blob[:1] != _ED25519 or len(key.public) != _PUBLIC_BYTES or key.vkey != text.removesuffix("\n"):
        raise ValueError(f"{text!r} is no verifier key: <origin>+<hex key id>+<base64(0x01 || public key)> is")
    return key


@lru_cache(maxsize=64)
def _public_key(public: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(public)


@lru_cache(maxsize=64)
def _key_id(origin: str, public: bytes) -> bytes:
    return hashlib.sha256(origin.encode() + b"\n" + _ED25519 + public).digest()[:4]


# --- trust sets

FOLDER_HEX = 16
LARGEST_SET: Final = 64
"""Files of a trust set at most."""
TIMESTAMP_CA: Final = "tsa-ca.pem"
"""The certificate of the timestamp authority."""
ROSTER: Final = "roster.json"
"""What administrators signed of who may sign; their signatures are `roster-<8 hex>.sig` beside it."""
_SIGNATURES: Final = ("roster-", "pledge-")
"""How the names begin of what people signed in a set: its statement, and the pledges of keys that are new in it."""
FILES: Final = ("log.vkey", "log.pem", "allowed_signers", "roles.json", TIMESTAMP_CA)
"""What plain copies are made of. Administrators' statement and signatures beside them lie in their set alone."""


def first_set(key: LogKey) -> dict[str, bytes]:
    """The files of a log that nobody signs for yet: its own key, no signers, no roles."""
    return {**key.files, "allowed_signers": b"", "roles.json": canonical({})}


def set_sha256(files: Mapping[str, bytes]) -> str:
    """The hash that names a set, hex."""
    lines = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def write_set(store: Store, files: Mapping[str, bytes]) -> tuple[str, str]:
    """Write a set before the event that puts it in force; returns its folder (`trust/…`) and its SHA-256.

    Writing it again, or finishing it after a kill, is no change: its name is its content.
    """
    sha256 = set_sha256(files)
    folder = f"trust/{sha256[:FOLDER_HEX]}"
    for name, data in files.items():
        with suppress(Exists):
            store.create(f"{folder}/{name}", data)
    return folder, sha256


def trust_set(store: Store, sha256: str) -> dict[str, bytes]:
    """The files of a trust set, as its hash names them. Raises RecordTampered where they are others."""
    folder = f"trust/{sha256[:FOLDER_HEX]}"
    files = {}
    for name in (*FILES, ROSTER):
        with suppress(Missing):
            files[name] = store.get(f"{folder}/{name}")
    if ROSTER in files:  # only then there are names that nobody can know: a listing of a bucket costs
        for name in store.names(f"{folder}/"):
            if (file := name.removeprefix(f"{folder}/")).startswith(_SIGNATURES):
                files[file] = store.get(name)
    if set_sha256(files) != sha256:
        raise RecordTampered(f"{folder} is not the set the log names: a file was edited after it came into force")
    return files


def _lies(path: Path, data: bytes) -> bool:
    with suppress(OSError):
        return stored_file.read(path, len(data)) == data
    return False


def write_plain_copies(folder: Path, files: Mapping[str, bytes]) -> None:
    """Lay the newest set's plain copies into `trust/` of a store on disk; nothing is judged by them. Raises OSError."""
    trust = stored_file.folder_of(folder, "trust")
    for name, data in files.items():
        if name not in FILES or _lies(trust / name, data):
            continue
        atomic_file.overwrite(trust / name, data)
