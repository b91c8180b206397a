"""People who sign a hundred thousand times: OpenSSH's signature format (PROTOCOL.sshsig) without a process for each."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cached_property

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pytest_deploy.approvals.roster import Person

NAMESPACE = "deploy-approval@deploy.example.org"
_MAGIC = b"SSHSIG"
_WIDTH = 70


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


@dataclass(frozen=True)
class Signatory:
    """A person of the roster and their key."""

    person: Person
    key: Ed25519PrivateKey

    @cached_property
    def public(self) -> str:
        """`ssh-ed25519 AAAA…`."""
        return self.key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()

    @cached_property
    def _blob(self) -> bytes:
        return base64.b64decode(self.public.split()[1])

    @property
    def short(self) -> str:
        """As file names carry it."""
        return hashlib.sha256(self._blob).hexdigest()[:8]

    def sign(self, text: bytes) -> bytes:
        """What `ssh-keygen -Y sign -n NAMESPACE` writes beside a file of these bytes."""
        about = _string(NAMESPACE.encode()) + _string(b"") + _string(b"sha512")
        signature = self.key.sign(_MAGIC + about + _string(hashlib.sha512(text).digest()))
        signed = _string(_string(b"ssh-ed25519") + _string(signature))
        whole = base64.b64encode(_MAGIC + (1).to_bytes(4, "big") + _string(self._blob) + about + signed).decode()
        lines = [whole[at : at + _WIDTH] for at in range(0, len(whole), _WIDTH)]
        return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""]).encode()


def signatories() -> tuple[Signatory, ...]:
    """Two who approve, with keys of their own."""
    people = (
        Person("tina@example.org", "Tina Tanaka", ("Tech Lead",), 11, None, ()),
        Person("quinn@example.org", "Quinn Quist", ("QA Lead",), 12, None, ()),
    )
    return tuple(Signatory(person, Ed25519PrivateKey.generate()) for person in people)
