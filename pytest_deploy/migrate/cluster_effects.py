"""What migrations do to a whole server, found before it is done: by the words of their statements, else before the commit.

Roles, memberships, settings, databases, tablespaces and subscriptions are a server's, not a database's. What changes them in
a transaction is seen by that transaction alone: so what its own session sees and another does not is its doing, and nobody
else's. What cannot be in a transaction (CREATE DATABASE, ALTER SYSTEM) cannot stand in a function or in DO either: its words
tell. A role's password is nowhere to be read: a DO that changes one alone is not seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from pytest_deploy.errors import Fault, MigrationFailed, MigrationsRefused
from pytest_deploy.migrate.migration import Migration, Section
from pytest_deploy.migrate.session import Connection, Rows, rows_of
from pytest_deploy.migrate.statements import Statement, statements
from pytest_deploy.workspace import typed_path

_STATE: Final = """
select 'role', rolname::text, (to_jsonb(r) - 'rolconfig')::text from pg_roles r
union all
select 'membership', format('%s of %s', pg_get_userbyid(member), pg_get_userbyid(roleid)), (to_jsonb(m) - 'oid')::text from pg_auth_members m
union all
select 'setting', format('of %s', coalesce(r.rolname, d.datname, 'all')), to_jsonb(s)::text from pg_db_role_setting s
left join pg_roles r on r.oid = s.setrole left join pg_database d on d.oid = s.setdatabase
where d.datname is null or d.datname !~ '^deploy_scratch_'
union all
select 'database', datname::text, (to_jsonb(d) - 'datfrozenxid' - 'datminmxid')::text from pg_database d where datname !~ '^deploy_scratch_'
union all
select 'tablespace', spcname::text, to_jsonb(t)::text from pg_tablespace t
union all
select 'subscription', subname::text, concat(subdbid, subowner, subenabled) from pg_subscription
union all
select 'comment', format('on %s %s', classoid::regclass, objoid), description from pg_shdescription
union all
select 'label', format('on %s %s', classoid::regclass, objoid), label from pg_shseclabel
"""
_PARAMETER_RIGHTS: Final = "union all select 'parameter', parname, paracl::text from pg_parameter_acl"
_HAS_PARAMETER_RIGHTS: Final = 150000

_Effect = tuple[str, str, str]

_REMEDY: Final = (
    "have the trial run in a server of its own (database.trial: server, with the server programs of this version installed), or "
    "make it by hand before the release, and let the migration find it there"
)


class ServerChanged(MigrationFailed):
    """A migration that is tried beside the target changes the target's server; it was not committed."""


def refuse_effects(rows: Rows, outside: Connection) -> None:
    """Raises ServerChanged where the session behind `rows` has changed the server, and not committed it. `outside` is another session."""
    others = rows_of(outside)
    # What another session commits between the two looks is seen the second time by both.
    found = _difference(rows, others)
    if found:
        found &= _difference(rows, others)
    if found:
        shown = ", ".join(sorted({f"{kind} {name}" for kind, name, _ in found}))
        raise ServerChanged(
            f"it changes the server, where the trial may change nothing: {shown}; nothing was committed"
        )


def _difference(rows: Rows, others: Rows) -> set[_Effect]:
    return _state(rows) ^ _state(others)


def _state(rows: Rows) -> set[_Effect]:
    ((version,),) = rows("select current_setting('server_version_num')::int")
    query = f"{_STATE} {_PARAMETER_RIGHTS}" if version >= _HAS_PARAMETER_RIGHTS else _STATE
    return {(kind, name, definition) for kind, name, definition in rows(query)}


def refuse_named_effects(migrations: Sequence[Migration]) -> None:
    """Raises MigrationsRefused where a statement says that it changes the server, each with its file and line."""
    faults = [
        Fault(typed_path(section.path), section.line + statement.line - 1, "", problem, _REMEDY)
        for migration in migrations
        for section in (migration.up, migration.down)
        for statement, problem in _named(section)
    ]
    if faults:
        raise MigrationsRefused("trial beside the target", faults)


def _named(section: Section) -> Iterator[tuple[Statement, str]]:
    for statement in statements(section.sql):
        shown = " ".join(statement.words[:3])
        if statement.changes_server():
            yield statement, f"{shown} changes the server, and the trial runs beside the target, on its server"
        elif not section.transactional and statement.words[:1] in {("DO",), ("CALL",), ("SELECT",), ("WITH",)}:
            yield (
                statement,
                f"{shown} outside a transaction may change the server, and the trial, which runs there, cannot take it back",
            )
