"""The kinds of anchors behind one protocol: lines that people are sent, copies in a second place, timestamps.

A kind takes a signed checkpoint of the record and says where it put it. One that can be read back says what it knows. The
kind at GitHub has a module of its own.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from pytest_deploy.anchors.github import Statuses
from pytest_deploy.bounded_output import WORDS_BYTES, kept_text
from pytest_deploy.errors import AnchorUnavailable, DeployError, PlatformUnavailable, StoreUnavailable
from pytest_deploy.policy.policy import Policy
from pytest_deploy.record import stored_file
from pytest_deploy.record.log import Log
from pytest_deploy.record.log_entry import Checkpoint, SignedCheckpoint, parse_anchor, parse_checkpoint
from pytest_deploy.record.open_record import bucket_of
from pytest_deploy.record.store import Exists, FolderStore, Objects, Store
from pytest_deploy.verify.anchors import OPENSSL_TIMEOUT_S, openssl_ts
from pytest_deploy.workspace import Workspace

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
        try:
            text = stored_file.read(self._file).decode("utf-8", "replace")
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise AnchorUnavailable(f"{self._file} cannot be read: {error.strerror}") from error
        try:
            return tuple(sorted((parse_anchor(line) for line in text.splitlines()), key=lambda seen: seen.size))
        except ValueError as error:
            raise AnchorUnavailable(f"{self._file}: {error}; somebody wrote into it") from error

    def newest(self) -> Checkpoint | None:
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
        return self._read(slice(None))

    def newest(self) -> Checkpoint | None:
        return next(iter(self._read(slice(-1, None))), None)

    def _read(self, which: slice) -> tuple[Checkpoint, ...]:
        try:
            return tuple(self._checkpoint(name) for name in sorted(self._store.names(FOLDER))[which])
        except StoreUnavailable as error:
            raise AnchorUnavailable(str(error)) from error

    def _checkpoint(self, name: str) -> Checkpoint:
        try:
            checkpoint = parse_checkpoint(self._store.get(name))
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
    place: str
    ca: bytes
    """PEM of its certificate authority."""
    timeout_s: float

    kind = "rfc3161"
    read_back = False
    covers = False

    def make(self, signed: SignedCheckpoint) -> Mapping[str, Any]:
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
        return ()

    def newest(self) -> Checkpoint | None:
        return None

    def _ask(self, query: bytes) -> bytes:
        from pytest_deploy.bounded_http import bounded_session, whole_answer

        try:
            with bounded_session() as session:
                answer, reply = whole_answer(
                    session,
                    "POST",
                    self.place,
                    data=query,
                    headers={"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"},
                    deadline_s=self.timeout_s,
                    limit_bytes=_REPLY_LIMIT,
                )
        except PlatformUnavailable as error:
            raise AnchorUnavailable(f"{error}; see whether it is up") from None
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        if answer.status_code != 200 or kind != "application/timestamp-reply":  # noqa: PLR2004 -- HTTP's OK
            raise AnchorUnavailable(
                f"{self.place} answered {answer.status_code}, {kind or 'no type'}: no timestamp reply"
            )
        return reply

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
            raise AnchorUnavailable(f"{self.place}: openssl ts {arguments[0]} refused: {kept_text(last, WORDS_BYTES)}")


# --- The record's anchors in one environment: where they lie, and what they say when they are read back before a run.

CLOSES: Final = frozenset({"run.closed", "run.abandoned"})


@dataclass(frozen=True)
class AnchorReading:
    place: str
    newest: Checkpoint | None
    """None where it knows nothing."""
    problem: str = ""
    """Why it could not be read; it blocks."""
    covers: bool = True
    """Whether it is enough where policy requires an anchor; lines beside the record are not."""


@dataclass(frozen=True)
class RecordState:
    """The record as it is here."""

    origin: str
    size: int
    """Events, of which the newest is authentic and chains to all before it."""
    roots: Mapping[int, bytes]
    """Size -> root of the tree of that size, for each size an anchor names and the record reaches."""
    closed: int
    """Size of the record right after the newest event that closed a run; 0 where none was closed."""


def anchors_of(workspace: Workspace, policy: Policy, store: Store) -> list[Anchor]:
    """The anchors that policy names for the record in `store`. Raises AnchorUnavailable, UsageError."""
    rule, place = policy.anchors, policy.place(rehearsal=workspace.rehearsal)
    anchors: list[Anchor] = []
    if rule.copies is not None:
        if rule.copies.bucket is not None:
            bucket = bucket_of(policy, "anchors.copies.store", rule.copies.bucket, rule.copies.prefix, place)
            anchors.append(Copies(bucket, bucket.url))
        else:
            folder = workspace.root / str(rule.copies.folder) / place
            anchors.append(Copies(FolderStore(folder), f"{rule.copies.folder}/{place}"))
    if rule.github is not None:
        anchors.append(Statuses(rule.github, policy.origin(rehearsal=workspace.rehearsal)))
    if rule.timestamp is not None:
        try:
            ca = (workspace.root / rule.timestamp.ca).read_bytes()
        except OSError as error:
            raise AnchorUnavailable(
                f"anchors.timestamp.ca: {rule.timestamp.ca} cannot be read: {error.strerror}"
            ) from error
        anchors.append(TimestampAuthority(store, rule.timestamp.url, ca, rule.timestamp.timeout_s))
    if rule.lines is not None:
        name = f"{rule.lines}/{place.replace('/', '-')}.lines"
        anchors.append(Lines(workspace.root / name, name))
    return anchors


def read_back(anchors: Sequence[Anchor]) -> list[AnchorReading]:
    """What each place that can be read back knows newest; one that cannot be read now says why."""
    readings = []
    for anchor in anchors:
        if anchor.read_back:
            try:
                readings.append(AnchorReading(anchor.place, anchor.newest(), covers=anchor.covers))
            except DeployError as error:
                readings.append(AnchorReading(anchor.place, None, str(error), covers=anchor.covers))
    return readings


def record_state(log: Log, readings: Sequence[AnchorReading]) -> RecordState:
    """The record as it is now, at the sizes that were seen. Asked after the anchors: it may only have grown since."""
    events = log.history()
    closed = [event.seq + 1 for event in events if event.type in CLOSES]
    sizes = {
        reading.newest.size for reading in readings if reading.newest is not None and reading.newest.size <= len(events)
    }
    return RecordState(log.key.origin, len(events), {size: log.root(size) for size in sizes}, max(closed, default=0))
