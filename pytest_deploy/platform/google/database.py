"""The database of an environment at Google: infrastructure makes it and its roles, and a deployment logs in to it.

It is reached at an address of PostgreSQL's own, as through the Cloud SQL Auth Proxy. The service's address is infrastructure's too,
a variable that refers to a secret or a connector of its own, so that no password stands in a revision.
"""

from __future__ import annotations

from psycopg import Error

from pytest_deploy.bounded_output import WORDS_BYTES, kept_text
from pytest_deploy.errors import PlatformUnavailable, UsageError
from pytest_deploy.platform.database_address import complete_conninfo, programs_of
from pytest_deploy.platform.protocol import DatabaseAccess
from pytest_deploy.policy.google import CloudSql

_ANSWER_S = 10


def database_access(address: str | None, sql: CloudSql | None) -> DatabaseAccess:
    """How to reach it. Raises UsageError where policy does not say, PlatformUnavailable where it does not answer."""
    import psycopg

    if address is None:
        raise UsageError(
            "the database's address is not said: name the variable that holds it in database.url_variable, e.g. of the Cloud SQL "
            "Auth Proxy on this machine, or say database: null"
        )
    if sql is None:
        raise UsageError("platform.google.sql is not said: give it {instance, service_role}, or say database: null")
    try:
        with psycopg.connect(address, autocommit=True, connect_timeout=_ANSWER_S) as connection:
            owner = complete_conninfo(connection, connection.info.dbname)
            programs = programs_of(connection.info.server_version // 10000)
            there = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [sql.service_role]).fetchone()
    except Error as error:
        raise PlatformUnavailable(
            f"the database does not let this run in: {kept_text(str(error).strip(), WORDS_BYTES)}; check that the Auth Proxy runs, and that the "
            "identity of this run has roles/cloudsql.client, roles/cloudsql.instanceUser and a log-in of its own"
        ) from None
    if there is None:
        raise PlatformUnavailable(
            f"the database has no role {sql.service_role}, which platform.google.sql.service_role names: infrastructure makes it (a user of the instance)"
        )
    return DatabaseAccess(owner=owner, service="", role=sql.service_role, programs=programs)
