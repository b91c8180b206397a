"""A database that is there already: whether it answers, and whether the role that deploys has what it needs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from pytest_deploy.doctor.fact import Fact, Setup
from pytest_deploy.errors import UsageError


def existing_database(setup: Setup) -> Iterator[Fact]:
    """The server that deploy.yaml or PGHOST names answers, and its role may do what a deployment does there."""
    policy = setup.policy
    if policy is None or policy.database is None or setup.embedded_database:
        return
    import psycopg

    from pytest_deploy.platform.database_address import address_of, programs_of
    from pytest_deploy.platform.embedded.database import existing_database as found_database
    from pytest_deploy.platform.embedded.database import session_in
    from pytest_deploy.platform.embedded.places import Site

    try:
        url = address_of(policy.database) or ""
        found = found_database(url or None, Site(policy.environment, policy.service.name).database)
    except UsageError as error:
        yield Fact("database", "wrong", str(error))
        return
    name = found.name if found is not None else ""
    named = policy.database.url_variable or ("database.url" if url else f"PGHOST={os.environ.get('PGHOST', '')}")
    try:
        with session_in(url, name) as connection:
            version, lacking = connection.info.server_version // 10000, _lacking(connection)
            role, absent = connection.info.user, connection.info.dbname != name
    except psycopg.Error as error:
        fix = "check the address, PGUSER, and PGPASSWORD or ~/.pgpass; where the database is missing, make it"
        yield Fact(
            "database", "wrong", f"{named} does not let this user in: {str(error).strip().partition(chr(10))[0]}", fix
        )
        return
    if lacking:
        given = f"{role} lacks {' and '.join(lacking)}"
        yield Fact(
            "database",
            "wrong",
            f"{named}: {given}",
            f'an administrator types: alter role "{role}" {" ".join(lacking)};',
        )
    else:
        made = ", which the first deployment makes" if absent else ""
        yield Fact("database", "right", f"{named}: PostgreSQL {version}, database {name}{made}, as {role}")
    if programs_of(version) is None:
        yield Fact("pg_dump", "wrong", f"there is none of version {version}", f"install postgresql-client-{version}")


def _lacking(connection: Any) -> list[str]:
    """The rights that a deployment needs and this role does not have, as `alter role` names them."""
    row = connection.execute(
        "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user"
    ).fetchone()
    if row is None or row[0]:
        return []
    return [word for word, has in (("createdb", row[1]), ("createrole", row[2])) if not has]
