"""`python -m diary.grant`: let the role the service logs in as act as `diary_app`.

DATABASE_URL is the owner's; SERVICE_ROLE is the role's name. Doing it again changes nothing. A role that row-level
security would not bind is refused. Exit status: 0 done, 1 refused, 2 the environment is not valid.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import psycopg
from psycopg import sql


class GrantRefusedError(Exception):
    """The role is not there, or row-level security would not bind it."""


def grant(connection: psycopg.Connection[Any], role: str) -> bool:
    """Make `role` a member of diary_app; False where it was one already. Raises GrantRefusedError."""
    found = connection.execute(
        """select rolsuper or rolbypassrls,
                  pg_has_role(oid, (select relowner from pg_class where oid = 'diary.entry'::regclass), 'member'),
                  exists (select from pg_auth_members where member = pg_roles.oid and roleid = 'diary_app'::regrole)
           from pg_roles where rolname = %s""",
        [role],
    ).fetchone()
    if found is None:
        raise GrantRefusedError(f"there is no role {role!r}: create it first, without SUPERUSER and BYPASSRLS")
    unbound, owner, member = found
    if unbound or owner:
        raise GrantRefusedError(f"row-level security does not bind {role!r}: the service needs a role without rights")
    if not member:
        connection.execute(sql.SQL("grant diary_app to {}").format(sql.Identifier(role)))
    return not member


def main() -> int:
    """Grant, and print what was done as JSON."""
    url, role = os.environ.get("DATABASE_URL", ""), os.environ.get("SERVICE_ROLE", "")
    if not url or not role:
        print("DATABASE_URL (the owner's) and SERVICE_ROLE are both needed", file=sys.stderr)
        return 2
    try:
        with psycopg.connect(url) as connection:
            granted = grant(connection, role)
    except GrantRefusedError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps({"role": role, "granted": granted}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
