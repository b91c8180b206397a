"""A stand-in for a FIDO token, in software: it speaks the format of OpenSSH's PROTOCOL.u2f, and nobody has to touch it.

What a token signs is SHA256(application) || flags || counter || SHA256(message); flags and counter stand behind the signature.
Here a test says which flags. Stock ssh-keygen takes what it makes; that it asks nobody for a PIN is what makes it a stand-in.
"""

from __future__ import annotations

import base64
import hashlib
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

TOUCHED, VERIFIED = 0x01, 0x04
"""FIDO's flags: somebody was there; and showed who by a PIN or a finger."""
FLAGS = {"none": 0, "touch": TOUCHED, "pin": TOUCHED | VERIFIED}
"""By what policy can ask."""
Kind = Literal["ed25519", "ecdsa"]
KINDS: Mapping[Kind, bytes] = {"ed25519": b"sk-ssh-ed25519@openssh.com", "ecdsa": b"sk-ecdsa-sha2-nistp256@openssh.com"}


def string(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


def mpint(number: int) -> bytes:
    return string(number.to_bytes(number.bit_length() // 8 + 1, "big"))


def armour(content: bytes) -> bytes:
    text = base64.b64encode(content).decode()
    lines = "\n".join(text[at : at + 70] for at in range(0, len(text), 70))
    return f"-----BEGIN SSH SIGNATURE-----\n{lines}\n-----END SSH SIGNATURE-----\n".encode()


@dataclass
class Token:
    """One key on a token."""

    kind: Kind = "ed25519"
    flags: int = FLAGS["pin"]
    """What it says of its use."""
    application: bytes = b"ssh:deploy"
    counter: int = 7
    key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey = field(init=False)

    def __post_init__(self) -> None:
        self.key = Ed25519PrivateKey.generate() if self.kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())

    @property
    def blob(self) -> bytes:
        """The public key."""
        public = self.key.public_key()
        if isinstance(public, ec.EllipticCurvePublicKey):
            point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            key = string(b"nistp256") + string(point)
        else:
            key = string(public.public_bytes_raw())
        return string(KINDS[self.kind]) + key + string(self.application)

    @property
    def public(self) -> str:
        """As a key file has it."""
        return f"{KINDS[self.kind].decode()} {base64.b64encode(self.blob).decode()}"

    def write_public(self, path: Path) -> Path:
        """The public key in a file: all that ssh-keygen has of a key in an agent."""
        path.write_text(f"{self.public} token\n")
        return path

    def answer(self, message: bytes) -> bytes:
        """What a token and ssh make of a message: kind, signature, flags, counter."""
        used = bytes([self.flags]) + self.counter.to_bytes(4, "big")
        signed = hashlib.sha256(self.application).digest() + used + hashlib.sha256(message).digest()
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            value = b"".join(map(mpint, decode_dss_signature(self.key.sign(signed, ec.ECDSA(hashes.SHA256())))))
        else:
            value = self.key.sign(signed)
        return string(KINDS[self.kind]) + string(value) + used

    def sign(self, content: bytes, namespace: str) -> bytes:
        """As `ssh-keygen -Y sign` writes it."""
        parts = (namespace.encode(), b"", b"sha512")
        message = b"SSHSIG" + b"".join(map(string, (*parts, hashlib.sha512(content).digest())))
        outer = b"".join(map(string, (self.blob, *parts, self.answer(message))))
        return armour(b"SSHSIG" + (1).to_bytes(4, "big") + outer)


@contextmanager
def agent(path: Path, *tokens: Token) -> Iterator[str]:
    """An ssh-agent on a socket at `path` that holds these keys, for SSH_AUTH_SOCK: ssh-keygen signs through it."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        thread = threading.Thread(target=_serve, args=(server, tokens), daemon=True)
        thread.start()
        try:
            yield str(path)
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(server: socket.socket, tokens: Sequence[Token]) -> None:
    with suppress(OSError):  # it was shut down
        while True:
            connection, _ = server.accept()
            with connection, connection.makefile("rwb") as stream:
                while size := stream.read(4):
                    stream.write(string(_reply(stream.read(int.from_bytes(size, "big")), tokens)))
                    stream.flush()


def _reply(request: bytes, tokens: Sequence[Token]) -> bytes:
    if request[0] == 11:  # which keys there are
        keys = b"".join(string(token.blob) + string(b"token") for token in tokens)
        return bytes([12]) + len(tokens).to_bytes(4, "big") + keys
    if request[0] == 13:  # sign with a key: its blob, the message, flags
        at = 5 + int.from_bytes(request[1:5], "big")
        size = int.from_bytes(request[at : at + 4], "big")
        token = next(token for token in tokens if token.blob == request[5:at])
        return bytes([14]) + string(token.answer(request[at + 4 : at + 4 + size]))
    return bytes([5])
