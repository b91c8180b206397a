"""Where a trial runs: in a server that is thrown away afterwards, or beside the target, on its server.

Roles, their settings and other databases belong to a whole server. In one of the trial's own a migration may do with them what
it will do on the real one. Beside the target what it does to them would stay, and be done to the real ones: there a migration
that does so is refused, before it runs where its words tell, else before its transaction commits.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Protocol

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pytest_deploy.errors import PlatformUnavailable
from pytest_deploy.migrate import cluster
from pytest_deploy.migrate.cluster import Cluster
from pytest_deploy.migrate.cluster_effects import refuse_effects, refuse_named_effects
from pytest_deploy.migrate.migration import Migration
from pytest_deploy.migrate.session import Connection, Rows, attempt, connect, scratch_database, server_message
from pytest_deploy.migrate.state import begin_like
from pytest_deploy.migrate.trial_server import server_programs, throw_away_server
from pytest_deploy.workspace import typed_path

Where = Literal["server", "beside"]
"""In a server of its own, or beside the target."""

_MAINTENANCE: Final = "template1"
"""The database of a new server from which others are made."""
_ROLES: Final = r"role|group|user(?!\s+mapping\b)"


def told_place(where: Where, why: str) -> str:
    """`in a throw-away server: PostgreSQL 18 of …`."""
    return f"{'in a throw-away server' if where == 'server' else 'beside the target, on its server'}: {why}"


class TrialServerUnfit(PlatformUnavailable):
    """A server of the trial's own cannot be made like the target's; `reason` says what is missing."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"{reason}; install what is missing on this machine, or say `trial: beside` under database in deploy.yaml"
        )


class TrialPlace(Protocol):
    """Where the databases of a trial are made."""

    @property
    def where(self) -> Where: ...

    @property
    def why(self) -> str:
        """In words."""

    def database(self) -> AbstractContextManager[str]:
        """The connection string of a new, empty database, as the migrations' own user; gone afterwards."""

    def settle(self, conninfo: str) -> None:
        """The applied migrations have run in this database: what only stands beside them becomes as it is at the target."""

    def before_commit(self, connection: Connection) -> Callable[[Rows], None]:
        """What looks at a transaction of migrations just before its commit, and raises where it must not be committed."""


@dataclass(frozen=True)
class BesideTarget:
    """Scratch databases on the target's own server."""

    conninfo: str
    why: str
    where: Where = field(default="beside", init=False)

    @contextmanager
    def database(self) -> Iterator[str]:
        with scratch_database(self.conninfo) as place:
            with connect(self.conninfo) as source, connect(place, autocommit=True) as scratch:
                begin_like(source, scratch)
            yield place

    def settle(self, conninfo: str) -> None:
        """Roles and settings are the real ones."""

    def before_commit(self, connection: Connection) -> Callable[[Rows], None]:
        return lambda rows: refuse_effects(rows, connection)


@dataclass(frozen=True)
class OwnServer:
    """A throw-away server for each database, so that none meets what another's migrations did to the server."""

    target: Cluster
    programs: Path
    why: str
    applied: Sequence[str]
    """The SQL of the applied ups."""
    pending: Sequence[str]
    """The SQL of the pending ups."""
    options: str
    """Of the migrations' sessions."""
    where: Where = field(default="server", init=False)

    @contextmanager
    def database(self) -> Iterator[str]:
        """Raises TrialServerUnfit where it cannot be made like the target's."""
        target, unfit = self.target, ""
        with ExitStack() as stack:
            try:
                server = stack.enter_context(throw_away_server(self.programs, target.superuser, target.parameters))
                superuser = _as_superuser(server.conninfo(_MAINTENANCE), target)
                self._make_like_target(superuser)
            except (psycopg.Error, PlatformUnavailable, OSError, subprocess.SubprocessError) as error:
                unfit = server_message(error)
            if unfit:  # outside the except clause: no chained exception carries a connection string along
                raise self._unfit(unfit)
            yield make_conninfo(superuser, dbname=target.database, user=target.user, options=self.options)

    def _make_like_target(self, superuser: str) -> None:
        target = self.target
        made_by_them = cluster.names_made(_ROLES, self.applied) - {target.owner, target.user}
        with psycopg.connect(superuser, autocommit=True) as connection:
            if missing := cluster.missing_extensions(connection, target, (*self.applied, *self.pending)):
                raise PlatformUnavailable(f"it has not the extensions {', '.join(missing)}")
            spaces = cluster.names_made("tablespace", self.applied)
            cluster.make_roles(connection, target, made_by_them, spaces)
            cluster.make_database(connection, target)
        with psycopg.connect(superuser, dbname=target.database, autocommit=True) as connection:
            cluster.copy_settings(connection, target)
            cluster.make_extensions(connection, target, cluster.names_made("extension", self.applied))

    def _unfit(self, what: str) -> TrialServerUnfit:
        return TrialServerUnfit(
            f"a PostgreSQL {self.target.major} of {self.programs} cannot be made like the target's server: {what}"
        )

    def settle(self, conninfo: str) -> None:
        def work() -> None:
            with psycopg.connect(_as_superuser(conninfo, self.target), autocommit=True) as connection:
                cluster.make_roles(connection, self.target)
                cluster.copy_settings(connection, self.target)

        attempt(work, self._unfit)

    def before_commit(self, connection: Connection) -> Callable[[Rows], None]:  # noqa: ARG002 - nothing there is anybody's
        return lambda _: None


def _as_superuser(conninfo: str, target: Cluster) -> str:
    """Whatever the caller's own variables ask of a connection, this is one within the machine."""
    return make_conninfo(conninfo, user=target.superuser, options="", client_encoding="utf8", channel_binding="disable")


def choose(
    conninfo: str,
    wanted: Where | None,
    *,
    programs: Path | None = None,
    applied: Sequence[Migration] = (),
    pending: Sequence[Migration] = (),
) -> TrialPlace:
    """Where policy's `database.trial` and this machine have the trial run.

    `programs` is a folder to look in first for the server's programs.

    Raises PlatformUnavailable where policy asks for a server and this machine has no programs of the target's major version.
    """
    if wanted == "beside":
        return BesideTarget(conninfo, "deploy.yaml says database.trial: beside")
    with connect(conninfo) as connection:
        target = cluster.read_cluster(connection)
    found = server_programs(target.major, programs)
    if found is None:
        missing = f"this machine has no server programs of PostgreSQL {target.major}"
        if wanted == "server":
            raise PlatformUnavailable(
                f"deploy.yaml says database.trial: server, and {missing}; install postgresql-{target.major}, "
                "or say `trial: beside`"
            )
        return BesideTarget(conninfo, missing)
    return OwnServer(
        target=target,
        programs=found,
        why=f"PostgreSQL {target.major} of {typed_path(found)}",
        applied=[migration.up.sql for migration in applied],
        pending=[migration.up.sql for migration in pending],
        options=str(conninfo_to_dict(conninfo).get("options") or ""),
    )


def require_no_named_effects(place: TrialPlace, applied: Sequence[Migration], pending: Sequence[Migration]) -> None:
    """Beside the target: no statement says that it changes the server. Raises MigrationsRefused, before anything runs.

    Of those applied, what is in a transaction may say so: it was done there, and the transaction is looked at besides.
    """
    if place.where == "beside":
        refuse_named_effects([*(one for one in applied if not one.up.transactional), *pending])
