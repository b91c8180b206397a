"""Who administers an environment's database, as the database says itself."""

from __future__ import annotations

from typing import Final

from pytest_deploy.platform.clients import Database
from pytest_deploy.platform.protocol import DatabaseAccess

_HELD: Final = """
    select login.rolname, array_agg(distinct "right" order by "right")
    from pg_roles as login
    join pg_roles as held
        on held.oid = login.oid or (not login.rolsuper and pg_has_role(login.oid, held.oid, 'MEMBER'))
    join pg_database as here on here.datname = current_database()
    cross join lateral unnest(array[
        case when held.rolsuper then 'superuser' end,
        case when held.rolcreaterole then 'createrole' end,
        case when held.rolbypassrls then 'bypassrls' end,
        case when held.oid = here.datdba then 'owner' end,
        case when held.rolname in ('pg_write_all_data', 'pg_write_server_files', 'pg_execute_server_program')
            then held.rolname end
    ]) as "right"
    where login.rolcanlogin and "right" is not null
    group by login.rolname
    order by login.rolname
"""
"""What a role holds, or a role that it can become by SET ROLE: a superuser is a member of each, and is told by its own rights."""


def database_administrators(access: DatabaseAccess) -> dict[str, tuple[str, ...]]:
    """The roles that log in with an administrator's rights, each with those. Raises PlatformUnavailable, psycopg.Error."""
    with Database(access).connect() as connection:
        return {str(role): tuple(rights) for role, rights in connection.execute(_HELD.encode()).fetchall()}
