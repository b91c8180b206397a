"""Write a file so that it is whole or not there at all: `create` where none may be yet, `overwrite` in place of another.

A temporary file (its name starts with a dot, so no reader counts it) is written and fsynced in the same folder; link(2)
gives it its name, which fails if the name exists; the temporary name goes, and the folder is fsynced. A kill at any
point leaves the old state or the new one, and at worst a stray dot file.
"""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from pytest_deploy.record import stored_file

_IGNORED: Final = (
    b"# Written by pytest-deploy: nothing that lies here is ever committed, released or put into an image.\n*\n"
)
_UNFINISHED = re.compile(r"\.[0-9a-f]{16}\.new")


def keep_from_others() -> None:
    """From here on nothing that this process makes can be written by others, whatever umask its shell gave it."""
    os.umask(os.umask(0o022) | 0o022)


def create(path: Path, data: bytes, *, mode: int = 0o644, beside: Path | None = None) -> None:
    """Write `data` under a name that must not exist yet; missing folders are made (0755).

    `beside`: where the unfinished file lies, a folder of the same file system; else beside `path`. The file never has more rights than `mode`. Raises FileExistsError where the name is taken, OSError else.
    """
    _make_folder(path.parent)
    if beside is not None:
        _make_folder(beside)
    temporary = (beside or path.parent) / f".{secrets.token_hex(8)}.new"
    try:
        _write_new(temporary, data, mode)
        os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
        # Also where the name was taken: whoever made it may not have come this far, and the caller builds on it.
        _sync_folder(path.parent)


def overwrite(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace a file as a whole, or make it: a reader sees the old bytes or the new. Its folder must be there.

    For what can be made again: after a power cut it may be the old or the new. Raises OSError.
    """
    temporary = path.parent / f".{secrets.token_hex(8)}.new"
    try:
        _write_new(temporary, data, mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def replace(source: Path, path: Path) -> None:
    """Give a file the name of another in the same folder, which goes; durable when it returns. Raises OSError."""
    source.replace(path)
    _sync_folder(path.parent)


def make_ignored(folder: Path) -> None:
    """Make a folder, where it is missing, that git never takes in, whatever the checkout's own .gitignore says."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".gitignore").exists():
        with suppress(FileExistsError):  # another process was faster
            create(folder / ".gitignore", _IGNORED)


def sweep(folder: Path) -> None:
    """Remove the unfinished writes of processes that are gone; nobody else may be writing below `folder`."""
    for item in stored_file.below(folder) if folder.is_dir() else ():
        path = Path(item.path)
        if _UNFINISHED.fullmatch(path.name) and not path.is_dir():
            path.unlink()


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """A new file with these bytes, on disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode & 0o600)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fchmod(descriptor, mode)  # evidence is readable whatever the umask was; a key stays 0600
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    try:
        folder.mkdir(mode=0o755)
    except FileExistsError:  # another process was faster
        return
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
