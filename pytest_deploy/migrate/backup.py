"""A backup before the schema moves, in a file that only its owner reads. REQ-o00044-J."""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_deploy.migrate.programs import run

KIND: Final = "pg_dump-custom"


@dataclass(frozen=True)
class Backup:
    """One backup that was made."""

    kind: str
    place: str
    """Path of the file."""
    bytes: int
    sha256: str
    """Hex, of the file."""
    restorable: bool | None
    """Whether a restore into a scratch database gave the same schema and row counts; None: not tried."""


def back_up(conninfo: str, into: Path, programs: Path | None = None, *, lock_timeout_s: float = 5.0) -> Backup:
    """`pg_dump --format=custom` of the whole database into a new file of the folder `into`, mode 0600, on disk.

    Raises PlatformUnavailable; nothing is left of a backup that failed.
    """
    return _dump(conninfo, into, programs, lock_timeout_s, snapshot=None)


def _dump(conninfo: str, into: Path, programs: Path | None, lock_timeout_s: float, snapshot: str | None) -> Backup:
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = into / f"{secrets.token_hex(8)}.dump"
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    arguments = ["--format=custom", f"--file={path}", f"--lock-wait-timeout={round(lock_timeout_s * 1000)}"]
    if snapshot is not None:
        arguments.append(f"--snapshot={snapshot}")
    try:
        run("pg_dump", arguments, conninfo, programs=programs, lock_timeout_s=lock_timeout_s)
        with path.open("rb") as file:
            os.fsync(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return Backup(KIND, str(path), path.stat().st_size, digest, None)
