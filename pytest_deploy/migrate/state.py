"""What a migration can change besides schema and rows: settings and rights of the database, sequences' values, and the like.

A trial compares it around each up and down, where nobody else is at work (REQ-o00044-F). The digest that a release is held to leaves
it out: a service that inserts rows moves sequences, and other people set what is the database's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

import psycopg
from psycopg import sql

from pytest_deploy.migrate.session import Connection, rows_of, server_message
from pytest_deploy.migrate.snapshot import Catalog

logger = logging.getLogger(__name__)

_RELATIONS: Final = """
select c.oid::bigint, format('%I.%I', n.nspname, c.relname), c.relkind::text, c.relfilenode::bigint,
       (select seqincrement from pg_sequence where seqrelid = c.oid)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'S') and c.relpersistence <> 't'
  and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'deploy')
order by 2
"""


@dataclass(frozen=True)
class Value:
    """Where a sequence stands."""

    oid: int
    file: int
    """The server's file of it: a restart makes another, what an insert takes does not."""
    step: int
    following: int
    """What it gives next."""
    logged: int
    """How many values it may give before it writes to the log: set to 0 by `setval`, and hardly ever 0 otherwise."""

    def took(self, later: Value, rows: int) -> bool:
        """Whether inserts of at most so many rows can have led from here to `later`."""
        taken, rest = divmod(later.following - self.following, self.step)
        return self.following == later.following or (self.file == later.file and not rest and 0 < taken <= rows)


@dataclass(frozen=True)
class State:
    """All of it at one moment."""

    catalog: Catalog
    sequences: Mapping[str, Value]
    rows: int
    """In all tables."""


@cache
def _query() -> str:
    return resources.files("pytest_deploy.migrate").joinpath("state.sql").read_text(encoding="utf-8")


def read_state(connection: Connection) -> State:
    """The state that `connection` sees now. Changes nothing."""
    rows = rows_of(connection)
    lines = [f"{kind} {identity} {definition}\n" for kind, identity, definition in rows(_query())]
    relations = connection.execute(_RELATIONS.encode()).fetchall()
    tables: list[sql.Composable] = [
        sql.SQL("(select count(*) from {})").format(sql.SQL(name)) for _, name, kind, *_ in relations if kind == "r"
    ]
    ((count,),) = connection.execute(
        sql.SQL("select {}").format(sql.SQL(" + ").join([sql.SQL("0"), *tables]))
    ).fetchall()
    sequences = {}
    for oid, name, kind, file, step in relations:
        if kind == "S":
            query = sql.SQL("select last_value, is_called, log_cnt from {}").format(sql.SQL(name))
            ((last, called, logged),) = connection.execute(query).fetchall()
            sequences[name] = Value(oid, file, step, last + step if called else last, logged)
    return State(Catalog("".join(lines)), sequences, int(count))


def not_restored(
    before: State, after: State, *, lossy: bool, between: tuple[State, State] | None = None
) -> Iterator[str]:
    """What of `before` an up and a down did not give back, a line each.

    `between` is the state before and after rows were made between the two. What inserts take from a sequence is no change of it, nor is a
    sequence made anew where a loss is declared.
    """
    for line in before.catalog.diff(after.catalog, "before", "after"):
        if not line.startswith(("---", "+++", "@@")):
            yield line.rstrip("\n")
    rows = max(before.rows, after.rows, *(state.rows for state in between or ()))
    for name, first in before.sequences.items():
        last = after.sequences.get(name)
        if last is None or first.took(last, rows) or (lossy and last.oid != first.oid):
            continue
        up, seeded = (state.sequences.get(name) for state in between or (after, after))
        if between is not None and up is not None and seeded is not None and up != seeded:
            # The rows took from it: what the down gave back is told by whether it did anything.
            if first.took(up, rows) and seeded.took(last, rows):
                continue
            if not first.took(up, rows) and seeded != last:
                continue
        yield f"sequence {name}: it gave {first.following} next, and now {last.following}"


def begin_like(source: Connection, scratch: Connection) -> None:
    """The scratch database's settings and rights become those of the source's, as far as this user may set them."""
    name = sql.Identifier(scratch.info.dbname)
    for setting, value, role in source.execute(
        "select split_part(one, '=', 1), substr(one, strpos(one, '=') + 1), nullif(setrole, 0)::regrole::text"
        " from pg_db_role_setting cross join unnest(setconfig) one"
        " where setdatabase = (select oid from pg_database where datname = current_database())"
    ).fetchall():
        whose = sql.SQL("database {}").format(name)
        if role is not None:
            whose = sql.SQL("role {} in database {}").format(sql.SQL(role), name)
        keep = sql.SQL("alter {} set {} from current").format(whose, sql.Identifier(*setting.split(".")))
        _try(scratch, [sql.SQL("select set_config({}, {}, false)").format(setting, value), keep])
    grants = [sql.SQL("revoke all on database {} from public").format(name)]
    for privilege, grantee, option in source.execute(
        "select privilege_type, case grantee when 0 then 'public' else grantee::regrole::text end,"
        " case when is_grantable then ' with grant option' else '' end"
        " from pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) where datname = current_database()"
    ).fetchall():
        words = (sql.SQL(privilege), name, sql.SQL(grantee), sql.SQL(option))
        grants.append(sql.SQL("grant {} on database {} to {}{}").format(*words))
    for grant in grants:
        _try(scratch, [grant])
    scratch.execute("reset all")


def _try(connection: Connection, statements: list[sql.Composed]) -> None:
    try:
        for statement in statements:
            connection.execute(statement)
    except psycopg.Error as error:
        logger.debug("the scratch database begins without it: %s", server_message(error))
