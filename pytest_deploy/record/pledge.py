"""A pledge: who gets a key says, signed with it, that what it signs is theirs (21 CFR 11.10(j), 11.100(b)).

It proves possession, and binds the key to a person and a log. Its text follows from the roster, so that the signature alone is
stored, in the set that brings the key. The format: docs/record-format.md, "Signed rosters".
"""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import datetime
from functools import lru_cache
from typing import Final

from pytest_deploy.record import sshsig
from pytest_deploy.record.event import canonical
from pytest_deploy.record.ssh_signature import verify

MEANING: Final = "what is signed with this key is signed by me, and binds me as my handwritten signature does"
SIGNATURE: Final = re.compile(r"pledge-.*\.sig")


def content(*, origin: str, signer: str, printed_name: str, fingerprint: str) -> bytes:
    """What a person signs with their own key: canonical JSON. `fingerprint` is the key's, `SHA256:…`."""
    said = {"origin": origin, "signer": signer, "printed_name": printed_name, "key": fingerprint}
    return canonical({"type": "pledge", "meaning": MEANING, **said})


def file_name(blob: bytes) -> str:
    """Of the pledge of a key, by its SSH blob."""
    return f"pledge-{hashlib.sha256(blob).hexdigest()[:8]}.sig"


@lru_cache(maxsize=512)
def why_wrong(  # noqa: PLR0917 -- what a cache knows a call by
    signature: bytes, public: str, origin: str, signer: str, printed_name: str, namespace: str, at: datetime
) -> str:
    """Why a signature is not the pledge of a key (`ssh-ed25519 AAAA…`), in words; empty where it is."""
    blob = base64.b64decode(public.split()[1])
    try:
        read = sshsig.read(signature)
        if read.key != blob:
            return f"is by another key: {read.fingerprint}"
        said = content(origin=origin, signer=signer, printed_name=printed_name, fingerprint=read.fingerprint)
        sshsig.check(said, signature, namespace=namespace)
    except sshsig.BadSignature as error:
        return f"is no pledge of {printed_name} <{signer}> for {origin}: {error}"
    _, why = verify(
        said, signature, allowed_signers=f"{signer} {public}\n".encode(), signer=signer, namespace=namespace, at=at
    )
    return why
