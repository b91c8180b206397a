"""Where a record lies: objects that are created once, read and listed; never replaced, never deleted.

*Create if absent* is the only primitive. It gives crash safety and concurrency without a lock, on a disk (link(2)) as on
Cloud Storage (`if_generation_match=0`). Names are relative, with `/` between parts, and mean the same in both.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from pytest_deploy.errors import RecordError, RecordTampered, StoreUnavailable
from pytest_deploy.record import atomic_file, stored_file

_NAME = re.compile(r"[^/.\x00-\x1f\x7f\\][^/\x00-\x1f\x7f\\]*(/[^/.\x00-\x1f\x7f\\][^/\x00-\x1f\x7f\\]*)*")


class Exists(RecordError):
    """The name is taken; what lies there stays as it is."""


class Missing(RecordError):
    """No object has this name."""


class Objects(Protocol):
    """Objects by their names: what a disk and a bucket have in common."""

    def create(self, name: str, data: bytes) -> None:
        """Make the object durable under `name`, whole or not at all.

        Raises Exists where the name is taken, StoreUnavailable where the place cannot be written.
        """

    def get(self, name: str) -> bytes:
        """The stored bytes. Raises Missing, or StoreUnavailable where the place cannot be read."""

    def names(self, prefix: str) -> Iterator[str]:
        """Every name that starts with `prefix`, sorted. It costs a listing: never part of an append."""


class Store(Objects, Protocol):
    """What the record asks of a place."""

    @property
    def path(self) -> Path:
        """The folder of this machine that `folder` brings up to date."""

    def folder(self, prefix: str = "") -> Path:
        """A folder of this machine that holds every object under `prefix` as it is now, by its name.

        Raises StoreUnavailable, or RecordTampered where the folder holds something that the store does not.
        """


def check_name(name: str) -> None:
    """Raises RecordError for what is no name of an object."""
    if _NAME.fullmatch(name) is None:
        raise RecordError(f"{name!r} is no name for an object of a record: relative, no part starting with a dot")


class FolderStore:
    """A store in a folder. Files whose names start with a dot are unfinished writes and are not in it."""

    def __init__(self, path: Path, *, unfinished: Path | None = None) -> None:
        """`unfinished`: a folder for writes that are not done; else they lie where the object will."""
        self.path = path
        self._unfinished = unfinished

    def create(self, name: str, data: bytes) -> None:
        """See Store.create. Raises StoreUnavailable for a full or read-only disk, saying so."""
        check_name(name)
        try:
            atomic_file.create(stored_file.file_of(self.path, name), data, beside=self._unfinished)
        except FileExistsError:
            raise Exists(f"{self.path / name} exists; nothing in a record is replaced") from None
        except OSError as error:
            raise unavailable(self.path / name, error) from error

    def get(self, name: str) -> bytes:
        """See Store.get. Raises RecordTampered for a symbolic link, a FIFO or the like: a record holds files only."""
        check_name(name)
        try:
            return stored_file.read(stored_file.file_of(self.path, name), stored_file.largest(name))
        except FileNotFoundError:
            raise Missing(f"{self.path / name} does not exist") from None
        except OSError as error:
            raise unavailable(self.path / name, error, "read") from error

    def names(self, prefix: str) -> Iterator[str]:
        folder = prefix.rpartition("/")[0]
        try:
            for item in stored_file.below(stored_file.folder_of(self.path, folder), None):
                name = f"{folder}/{item.name}" if folder else item.name
                if name.startswith(prefix) and not any(part.startswith(".") for part in item.name.split("/")):
                    yield name
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise unavailable(self.path / folder, error, "listed") from error

    def folder(self, prefix: str = "") -> Path:  # noqa: ARG002 -- a disk is always up to date
        return self.path


_REMEDIES: Final = {
    errno.ENOSPC: "the disk is full; make room, then run again",
    errno.EDQUOT: "the disk quota is used up; make room, then run again",
    errno.EROFS: "the file system is read-only; mount it writable or set another place for reports",
    errno.EACCES: "this user may not; give it the right, or set another place for reports",
    errno.EPERM: "the file system refuses (no hard links?); set a place for reports on a local disk",
}


def unavailable(place: Path, error: OSError, what: str = "written") -> RecordError:
    """The error for an object that cannot be written, or read: which, why, and what to do.

    RecordTampered where what lies there is nothing of a record, else StoreUnavailable.
    """
    if isinstance(error, stored_file.NotOfARecord):
        return RecordTampered(f"{error.filename} {error.strerror}; a record holds files and folders of its own only")
    remedy = _REMEDIES.get(error.errno or 0, "see to the disk, then run again")
    return StoreUnavailable(f"the record at {place} cannot be {what}: {error.strerror or error}: {remedy}")
