"""Where tests write: a file system in memory where there is one that can be used, else the disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_MEMORY = Path("/dev/shm")
_DISK = Path("/var/tmp")
ROOM = 6 * 2**30
"""Bytes that must be free where a whole test run writes."""


def in_memory(*, room: int = 0, place: Path = _MEMORY) -> Path | None:
    """The folder in memory, where this user may write there and start programs, and so many bytes are free."""
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return None
    flags = os.statvfs(place).f_flag
    usable = not flags & (os.ST_RDONLY | os.ST_NOEXEC)
    return place if usable and shutil.disk_usage(place).free > room else None


def short_parent() -> Path:
    """A folder of a short path, for sockets and PGDATA."""
    return in_memory() or _DISK
