"""The environment's database and the role of its service: made where they are absent, never changed where they are there."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import subprocess
from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pytest_deploy.errors import PlatformUnavailable, UsageError
from pytest_deploy.platform.embedded.places import write_text
from pytest_deploy.platform.embedded.server import embedded_programs
from pytest_deploy.platform.protocol import DatabaseAccess

_NAME_LIMIT = 63
"""Bytes of a PostgreSQL name."""

_KEPT = ("user", "options", "sslmode", "sslrootcert", "sslcert", "sslkey", "channel_binding")
"""What is kept of the parameters a connection was made with: those that older clients know, too."""

_LOCK = 0x70796465
"""Advisory lock under which databases and roles are made; CREATE DATABASE has no IF NOT EXISTS."""


def prepare(administrator: str, database: str, *, password_file: Path | None = None) -> DatabaseAccess:
    """Make the database and the log-in role `<database>_svc`, which may bypass nothing; say how to reach them.

    `administrator` is a libpq connection string; what it leaves out comes from libpq's variables (PGHOST and the like), as
    anywhere. With `password_file` the role gets a generated password, kept there (0600); without, the server must trust
    whoever reaches its socket. Raises PlatformUnavailable.
    """
    role = f"{database}_svc"
    if len(role) > _NAME_LIMIT:
        raise UsageError(
            f"{role!r} is too long for PostgreSQL ({_NAME_LIMIT} bytes): shorten the service or environment"
        )
    try:
        with psycopg.connect(administrator, autocommit=True, connect_timeout=10) as connection:
            password = _make(connection, database, role, password_file)
            owner = _frozen(connection, database)
            service = _service_url(connection, database, role, password)
            programs = programs_of(connection.info.server_version // 10000)
        with psycopg.connect(service, connect_timeout=10):
            pass
    except psycopg.Error as error:
        raise PlatformUnavailable(
            f"database {database} cannot be prepared: {str(error).strip()}; check PGHOST, PGUSER, PGPASSWORD or database.url: "
            "the user must be allowed to create databases and roles, and the new role to log in"
        ) from error
    return DatabaseAccess(owner=owner, service=service, role=role, programs=programs)


def _make(connection: psycopg.Connection, database: str, role: str, password_file: Path | None) -> str | None:
    connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
    if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
        attributes = sql.SQL("LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE")
        connection.execute(sql.SQL("CREATE ROLE {} {}").format(sql.Identifier(role), attributes))
    password = None
    if password_file is not None:
        if password_file.exists():
            password = password_file.read_text(encoding="utf-8")
        else:
            password = secrets.token_urlsafe(24)
            verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
            connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier)))
            write_text(password_file, password)
    if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone():
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
    connection.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
    return password


def _frozen(connection: psycopg.Connection, database: str) -> str:
    """The connection's own string to another database, complete: it no longer depends on anybody's variables."""
    info = connection.info
    asked = info.get_parameters()
    parameters: dict[str, str | int] = {name: asked[name] for name in _KEPT if name in asked}
    parameters.update(host=info.host, port=info.port, dbname=database)
    if info.password:
        parameters["password"] = info.password
    return make_conninfo("", **parameters)


def _service_url(connection: psycopg.Connection, database: str, role: str, password: str | None) -> str:
    info = connection.info
    user = quote(role, safe="") + (f":{quote(password, safe='')}" if password else "")
    if info.host.startswith("/"):
        return f"postgresql://{user}@/{quote(database)}?{urlencode({'host': info.host, 'port': info.port})}"
    mode = info.get_parameters().get("sslmode")
    return f"postgresql://{user}@{info.host}:{info.port}/{quote(database)}{f'?sslmode={mode}' if mode else ''}"


def programs_of(major: int) -> Path | None:
    """The folder of pg_dump and the like of a server's major version: on PATH, Debian's, the wheel's; None: there is none."""
    on_path = shutil.which("pg_dump")
    candidates = [Path(on_path).parent] if on_path else []
    candidates.append(Path(f"/usr/lib/postgresql/{major}/bin"))
    with contextlib.suppress(PlatformUnavailable):
        candidates.append(embedded_programs())
    return next((folder for folder in candidates if _major(folder / "pg_dump") == major), None)


def _major(program: Path) -> int | None:
    """Of `pg_dump (PostgreSQL) 18.6 (Debian ...)`: 18."""
    if not program.exists():
        return None
    words = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()
    return int(words[2].partition(".")[0])
