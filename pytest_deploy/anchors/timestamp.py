"""RFC 3161: an authority's word that a checkpoint was there at a time. Made and checked by stock openssl.

The reply is kept beside the checkpoint, `anchors/<size>.tsr`; the authority's certificate lies in a trust set. It shows
when, and it cannot be read back: against truncation it helps whoever keeps the reply elsewhere.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pytest_deploy.anchors.kinds import FOLDER
from pytest_deploy.errors import AnchorUnavailable
from pytest_deploy.record.log_entry import Checkpoint, SignedCheckpoint
from pytest_deploy.record.store import Exists, Objects

_OPENSSL_S: Final = 30
_LARGEST: Final = 1 << 20


@dataclass(frozen=True)
class Authority:
    """An RFC 3161 authority: an Anchor."""

    store: Objects
    """The record's own: the reply lies beside the checkpoint."""
    url: str
    ca: bytes
    """PEM of its certificate authority."""
    timeout_s: float

    kind = "rfc3161"
    read_back = False
    covers = False

    @property
    def place(self) -> str:
        """Its address."""
        return self.url

    def make(self, signed: SignedCheckpoint) -> Mapping[str, Any]:
        """See Anchor.make: ask, verify the reply, keep it."""
        with tempfile.TemporaryDirectory(prefix="deploy-tsa-") as folder:
            room = Path(folder)
            data, query, reply, ca = (room / name for name in ("data", "query.tsq", "reply.tsr", "ca.pem"))
            data.write_bytes(signed.text.encode())
            ca.write_bytes(self.ca)
            self._openssl("-query", "-data", str(data), "-sha256", "-cert", "-out", str(query))
            reply.write_bytes(self._ask(query.read_bytes()))
            self._openssl("-verify", "-queryfile", str(query), "-in", str(reply), "-CAfile", str(ca))
            received = reply.read_bytes()
        name = f"{FOLDER}{signed.checkpoint.size:08d}.tsr"
        try:
            self.store.create(name, received)
        except Exists:  # anchored before; that reply stays
            received = self.store.get(name)
        return {"reply_sha256": hashlib.sha256(received).hexdigest()}

    def known(self) -> tuple[Checkpoint, ...]:
        """See Anchor.known: an authority keeps nothing."""
        return ()

    def newest(self) -> Checkpoint | None:
        """See Anchor.newest."""
        return None

    def _ask(self, query: bytes) -> bytes:
        import requests

        try:
            answer = requests.post(
                self.url,
                data=query,
                headers={"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"},
                timeout=self.timeout_s,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise AnchorUnavailable(
                f"{self.url} gave no answer in {self.timeout_s:g} s ({type(error).__name__}); see whether it is up"
            ) from error
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        if answer.status_code != 200 or kind != "application/timestamp-reply" or len(answer.content) > _LARGEST:  # noqa: PLR2004 -- HTTP's OK
            raise AnchorUnavailable(
                f"{self.url} answered {answer.status_code}, {kind or 'no type'}: no timestamp reply"
            )
        return answer.content

    def _openssl(self, *arguments: str) -> None:
        try:
            done = subprocess.run(
                ["openssl", "ts", *arguments],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_OPENSSL_S,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except FileNotFoundError:
            raise AnchorUnavailable("openssl is not installed: timestamps are made with it (Debian: openssl)") from None
        except subprocess.TimeoutExpired:
            raise AnchorUnavailable(f"openssl ts {arguments[0]} gave no answer in {_OPENSSL_S} s") from None
        if done.returncode != 0:
            said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            raise AnchorUnavailable(
                f"{self.url}: openssl ts {arguments[0]} refused: {said[-1] if said else 'no words'}"
            )
