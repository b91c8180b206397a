"""A record in a bucket, with a copy of it on this machine: everything that reads files reads the copy.

An object never changes, so a copy of it is as good as the object, and the copy only ever lacks some. What is made is made
in the bucket first. The copy is evidence of nothing by itself: what lies in it and not in the bucket is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

from pytest_deploy.errors import RecordTampered, StoreUnavailable, UsageError
from pytest_deploy.record import atomic_file
from pytest_deploy.record.bucket import Bucket, md5_hex
from pytest_deploy.record.store import Exists, FolderStore, Missing

MARK: Final = ".copy-of"
"""The file that says of a folder whose copy it is; its name starts with a dot, so it is no part of the record."""
UNFINISHED: Final = ".unfinished"
_AT_ONCE: Final = 8
_CONVENIENCES: Final = ("verify.sh",)


class MirroredStore:
    """A Store: `bucket` is the record, `path` its copy."""

    def __init__(self, bucket: Bucket, path: Path) -> None:
        """Raises UsageError where the folder is a record by itself, or the copy of another bucket."""
        self.bucket = bucket
        self.path = path
        # A stray rest of a write lies in no folder that is sealed: the bucket has no such object.
        self._copy = FolderStore(path, unfinished=path / UNFINISHED)
        copied = copy_of(path)
        if copied not in ("", bucket.url) or (not copied and (path / "log").is_dir()):
            whose = f"the copy of {copied}" if copied else "a record by itself"
            raise UsageError(
                f"{path} is {whose}, and the record lies in {bucket.url}: move the folder away, then run again"
            )

    def create(self, name: str, data: bytes) -> None:
        """See Store.create."""
        self.bucket.create(name, data)
        self._keep(name, data)

    def get(self, name: str) -> bytes:
        """See Store.get."""
        try:
            return self._copy.get(name)
        except Missing:
            return self._fetch(name)

    def names(self, prefix: str) -> Iterator[str]:
        """See Store.names."""
        return self.bucket.names(prefix)

    def folder(self, prefix: str = "") -> Path:
        """See Store.folder: one listing, and what is new."""
        # In this order: what another process makes meanwhile is in the bucket before it is in the copy.
        have = {name for name in self._copy.names(prefix) if not _convenience(name)}
        listed = dict(self.bucket.listed(prefix))
        if strange := sorted(have - listed.keys()):
            raise RecordTampered(
                f"{self.path / strange[0]} is not in {self.bucket.url}: the copy is not of it, or somebody added to it; "
                "move the folder away, then run again"
            )
        with ThreadPoolExecutor(_AT_ONCE) as fetching:
            list(fetching.map(self._fetch, sorted(listed.keys() - have)))
        return self.path

    def compare(self) -> list[str]:
        """The objects whose bytes in the copy are not those in the bucket; reads the whole copy."""
        return [
            name
            for name, md5 in self.bucket.listed("")
            if not _convenience(name) and md5_hex(self._copy.get(name)) != md5
        ]

    def _fetch(self, name: str) -> bytes:
        data = self.bucket.get(name)
        self._keep(name, data)
        return data

    def _keep(self, name: str, data: bytes) -> None:
        """Lay an object into the copy; another process may have been faster."""
        try:
            with suppress(FileExistsError):
                atomic_file.create(self.path / MARK, f"{self.bucket.url}\n".encode())
            with suppress(Exists):
                self._copy.create(name, data)
        except OSError as error:
            raise StoreUnavailable(f"{self.path} cannot be written: {error.strerror}; see to the disk") from error


def copy_of(path: Path) -> str:
    """The bucket that a folder is a copy of; empty where it is none."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return (path / MARK).read_text(encoding="utf-8").strip()
    return ""


def _convenience(name: str) -> bool:
    """Whether a name is that of a plain copy of the trust set, or of the second verifier: on disk only, and no evidence."""
    return name in _CONVENIENCES or (name.startswith("trust/") and name.count("/") == 1)
