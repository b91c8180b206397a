"""One PostgreSQL server for a whole test run, whatever the number of xdist workers, and nothing left of it afterwards.

Each worker holds the write end of a FIFO, which the kernel closes however the worker dies. The keeper, a process in a
session of its own, reads the FIFO; at end of file it stops the server and removes its folder. Workers and keeper decide
under one file lock, so that no worker joins a server that is about to stop.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pytest_deploy.platform.embedded.postgres import EmbeddedServer, embedded_programs
from tests.memory import short_parent

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")

_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}
"""The tests' data need not outlive the machine."""


@dataclass(frozen=True)
class PostgresServer:
    """A running server of the tests."""

    host: str
    """Folder of its Unix socket."""
    programs: Path
    """Folder of pg_dump, psql and the like, of the server's own version."""
    port: int = 5432
    user: str = "postgres"

    def conninfo(self, database: str = "postgres") -> str:
        """The superuser's libpq connection string to this database."""
        return f"host={self.host} port={self.port} user={self.user} dbname={database}"

    def url(self, database: str = "postgres") -> str:
        """The same as a libpq URL."""
        return f"postgresql://{self.user}@/{database}?host={self.host}&port={self.port}"


@contextmanager
def shared_server(shared: Path, programs: Path | None = None) -> Iterator[PostgresServer]:
    """Join the server of the folder `shared` (the same for all workers), starting it if nobody has."""
    programs = programs if programs is not None else embedded_programs()
    name = hashlib.sha256(f"{shared}:{programs}".encode()).hexdigest()[:12]
    folder = short_parent() / f"pytest-deploy-test-{name}"
    until = time.monotonic() + 60
    with _locked(shared / f"{name}.lock"):
        writer = _join(folder)
        if writer is None:
            _start_keeper(shared / f"{name}.lock", folder, programs)
        while writer is None:
            if time.monotonic() > until:
                raise TimeoutError(f"the tests' PostgreSQL did not start; see {shared / (name + '.log')}")
            time.sleep(0.02)
            writer = _join(folder)
    try:
        yield PostgresServer(str(folder / "server"), programs)
    finally:
        os.close(writer)


def _join(folder: Path) -> int | None:
    """The write end of the FIFO, or None where no keeper reads it."""
    try:
        return os.open(folder / "clients", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


def _start_keeper(lock: Path, folder: Path, programs: Path) -> None:
    with lock.with_suffix(".log").open("ab") as log:
        subprocess.Popen(
            [sys.executable, __file__, lock, folder, programs],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=Path(__file__).parent.parent,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": "."},
        ).returncode = 0  # a child that is meant to outlive us; else subprocess warns of it


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def keep(lock: Path, folder: Path, programs: Path) -> None:
    """Run the server for as long as anybody holds the FIFO."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o711)  # the server's own folder below is private to its user
    server = EmbeddedServer(folder / "server", programs=programs, settings=_SETTINGS)
    fifo = folder / "clients"
    try:
        server.start()
        os.mkfifo(fifo, 0o600)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        _await_first_writer(reader)
        while True:
            os.set_blocking(reader, True)
            os.read(reader, 1)
            with _locked(lock):
                os.set_blocking(reader, False)
                if _nobody_writes(reader):
                    fifo.unlink()
                    return
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _await_first_writer(reader: int) -> None:
    until = time.monotonic() + 60
    while _nobody_writes(reader) and time.monotonic() < until:
        time.sleep(0.02)


def _nobody_writes(reader: int) -> bool:
    try:
        return os.read(reader, 1) == b""
    except BlockingIOError:
        return False


if __name__ == "__main__":
    keep(*(Path(word) for word in sys.argv[1:]))
