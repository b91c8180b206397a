"""SSHSIG, the format of `ssh-keygen -Y sign`, read and checked in this process.

ssh-keygen is what an inspector has, and is asked first; but a program on the judged machine's PATH could say anything. So what
it calls good is checked here too, by another implementation, and both must agree: https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.sshsig
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from pytest_deploy.policy.user_verification import IN_WORDS, UserVerification, suffices

_MAGIC: Final = b"SSHSIG"
_ARMOUR: Final = re.compile(rb"\s*-----BEGIN SSH SIGNATURE-----\s+([A-Za-z0-9+/=\s]+)-----END SSH SIGNATURE-----\s*")
_TOUCHED, _VERIFIED = 0x01, 0x04
"""What a token says of how it was used (FIDO's flags): somebody was there, and showed who by a PIN or a finger."""
_HASHES: Final = {"sha256": hashlib.sha256, "sha512": hashlib.sha512}
_RSA: Final = {"rsa-sha2-256": hashes.SHA256(), "rsa-sha2-512": hashes.SHA512()}
_CURVES: Final[dict[str, hashes.HashAlgorithm]] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}
_LINE: Final = re.compile(
    r'(?P<who>\S+)(?P<options>(?: (?:[a-z-]+="[^"]*"(?:,|(?= )))+)?) (?P<kind>\S+) (?P<blob>\S+)(?: .*)?'
)
_OPTION: Final = re.compile(r'([a-z-]+)="([^"]*)"')
_KNOWN_OPTIONS: Final = frozenset({"namespaces", "valid-after", "valid-before"})


class BadSignature(Exception):
    """Why a signature is not what it should be."""


@dataclass(frozen=True)
class SshSignature:
    """A signature as it states itself; `check` says whether it is true."""

    key: bytes
    """The public key's blob, as after `ssh-ed25519 ` in a key file, decoded."""
    namespace: str
    hash_name: str
    kind: str
    """Of the signature: ssh-ed25519, rsa-sha2-512, …"""
    value: bytes
    flags: int | None
    """What a token stated; None where the key is no token's."""
    counter: int

    @property
    def fingerprint(self) -> str:
        """`SHA256:…`, as ssh-keygen prints it."""
        return f"SHA256:{base64.b64encode(hashlib.sha256(self.key).digest()).decode().rstrip('=')}"

    @property
    def user_verification(self) -> UserVerification:
        """What the token had of its owner for it; a PIN or a finger is a second component (21 CFR 11.200(a)(1))."""
        flags = self.flags or 0
        return "pin" if flags & _VERIFIED else "touch" if flags & _TOUCHED else "none"

    def lacks(self, asked: UserVerification) -> str:
        """Why it is not made with what policy asks for, in words; empty where it is."""
        if suffices(self.user_verification, asked):
            return ""
        how = {"none": "a token that nobody touched", "touch": "a token without its PIN", "pin": ""}
        made_with = "a key on no token" if self.flags is None else how[self.user_verification]
        return (
            f"was signed with {made_with}, and policy asks for {IN_WORDS[asked]} (approval.user_verification: {asked})"
        )


def read(armoured: bytes) -> SshSignature:
    """Read an armoured signature. Raises BadSignature where it is none."""
    match = _ARMOUR.fullmatch(armoured)
    if match is None:
        raise BadSignature(
            "it is no SSH signature: `-----BEGIN SSH SIGNATURE-----` and its end are wanted, and nothing else"
        )
    try:
        reader = _Reader(base64.b64decode(re.sub(rb"\s", b"", match[1]), validate=True))
    except binascii.Error:
        raise BadSignature("it is not in base64") from None
    if reader.take(len(_MAGIC)) != _MAGIC or reader.number() != 1:
        raise BadSignature("it is no SSHSIG, version 1")
    key, namespace, _, hash_name = reader.string(), reader.text(), reader.string(), reader.text()
    inner = _Reader(reader.string())
    reader.end()
    kind, value = inner.text(), inner.string()
    flags, counter = (inner.take(1)[0], inner.number()) if kind.startswith("sk-") else (None, 0)
    inner.end()
    return SshSignature(key, namespace, hash_name, kind, value, flags, counter)


def check(content: bytes, armoured: bytes, *, namespace: str) -> SshSignature:
    """The signature, where it is one over this content in this namespace. Raises BadSignature."""
    signature = read(armoured)
    if signature.namespace != namespace:
        raise BadSignature(f"it is for {signature.namespace!r}, not for {namespace!r}")
    digest = _HASHES.get(signature.hash_name)
    if digest is None:
        raise BadSignature(f"its hash is {signature.hash_name!r}, neither sha256 nor sha512")
    parts = (namespace.encode(), b"", signature.hash_name.encode(), digest(content).digest())
    signed = _MAGIC + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    try:
        _check_value(signature, signed)
    except InvalidSignature:
        raise BadSignature("it is not over this content by that key") from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadSignature(f"its key cannot be read: {error}") from None
    return signature


def signer_of(signature: SshSignature, allowed_signers: bytes, *, at: datetime) -> frozenset[str]:
    """Who may sign with this key in its namespace at an instant, as allowed_signers has it.

    Times without a zone and options that are not known count for nobody: what cannot be judged here is not let pass.
    """
    people = set()
    for line in allowed_signers.decode("utf-8", "replace").splitlines():
        match = _LINE.fullmatch(line.strip())
        if match is None:
            continue
        options = dict(_OPTION.findall(match["options"]))
        try:
            same = base64.b64decode(match["blob"], validate=True) == signature.key
            begins, ends = (
                _instant(options[name]) if name in options else None for name in ("valid-after", "valid-before")
            )
        except ValueError:
            continue
        named = signature.namespace in options.get("namespaces", signature.namespace).split(",")
        in_time = (begins is None or begins <= at) and (ends is None or at < ends)
        if same and named and in_time and options.keys() <= _KNOWN_OPTIONS:
            people |= set(match["who"].split(","))
    return frozenset(people)


def _instant(text: str) -> datetime:
    """An instant of allowed_signers: a day, a minute or a second, with `Z` for UTC. Raises ValueError."""
    form = {9: "%Y%m%dZ", 13: "%Y%m%d%H%MZ"}.get(len(text), "%Y%m%d%H%M%SZ")
    return datetime.strptime(text, form).replace(tzinfo=UTC)


def canonical_key(blob: bytes) -> bytes:
    """A public key's blob written anew: one key has one. Raises BadSignature where it is no key that can sign here.

    A number may be written with zeros before it, and the same RSA key then looks like another.
    """
    reader = _Reader(blob)
    kind = reader.text()
    if kind == "ssh-rsa":
        numbers = (reader.mpint(), reader.mpint())
        reader.end()
        return _string(kind.encode()) + b"".join(_string(_mpint(number)) for number in numbers)
    key = _load(blob)
    if kind.startswith("sk-"):  # the application is part of what is signed, and of the key
        return blob
    words = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).split()
    return base64.b64decode(words[1])


@cache
def is_canonical(written: str) -> bool:
    """Whether a public key, as base64, is written in the one way that `canonical_key` and base64 have for it."""
    try:
        blob = base64.b64decode(written, validate=True)
        return base64.b64encode(blob).decode() == written and canonical_key(blob) == blob
    except (ValueError, BadSignature, UnsupportedAlgorithm):
        return False


def _check_value(signature: SshSignature, signed: bytes) -> None:
    """Raises InvalidSignature, ValueError, UnsupportedAlgorithm, BadSignature."""
    reader = _Reader(signature.key)
    kind = reader.text()
    if signature.flags is not None:
        application = _application(signature.key)
        flags = bytes([signature.flags]) + signature.counter.to_bytes(4, "big")
        signed = hashlib.sha256(application).digest() + flags + hashlib.sha256(signed).digest()
    key = _load(signature.key)
    if isinstance(key, Ed25519PublicKey) and signature.kind == kind:
        key.verify(signature.value, signed)
    elif isinstance(key, rsa.RSAPublicKey) and signature.kind in _RSA:
        key.verify(signature.value, signed, padding.PKCS1v15(), _RSA[signature.kind])
    elif isinstance(key, ec.EllipticCurvePublicKey) and signature.kind == kind:
        numbers = _Reader(signature.value)
        value = encode_dss_signature(numbers.mpint(), numbers.mpint())
        numbers.end()
        key.verify(value, signed, ec.ECDSA(_CURVES[key.curve.name]))
    else:
        raise BadSignature(f"a {signature.kind} signature by a {kind} key")


def _load(blob: bytes) -> Ed25519PublicKey | rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
    """The key of a blob; of a token's key what its signatures are checked with."""
    reader = _Reader(blob)
    kind = reader.text()
    if kind == "sk-ssh-ed25519@openssh.com":
        return Ed25519PublicKey.from_public_bytes(reader.string())
    if kind == "sk-ecdsa-sha2-nistp256@openssh.com":
        reader.string()  # the curve's name
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), reader.string())
    key = serialization.load_ssh_public_key(kind.encode() + b" " + base64.b64encode(blob))
    if not isinstance(key, Ed25519PublicKey | rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise BadSignature(f"a key of kind {kind} signs nothing here")
    return key


def _application(blob: bytes) -> bytes:
    """What a token's key was made for: the last string of its blob."""
    reader = _Reader(blob)
    kind = reader.text()
    reader.string()
    if kind.startswith("sk-ecdsa"):
        reader.string()
    application = reader.string()
    reader.end()
    return application


def _string(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


def _mpint(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big") if number else b""


class _Reader:
    """SSH's own encoding (RFC 4251, 5), read from its beginning. Raises BadSignature where it ends too early."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def take(self, size: int) -> bytes:
        part = self._content[self._at : self._at + size]
        if len(part) != size:
            raise BadSignature("it is cut short")
        self._at += size
        return part

    def number(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        return self.take(self.number())

    def text(self) -> str:
        try:
            return self.string().decode()
        except UnicodeDecodeError:
            raise BadSignature("a name in it is not UTF-8") from None

    def mpint(self) -> int:
        return int.from_bytes(self.string(), "big", signed=True)

    def end(self) -> None:
        if self._at != len(self._content):
            raise BadSignature("something follows its end")
