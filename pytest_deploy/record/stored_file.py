"""What may lie in a store, and how it is read: whatever lies there, reading it ends, in little memory.

Somebody else may have put it there: a sparse file of eight terabytes, a FIFO that never ends, folders a thousand deep. A name
that no list holds is not opened; a file is opened once, as it is, and no more of it is read than it may have.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Final

MIB: Final = 1 << 20
LARGEST: Final[Mapping[str, int]] = {
    "log": 131_072,
    "trust": MIB,
    "runs": 64 * MIB,
    "signoffs": MIB,
    "anchors": MIB,
    "preimages": 64 * MIB,
}
"""Bytes of one file at most, by the folder of the store: an event has a line of 65,535 and a proof of a few thousand."""
DEEPEST: Final = 16
"""Folders between a folder of the store and a file at most."""
_DEFAULT: Final = max(LARGEST.values())
IS_A_LINK: Final = "is a symbolic link"
NO_FILE: Final = "is no regular file"


class NotOfARecord(OSError):
    """What lies there is no file, or no folder, of a record: a link, a FIFO, more than a file may have. `strerror` says what."""


@dataclass(frozen=True)
class Below:
    """One name below a folder."""

    name: str
    """From that folder, with `/` between parts."""
    path: str
    problem: str | None
    """Why it is no file of a record; None where it is one."""


def largest(name: str) -> int:
    """Bytes that a file may have, by its name from the store."""
    return LARGEST.get(name.partition("/")[0], _DEFAULT)


def folder_of(store: str | Path, name: str) -> Path:
    """A folder of a store, there or not. Raises NotOfARecord: it, or one on the way to it, is a link, or no folder.

    What a link leads to is somebody else's: it would be read as the record, written to, or handed out with it.
    """
    path = str(store)  # text: a record has this asked a hundred thousand times
    for part in filter(None, name.split("/")):
        path = os.path.join(path, part)  # noqa: PTH118 -- as above
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            continue
        if stat.S_ISLNK(mode):
            raise NotOfARecord(errno.ELOOP, IS_A_LINK, path)
        if not stat.S_ISDIR(mode):
            raise NotOfARecord(errno.ENOTDIR, "is no folder", path)
    return Path(path)


def file_of(store: str | Path, name: str) -> Path:
    """A file of a store, there or not, whose folders are the store's own: to be read by `read`. Raises as `folder_of`."""
    above, _, own = name.rpartition("/")
    return folder_of(store, above) / own


def below(folder: Path, most: int | None = LARGEST["runs"]) -> Iterator[Below]:
    """Every file below a folder, at any depth, and everything that is none; sorted by name in each folder.

    No link is followed and nothing is opened. `most`: bytes that one of them may have; None where
    their sizes are not asked for. Raises OSError where the folder
    itself cannot be listed; one below it that cannot is told as a name with a problem.
    """
    waiting = [_sorted(str(folder), "")]
    while waiting:
        item = next(waiting[-1], None)
        if item is None:
            waiting.pop()
            continue
        entry, name = item
        try:
            if any(character < " " or character in "\x7f\\" for character in entry.name):
                yield Below(name, entry.path, "has a control character or a backslash in its name")
            elif entry.is_dir(follow_symlinks=False):
                if len(waiting) > DEEPEST:
                    yield Below(name, entry.path, f"lies more than {DEEPEST} folders deep")
                else:
                    waiting.append(_sorted(entry.path, f"{name}/"))
            elif not entry.is_file(follow_symlinks=False):
                yield Below(name, entry.path, NO_FILE)
            elif most is not None and entry.stat(follow_symlinks=False).st_size > most:
                yield Below(name, entry.path, f"has more than {most} bytes")
            else:
                yield Below(name, entry.path, None)
        except OSError as error:
            yield Below(name, entry.path, f"cannot be listed: {error.strerror}")


def read(path: str | Path, most: int = LARGEST["runs"]) -> bytes:
    """The bytes of a regular file. Raises NotOfARecord: a link, no regular file, or more than `most` bytes; OSError."""
    with _opened(path, most) as stream:
        size = os.fstat(stream.fileno()).st_size
        content = stream.read(size + 1)
    if len(content) != size:
        raise OSError(errno.EBUSY, "it changed while it was read", str(path))
    return content


def sha256(path: str | Path, most: int = LARGEST["runs"]) -> str:
    """SHA-256 of a regular file, hex. Raises OSError, as `read` does."""
    with _opened(path, most) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _opened(path: str | Path, most: int) -> Iterator[BufferedReader]:
    with os.fdopen(open_regular(path, most), "rb") as stream:
        yield stream


def open_regular(path: str | Path, most: int) -> int:
    """A descriptor of a regular file, for who closes it. Raises OSError as `read` does."""
    # A FIFO without a writer would be waited for, were it not for O_NONBLOCK.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:  # the system's words are of many links
            raise NotOfARecord(errno.ELOOP, IS_A_LINK, str(path)) from None
        if error.errno == errno.ENXIO:  # a socket
            raise NotOfARecord(errno.EINVAL, NO_FILE, str(path)) from None
        raise
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_size <= most:
        return descriptor
    os.close(descriptor)
    if stat.S_ISREG(found.st_mode):
        raise NotOfARecord(errno.EFBIG, f"has more than {most} bytes", str(path))
    raise NotOfARecord(errno.EINVAL, NO_FILE, str(path))


def _sorted(folder: str, prefix: str) -> Iterator[tuple[os.DirEntry[str], str]]:
    with os.scandir(folder) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    return ((entry, f"{prefix}{entry.name}") for entry in listed)
