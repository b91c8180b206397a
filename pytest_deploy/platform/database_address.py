"""Addresses of a database that is there already: what policy says, the whole of a connection's, and the programs of its server's version."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_deploy.errors import PlatformUnavailable, UsageError
from pytest_deploy.policy.rollout import Database
from pytest_deploy.policy.types import URL_IS, url_fault
from pytest_deploy.record import programs as trusted_programs

if TYPE_CHECKING:
    import psycopg  # not imported where only the server is wanted: the supervisor starts faster without it

_KEPT_PARAMETERS: Final = ("user", "options", "sslmode", "sslrootcert", "sslcert", "sslkey", "channel_binding")
"""What is kept of the parameters a connection was made with: those that older clients know, too."""


def address_of(asked: Database | None) -> str | None:
    """The address of the database that deploy.yaml gives, itself or by the variable that it names; None where it gives none.

    Raises UsageError, without a word of the value, where that variable holds no address.
    """
    if asked is None or asked.url_variable is None:
        return None if asked is None else asked.url
    value = os.environ.get(asked.url_variable, "").strip()
    if fault := url_fault(value) if value else "is not set":
        raise UsageError(
            f"the environment variable {asked.url_variable}, which database.url_variable names, {fault}; right is {URL_IS}"
        )
    return value


def complete_conninfo(connection: psycopg.Connection[Any], database: str) -> str:
    """The connection's own string to another database, complete: it no longer depends on anybody's variables."""
    from psycopg.conninfo import make_conninfo

    info = connection.info
    given = info.get_parameters()
    parameters: dict[str, str | int] = {name: given[name] for name in _KEPT_PARAMETERS if name in given}
    parameters.update(host=info.host, port=info.port, dbname=database)
    if info.password:
        parameters["password"] = info.password
    return make_conninfo("", **parameters)


def programs_of(major: int) -> Path | None:
    """The folder of pg_dump and the like of a server's major version: the system's or policy's, Debian's, the wheel's; None: there is none."""
    from pytest_deploy.platform.embedded.postgres import embedded_programs, major_version

    candidates = [path.parent for path in trusted_programs.places("pg_dump")]
    candidates.append(Path(f"/usr/lib/postgresql/{major}/bin"))
    with contextlib.suppress(PlatformUnavailable):
        candidates.append(embedded_programs())
    return next((folder for folder in candidates if major_version(folder / "pg_dump") == major), None)
