"""The kinds of anchors behind one protocol: lines that people are sent, copies in a second place, timestamps.

A kind takes a signed checkpoint of the record and says where it put it. One that can be read back says what it knows. The
kind at GitHub has a module of its own.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from pytest_deploy.errors import AnchorUnavailable, StoreUnavailable
from pytest_deploy.record.log_entry import Checkpoint, SignedCheckpoint, parse_anchor, parse_checkpoint
from pytest_deploy.record.store import Exists, Objects
from pytest_deploy.verify.anchors import OPENSSL_TIMEOUT_S, openssl_ts

FOLDER: Final = "anchors/"
_REPLY_LIMIT: Final = 1 << 20
"""Bytes of a timestamp authority's reply, at most."""


class Anchor(Protocol):
    """One place outside the record."""

    @property
    def kind(self) -> str:
        """As `anchor.made` names it."""

    @property
    def place(self) -> str:
        """Where, as a reader finds it."""

    def make(self, signed: SignedCheckpoint) -> Mapping[str, Any]:
        """Leave the checkpoint there; returns what `anchor.made` says besides kind, size, root and place.

        Making the same again is no change. Raises AnchorUnavailable.
        """

    @property
    def read_back(self) -> bool:
        """Whether the place can be asked what it knows."""

    @property
    def covers(self) -> bool:
        """Whether it is enough where policy requires an anchor: a place of its own, that can be read back."""

    def known(self) -> tuple[Checkpoint, ...]:
        """All that the place knows of this record, the newest last. Raises AnchorUnavailable."""

    def newest(self) -> Checkpoint | None:
        """The newest alone: it commits to all before it. Raises AnchorUnavailable."""


class Lines:
    """The lines that go with notifications, one an anchor, in a file outside the record."""

    kind = "line"
    read_back = True
    covers = False  # a file beside the record: whoever can cut one can cut the other

    def __init__(self, file: Path, place: str) -> None:
        self._file = file
        self.place = place

    def make(self, signed: SignedCheckpoint) -> Mapping[str, Any]:
        """See Anchor.make."""
        line = signed.checkpoint.anchor
        if signed.checkpoint in self.known():
            return {"receipt": line}
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            with os.fdopen(descriptor, "ab") as out:
                out.write(f"{line}\n".encode())
                out.flush()
                os.fsync(out.fileno())
        except OSError as error:
            raise AnchorUnavailable(f"{self._file} cannot be written: {error.strerror}; see to the disk") from error
        return {"receipt": line}

    def known(self) -> tuple[Checkpoint, ...]:
        """See Anchor.known."""
        try:
            text = self._file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ()
        except (OSError, UnicodeDecodeError) as error:
            raise AnchorUnavailable(f"{self._file} cannot be read: {error}") from error
        try:
            return tuple(sorted((parse_anchor(line) for line in text.splitlines()), key=lambda seen: seen.size))
        except ValueError as error:
            raise AnchorUnavailable(f"{self._file}: {error}; somebody wrote into it") from error

    def newest(self) -> Checkpoint | None:
        """See Anchor.newest."""
        return next(reversed(self.known()), None)


class Copies:
    """Copies of the signed checkpoints in a second folder or bucket, made once like the record itself."""

    kind = "copy"
    read_back = True
    covers = True

    def __init__(self, store: Objects, place: str) -> None:
        self._store = store
        self.place = place

    def make(self, signed: SignedCheckpoint) -> Mapping[str, Any]:
        """See Anchor.make. Raises AnchorUnavailable, too, where another checkpoint of this size lies there."""
        name, text = file_name(signed), signed.text.encode()
        try:
            with suppress(Exists):
                self._store.create(name, text)
            if self._store.get(name) != text:
                raise AnchorUnavailable(
                    f"{self.place}/{name} holds another checkpoint of this size: the record was rewritten"
                )
        except StoreUnavailable as error:
            raise AnchorUnavailable(str(error)) from error
        return {}

    def known(self) -> tuple[Checkpoint, ...]:
        """See Anchor.known."""
        try:
            return tuple(self._read(name) for name in sorted(self._store.names(FOLDER)))
        except StoreUnavailable as error:
            raise AnchorUnavailable(str(error)) from error

    def newest(self) -> Checkpoint | None:
        """See Anchor.newest."""
        try:
            names = sorted(self._store.names(FOLDER))
            return self._read(names[-1]) if names else None
        except StoreUnavailable as error:
            raise AnchorUnavailable(str(error)) from error

    def _read(self, name: str) -> Checkpoint:
        try:
            checkpoint = parse_checkpoint(self._store.get(name).decode())
        except ValueError as error:
            raise AnchorUnavailable(f"{self.place}/{name} is no signed checkpoint: {error}") from error
        if name != file_name(checkpoint):
            raise AnchorUnavailable(f"{self.place}/{name} holds the checkpoint of {checkpoint.checkpoint.size} events")
        return checkpoint.checkpoint


def file_name(signed: SignedCheckpoint) -> str:
    """`anchors/00000118.checkpoint`."""
    return f"{FOLDER}{signed.checkpoint.size:08d}.checkpoint"


@dataclass(frozen=True)
class TimestampAuthority:
    """An RFC 3161 authority's word that a checkpoint was there at a time, made and checked by stock openssl.

    The reply is kept beside the checkpoint, `anchors/<size>.tsr`; the authority's certificate lies in a trust set. It shows
    when, and it cannot be read back: against truncation it helps whoever keeps the reply elsewhere.
    """

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
        if answer.status_code != 200 or kind != "application/timestamp-reply" or len(answer.content) > _REPLY_LIMIT:  # noqa: PLR2004 -- HTTP's OK
            raise AnchorUnavailable(
                f"{self.url} answered {answer.status_code}, {kind or 'no type'}: no timestamp reply"
            )
        return answer.content

    def _openssl(self, *arguments: str) -> None:
        try:
            completed = openssl_ts(*arguments)
        except FileNotFoundError:
            raise AnchorUnavailable("openssl is not installed: timestamps are made with it (Debian: openssl)") from None
        except subprocess.TimeoutExpired:
            raise AnchorUnavailable(f"openssl ts {arguments[0]} gave no answer in {OPENSSL_TIMEOUT_S} s") from None
        if completed.returncode != 0:
            output = (completed.stdout + completed.stderr).decode("utf-8", "replace").splitlines()
            last = next((line for line in reversed(output) if line.strip()), "no words")
            raise AnchorUnavailable(f"{self.url}: openssl ts {arguments[0]} refused: {last}")
