"""What the service may do in the database: its log-in role becomes a member of a group role that migrations grant to.

The platform makes the log-in role, whose name depends on the environment; migrations cannot know it. They make a group role
(`create role parcels_app nologin`) and grant to that one. Membership is given after the migrations and before the service
starts. A rollback takes nothing back: what the group may do goes with the migrations that granted it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql

from pytest_deploy.errors import Failed, Refused
from pytest_deploy.migrate.session import Connection, server_message

_LOGIN: Final = "select rolcanlogin from pg_catalog.pg_roles where rolname = %s"
_TOO_MUCH: Final = """
with recursive reached (oid) as (
    select oid from pg_catalog.pg_roles where rolname = %s
    union
    select m.roleid from pg_catalog.pg_auth_members m join reached on m.member = reached.oid
)
select r.rolname, case
    when r.rolname = current_user then 'is the role that runs the migrations'
    when r.oid = (select datdba from pg_catalog.pg_database where datname = current_database()) then 'owns the database'
    when r.rolsuper then 'is a superuser'
    when r.rolbypassrls then 'bypasses row-level security'
    when r.rolcreaterole then 'may make roles'
    when r.rolcreatedb then 'may make databases'
    when r.rolreplication then 'may replicate'
    else 'is one of PostgreSQL''s own'
end
from reached join pg_catalog.pg_roles r on r.oid = reached.oid
where r.rolsuper or r.rolbypassrls or r.rolcreaterole or r.rolcreatedb or r.rolreplication or r.rolname ~ '^pg_'
   or r.rolname = current_user
   or r.oid = (select datdba from pg_catalog.pg_database where datname = current_database())
order by 1 limit 1
"""
_HAS: Final = (
    "select pg_catalog.pg_has_role(%s::name, %s::name, 'member'), pg_catalog.pg_has_role(%s::name, %s::name, 'usage')"
)


@dataclass(frozen=True)
class Membership:
    """The service's role in its group."""

    role: str
    group: str
    granted: bool
    """Whether it was given now; False where it was there."""


def admit(connection: Connection, role: str, group: str) -> Membership:
    """Make the log-in role `role` a member of `group`, with the group's rights; where it is one already, nothing changes.

    Raises Refused where there is no such group, or one whose members could do more than a service should, or where the right
    to admit is missing; Failed where a membership gives no rights. Nothing was changed then.
    """
    # 1. The group is there, and gives no more than what is granted to it.
    found = connection.execute(_LOGIN, [group]).fetchone()
    if found is None:
        raise Refused(
            f"database.service_group: there is no role {group}; have a migration make it and grant to it: "
            f"`create role {_quoted(group, connection)} nologin`"
        )
    if found[0]:
        raise Refused(
            f"database.service_group: {group} may log in, so it is somebody's own role; name a group role, or make it one: "
            f"`alter role {_quoted(group, connection)} nologin`"
        )
    too_much = connection.execute(_TOO_MUCH, [group]).fetchone()
    if too_much is not None:
        raise Refused(
            f"database.service_group: members of {group} could act as {too_much[0]}, which {too_much[1]}: "
            "a service gets what it needs granted, and no more; name a group without that"
        )
    # 2. Admit it, and look whether the rights have come.
    if _has(connection, role, group)[1]:
        return Membership(role, group, granted=False)
    names = {"group": sql.Identifier(group), "role": sql.Identifier(role)}
    statement = sql.SQL("grant {group} to {role}").format(**names)
    try:
        with connection.transaction():
            connection.execute(statement)
            inherits = _has(connection, role, group)[1]
            if not inherits:
                raise Failed(
                    f"database.service_group: {role} is a member of {group} and does not inherit its rights; whoever administers "
                    f"the server runs `alter role {_quoted(role, connection)} inherit`, and gives the membership again where it "
                    "was given `with inherit false`"
                )
        return Membership(role, group, granted=True)
    except psycopg.errors.InsufficientPrivilege as error:
        reason = server_message(error)
    raise Refused(
        f"database.service_group: {connection.info.user} may not admit anybody to {group} ({reason}): it did not make the role. "
        f"Whoever did runs once `{statement.as_string(connection)}`, or, that each deployment may do so, "
        f"`grant {_quoted(group, connection)} to {_quoted(connection.info.user, connection)} with admin option`"
    )


def _has(connection: Connection, role: str, group: str) -> Any:
    return connection.execute(_HAS, [role, group, role, group]).fetchone()


def _quoted(name: str, connection: Connection) -> str:
    return sql.Identifier(name).as_string(connection)
