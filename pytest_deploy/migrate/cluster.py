"""What of a server belongs to no database, read by anybody who may log in, and made anew in a server of the trial's own.

Roles (names, attributes, memberships; no passwords), their settings, the database's own settings, rights, encoding, locale
and owner, tablespaces, and the extensions that no migration makes: with them the migrations run as they will, by the
same-named owner with no more rights than it has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg import sql

from pytest_deploy.migrate.session import Connection
from pytest_deploy.migrate.statements import statements

_ROLES: Final = """
select rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls
from pg_roles where oid >= 16384 order by oid
"""
_ATTRIBUTES: Final = ("superuser", "inherit", "createrole", "createdb", "login", "replication", "bypassrls")
_MEMBERS: Final = """
select granted.rolname, member.rolname, bool_or(m.admin_option),
       bool_or((to_jsonb(m) ->> 'inherit_option')::bool), bool_or((to_jsonb(m) ->> 'set_option')::bool)
from pg_auth_members m join pg_roles granted on granted.oid = m.roleid join pg_roles member on member.oid = m.member
where m.member >= 16384 group by 1, 2 order by 1, 2
"""
_SETTINGS: Final = """
select r.rolname, s.setdatabase <> 0, array(select one from unnest(s.setconfig) one where one !~ '_preload_libraries=')
from pg_db_role_setting s left join pg_roles r on r.oid = s.setrole
where s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
"""
"""Without libraries that sessions load: they need not be here, and then nobody could log in."""
_DATABASE: Final = """
select datname, pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype,
       to_jsonb(d) ->> 'datlocprovider',
       coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale')
from pg_database d where datname = current_database()
"""
_RIGHTS: Final = """
select item::text, (select array_agg(pg_get_userbyid(role)) from unnest(array[a.grantor, nullif(a.grantee, 0)]) role where role is not null)
from pg_database d, unnest(d.datacl) item, lateral (select * from aclexplode(array[item]) limit 1) a where d.datname = current_database()
"""
_TABLESPACES: Final = """
select spcname, pg_get_userbyid(spcowner) from pg_tablespace where spcname not in ('pg_default', 'pg_global') order by 1
"""
_EXTENSIONS: Final = """
select e.extname, e.extversion, n.nspname, pg_get_userbyid(e.extowner)
from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname <> 'plpgsql' order by e.oid
"""

_PARAMETERS: Final = """
select name, setting from pg_settings where source in ('configuration file', 'command line', 'environment variable')
  and name in ('DateStyle', 'IntervalStyle', 'TimeZone', 'default_text_search_config', 'default_transaction_isolation',
               'max_locks_per_transaction', 'standard_conforming_strings', 'statement_timeout', 'transform_null_equals')
"""
"""What the server's own configuration says that changes what SQL means, or how much of it goes into one transaction."""


@dataclass(frozen=True)
class Extension:
    name: str
    version: str
    schema: str
    owner: str


@dataclass(frozen=True)
class Cluster:
    """A server as far as one database's migrations meet it."""

    major: int
    superuser: str
    """The role that the server began with."""
    user: str
    """Who runs the migrations."""
    roles: tuple[tuple[str, dict[str, bool]], ...]
    members: tuple[tuple[str, str, dict[str, bool]], ...]
    """Role, member, options of the membership."""
    settings: tuple[tuple[str | None, bool, list[str]], ...]
    """Of a role or of all, in this database alone or in all, each `name=value`."""
    database: str
    owner: str
    encoding: str
    locale: Mapping[str, str]
    """Options of CREATE DATABASE."""
    rights: tuple[tuple[str, tuple[str, ...]], ...]
    """Each right on the database as PostgreSQL writes it, with the roles in it."""
    tablespaces: tuple[tuple[str, str], ...]
    """Name, owner."""
    extensions: tuple[Extension, ...]
    available: frozenset[str]
    """Extensions that can be made there."""
    parameters: Mapping[str, str]
    """Of the server's configuration."""


def read_cluster(connection: Connection) -> Cluster:
    """The server behind a session, and its database. Needs no right but to log in."""

    def rows(query: str) -> list[Any]:
        return connection.execute(query.encode()).fetchall()

    ((superuser, user),) = rows("select rolname, session_user from pg_roles where oid = 10")
    ((database, owner, encoding, collate, ctype, provider, locale),) = rows(_DATABASE)
    options = {"lc_collate": collate, "lc_ctype": ctype}
    if provider is not None:  # PostgreSQL 15 and later
        kind = {"c": "libc", "i": "icu", "b": "builtin"}[provider]
        options |= {"locale_provider": kind} | ({} if provider == "c" else {f"{kind}_locale": locale})
    return Cluster(
        major=connection.info.server_version // 10000,
        superuser=superuser,
        user=user,
        roles=tuple((name, dict(zip(_ATTRIBUTES, has, strict=True))) for name, *has in rows(_ROLES)),
        members=tuple(
            (role, member, {"admin": admin, **({} if inherit is None else {"inherit": inherit, "set": by_set})})
            for role, member, admin, inherit, by_set in rows(_MEMBERS)
        ),
        settings=tuple(tuple(row) for row in rows(_SETTINGS)),
        database=database,
        owner=owner,
        encoding=encoding,
        locale=options,
        rights=tuple((item, tuple(roles)) for item, roles in rows(_RIGHTS)),
        tablespaces=tuple(tuple(row) for row in rows(_TABLESPACES)),
        extensions=tuple(Extension(*row) for row in rows(_EXTENSIONS)),
        available=frozenset(name for (name,) in rows("select name from pg_available_extensions")),
        parameters=dict(rows(_PARAMETERS)),
    )


# --- Made anew. Every name is quoted; what has no name's place is a parameter.


def make_roles(
    connection: Connection, cluster: Cluster, but: Iterable[str] = (), but_spaces: Iterable[str] = ()
) -> None:
    """All roles of `cluster` but some, as they are there, with tablespaces; what is there already becomes so. By a superuser."""
    left_out = frozenset(but)
    there = {name for (name,) in connection.execute("select rolname from pg_roles")}
    for name, attributes in cluster.roles:
        if name in left_out:
            continue
        if name not in there:
            connection.execute(sql.SQL("create role {}").format(sql.Identifier(name)))
            there.add(name)
        words = " ".join(word if has else f"no{word}" for word, has in attributes.items())
        connection.execute(sql.SQL("alter role {} with {}").format(sql.Identifier(name), sql.SQL(words)))
    for role, member, options in cluster.members:
        if {role, member} <= there:
            connection.execute(_grant(role, member, options))
    connection.execute("set allow_in_place_tablespaces = on")
    made = {*but_spaces, *(name for (name,) in connection.execute("select spcname from pg_tablespace"))}
    for name, owner in cluster.tablespaces:
        if name not in made and owner in there:
            names = sql.Identifier(name), sql.Identifier(owner)
            connection.execute(sql.SQL("create tablespace {} owner {} location ''").format(*names))


def _grant(role: str, member: str, options: Mapping[str, bool]) -> sql.Composed:
    grant = sql.SQL("grant {} to {}").format(sql.Identifier(role), sql.Identifier(member))
    if "inherit" in options:  # PostgreSQL 16 and later
        return grant + sql.SQL(" with " + ", ".join(f"{option} {has}" for option, has in options.items()))
    return grant + sql.SQL(" with admin option") if options["admin"] else grant


def make_database(connection: Connection, cluster: Cluster) -> None:
    """An empty database of the same name, owner, encoding and locale. By a superuser, in another database."""
    connection.execute(sql.SQL("drop database if exists {}").format(sql.Identifier(cluster.database)))
    options = sql.SQL(" ").join(
        sql.SQL("{} {}").format(sql.SQL(name), sql.Literal(value))
        for name, value in (("encoding", cluster.encoding), *cluster.locale.items())
    )
    names = sql.Identifier(cluster.database), sql.Identifier(cluster.owner)
    connection.execute(sql.SQL("create database {} owner {} template template0 {}").format(*names, options))


def copy_settings(connection: Connection, cluster: Cluster) -> None:
    """Settings of roles and of the database, and rights on it, for the roles that are there. By a superuser, in the database.

    They are copied as the catalogs hold them: no statement says all that may stand there.
    """
    there = {name for (name,) in connection.execute("select rolname from pg_roles")}
    with connection.transaction():
        connection.execute("set local allow_system_table_mods = on")
        connection.execute("delete from pg_db_role_setting")
        for role, here, settings in cluster.settings:
            if settings and (role is None or role in there):
                connection.execute(
                    "insert into pg_db_role_setting select case when %s then d.oid else 0 end,"
                    " coalesce((select oid from pg_roles where rolname = %s), 0), %s::text[]"
                    " from pg_database d where d.datname = current_database()",
                    (here, role, settings),
                )
        if cluster.rights:
            rights = [item for item, roles in cluster.rights if there.issuperset(roles)]
            connection.execute(
                "update pg_database set datacl = %s::text[]::aclitem[] where datname = current_database()", (rights,)
            )


def make_extensions(connection: Connection, cluster: Cluster, but: Iterable[str] = ()) -> None:
    """All extensions of `cluster` but some, of the same version and owner. By a superuser, in the database."""
    left_out = frozenset(but)
    for one in cluster.extensions:
        if one.name in left_out:
            continue
        connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(one.schema)))
        names = sql.Identifier(one.name), sql.Identifier(one.schema), sql.Literal(one.version)
        connection.execute(sql.SQL("create extension {} schema {} version {}").format(*names))
        with connection.transaction():
            connection.execute("set local allow_system_table_mods = on")
            connection.execute(
                "update pg_extension set extowner = r.oid from pg_roles r where extname = %s and r.rolname = %s",
                (one.name, one.owner),
            )


# --- What the migrations make themselves, by their words: it is not there before they have run.

_COMMENT: Final = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_NAME: Final = r"""(?P<name>"(?:[^"]|"")+"|[^\W\d][\w$]*)"""


_GUARD: Final = re.compile(r"\bexists\b|\bduplicate_object\b", re.IGNORECASE)
"""What stands in a statement that makes something only where it is not there."""


def names_made(kind: str, texts: Sequence[str], *, guarded: bool = False) -> frozenset[str]:
    """Names after `create KIND` in SQL, also inside DO; `kind` is a pattern, e.g. `extension`.

    Where a statement makes it only if it is not there, its names are left out but with `guarded`.
    """
    create = re.compile(rf"\bcreate\s+(?:{kind})\s+(?:if\s+not\s+exists\s+)?{_NAME}", re.IGNORECASE)
    found = [
        match["name"]
        for text in texts
        for statement in _one_by_one(text)
        if guarded or not _GUARD.search(statement)
        for match in create.finditer(statement)
    ]
    return frozenset(name[1:-1].replace('""', '"') if name.startswith('"') else name.lower() for name in found)


def _one_by_one(text: str) -> list[str]:
    """The statements of a section, without comments."""
    begins = [each.start for each in statements(text)]
    pieces = (text[begin:end] for begin, end in zip(begins, (*begins[1:], len(text)), strict=False))
    return [_COMMENT.sub(" ", piece) for piece in pieces]


def missing_extensions(connection: Connection, cluster: Cluster, texts: Sequence[str]) -> tuple[str, ...]:
    """Extensions that the database or the migrations have, that its server can make, and this session's server cannot."""
    here = {
        (name, version)
        for name, version in connection.execute("select name, version from pg_available_extension_versions")
    }
    names = {name for name, _ in here}
    wanted = names_made("extension", texts, guarded=True) & cluster.available
    missing = {name for name in wanted if name not in names}
    missing |= {f"{one.name} {one.version}" for one in cluster.extensions if (one.name, one.version) not in here}
    return tuple(sorted(missing))
