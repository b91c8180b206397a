"""An environment's database and the role of its service, on the embedded server or on one that is there already.

Both are made where they are absent and never changed where they are there. A server that is there already is named by
`database.url` of deploy.yaml, else by libpq's own variables. The database on it has a name that says nothing of the
checkout: another clone of the repository finds the same one. The role is the checkout's own, with a password of its own:
what serves from one clone goes on serving while another one deploys.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from pytest_deploy.bounded_output import WORDS_BYTES, kept_text
from pytest_deploy.errors import PlatformUnavailable, UsageError
from pytest_deploy.platform.database_address import complete_conninfo, programs_of
from pytest_deploy.platform.embedded.places import write_private
from pytest_deploy.platform.protocol import DatabaseAccess
from pytest_deploy.policy.types import SERVERS_OWN_DATABASES

if TYPE_CHECKING:
    import psycopg  # not imported where only the server is wanted: the supervisor starts faster without it

_NAME_LIMIT: Final = 63
"""Bytes of a PostgreSQL name."""

_MAKING_LOCK: Final = 0x70796465
"""Advisory lock under which databases and roles are made; CREATE DATABASE has no IF NOT EXISTS."""

_SERVERS_OWN: Final = "postgres"
"""The database that every server has, to connect to where the wanted one is not there yet."""


@dataclass(frozen=True)
class ExistingDatabase:
    """Where an environment's database lies, on a server that is there already."""

    server: str
    """A libpq connection string or URL; what it leaves out comes from libpq's variables."""
    name: str
    """Of the database."""


def existing_database(url: str | None, default: str, *, own: str | None = None) -> ExistingDatabase | None:
    """The database on the server that `url`, else PGHOST, names; None where neither does.

    Its name is the one that `url` or PGDATABASE gives, unless that is one of the server's own (`postgres`), else `default`.
    `own` is the name it has whatever they say: a rehearsal never meets the environment's own database.
    """
    if url is None and not os.environ.get("PGHOST"):
        return None
    from psycopg.conninfo import conninfo_to_dict

    named = [str(conninfo_to_dict(url or "").get("dbname") or ""), os.environ.get("PGDATABASE", "")]
    name = next((one for one in named if one and one not in SERVERS_OWN_DATABASES), default)
    return ExistingDatabase(url or "", own or name)


def prepare_database(
    server: str, database: str, *, role: str | None = None, password_file: Path | None = None
) -> DatabaseAccess:
    """Make the database, and its service's log-in role, which may bypass nothing; say how to reach them.

    `server` is a libpq connection string; what it leaves out comes from libpq's variables (PGHOST and the like), as
    anywhere, and the database it names is only where to ask when `database` is not there yet. `role` is `<database>_svc`
    where none is given. With `password_file` the role gets a generated password, kept there (0600); without, the server must
    trust whoever reaches its socket. Raises PlatformUnavailable.
    """
    import psycopg

    role = role or f"{database}_svc"
    for name in (database, role):
        if len(name.encode()) > _NAME_LIMIT:
            raise UsageError(
                f"{name!r} is too long for PostgreSQL ({_NAME_LIMIT} bytes): shorten the service or environment"
            )
    try:
        with session_in(server, database) as connection:
            password = _make_database(connection, database, role, password_file)
            owner = complete_conninfo(connection, database)
            service = _service_url(connection, database, role, password)
            programs = programs_of(connection.info.server_version // 10000)
        with psycopg.connect(service, connect_timeout=10):
            pass
    except psycopg.Error as error:
        raise PlatformUnavailable(
            f"database {database} cannot be prepared: {kept_text(str(error).strip(), WORDS_BYTES)}; check PGHOST, PGUSER, PGPASSWORD or database.url: "
            "the user must be allowed to create databases and roles, and the new role to log in"
        ) from error
    return DatabaseAccess(owner=owner, service=service, role=role, programs=programs)


def drop_database(administrator: str, database: str) -> None:
    """Drop what `prepare_database` made, where it is there. Raises PlatformUnavailable."""
    import psycopg
    from psycopg import sql

    try:
        with psycopg.connect(administrator, autocommit=True, connect_timeout=10) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))
            connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(f"{database}_svc")))
    except psycopg.Error as error:
        raise PlatformUnavailable(
            f"database {database} cannot be dropped: {kept_text(str(error).strip(), WORDS_BYTES)}"
        ) from error


def role_of(database: str, checkout: str) -> str:
    """The log-in role of one checkout's service in a database that others may use: `<database>_<checkout>_svc`, cut to fit."""
    rest = f"_{checkout}_svc"
    return database.encode()[: _NAME_LIMIT - len(rest)].decode(errors="ignore") + rest


@contextlib.contextmanager
def session_in(server: str, database: str) -> Iterator[psycopg.Connection[Any]]:
    """A session in the database where it is there, else in the server's own: an owner need not be let into any other."""
    import psycopg
    from psycopg.conninfo import make_conninfo

    def open_(name: str) -> psycopg.Connection[Any]:
        return psycopg.connect(make_conninfo(server, dbname=name), autocommit=True, connect_timeout=10)

    try:
        connection = open_(database)
    except psycopg.OperationalError as refused:
        try:
            connection = open_(_SERVERS_OWN)
        except psycopg.OperationalError:
            raise refused from None
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone():
            connection.close()
            connection = open_(database)  # it has been made meanwhile, or this says why nobody is let in
    with connection:
        yield connection


def _make_database(
    connection: psycopg.Connection[Any], database: str, role: str, password_file: Path | None
) -> str | None:
    from psycopg import sql

    connection.execute("SELECT pg_advisory_lock(%s)", [_MAKING_LOCK])
    made = not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    if made:
        attributes = sql.SQL("LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE")
        connection.execute(sql.SQL("CREATE ROLE {} {}").format(sql.Identifier(role), attributes))
    password = None
    if password_file is not None:
        known = password_file.exists()
        password = password_file.read_text(encoding="utf-8") if known else secrets.token_urlsafe(24)
        if made or not known:
            verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
            connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier)))
            write_private(password_file, password)
    if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone():
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
    if connection.execute("SELECT has_database_privilege(%s, %s, 'CONNECT')", [role, database]).fetchone() != (True,):
        names = (
            sql.Identifier(database),
            sql.Identifier(role),
        )  # who made the database lets nobody in but whom they name
        connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(*names))
    return password


def _service_url(connection: psycopg.Connection[Any], database: str, role: str, password: str | None) -> str:
    info = connection.info
    user = quote(role, safe="") + (f":{quote(password, safe='')}" if password else "")
    return url_of(user, info.host, info.port, database, info.get_parameters())


def url_of(user: str, host: str, port: int, database: str, given: Mapping[str, str]) -> str:
    """What a service is given: `user` as it stands in a URL; of what the owner's connection was `given`, how the server is trusted."""
    name = quote(database, safe="")
    if host.startswith("/"):
        return f"postgresql://{user}@/{name}?{urlencode({'host': host, 'port': port})}"
    trust = urlencode({key: given[key] for key in ("sslmode", "sslrootcert") if key in given}, quote_via=quote)
    at = f"[{host}]" if ":" in host else host
    return f"postgresql://{user}@{at}:{port}/{name}{f'?{trust}' if trust else ''}"
