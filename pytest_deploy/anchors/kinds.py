"""The kinds of anchors behind one protocol: lines that people are sent, and copies of checkpoints in a second place.

A kind takes a signed checkpoint of the record and says where it put it. One that can be read back says what it knows.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

from pytest_deploy.errors import AnchorUnavailable, StoreUnavailable
from pytest_deploy.record.log_entry import Checkpoint, SignedCheckpoint, parse_anchor, parse_checkpoint
from pytest_deploy.record.store import Exists, Objects

FOLDER: Final = "anchors/"


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
            found = parse_checkpoint(self._store.get(name).decode())
        except ValueError as error:
            raise AnchorUnavailable(f"{self.place}/{name} is no signed checkpoint: {error}") from error
        if name != file_name(found):
            raise AnchorUnavailable(f"{self.place}/{name} holds the checkpoint of {found.checkpoint.size} events")
        return found.checkpoint


def file_name(signed: SignedCheckpoint) -> str:
    """`anchors/00000118.checkpoint`."""
    return f"{FOLDER}{signed.checkpoint.size:08d}.checkpoint"
