"""Representative rows for a trial: a few in every table that takes them, never a real one.

Types and references say most of what a row must look like, and the words of a CHECK much of the rest; checks and triggers
are asked: several kinds of values are tried, each in a savepoint. A table that takes none of them is named, so that nobody believes that it was
tried with rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import sql

from pytest_deploy.migrate import sample_values
from pytest_deploy.migrate.session import Connection

_TABLES: Final = """
select c.oid::bigint, format('%I.%I', n.nspname, c.relname)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence <> 't'
  and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'deploy')
order by c.oid
"""
_COLUMNS: Final = """
with recursive base(oid, root) as (
    select oid, oid from pg_type where typtype <> 'd'
    union all
    select t.oid, b.root from pg_type t join base b on b.oid = t.typbasetype where t.typtype = 'd'
)
select quote_ident(a.attname), t.typcategory::text, format_type(t.oid, null), a.attnum::int,
       a.attnotnull, a.atthasdef or a.attidentity <> '',
       (select quote_literal(enumlabel) from pg_enum where enumtypid = t.oid order by enumsortorder limit 1),
       (select format('(select r.%%I from %%s r order by r.ctid limit 1)', f.attname, k.confrelid::regclass)
        from pg_constraint k
        join lateral unnest(k.conkey, k.confkey) pair(here, there) on pair.here = a.attnum
        join pg_attribute f on f.attrelid = k.confrelid and f.attnum = pair.there
        where k.conrelid = a.attrelid and k.contype = 'f' order by k.oid limit 1),
       array(select pg_get_constraintdef(k.oid) from pg_constraint k
             where k.contype = 'c' and ((k.conrelid = a.attrelid and a.attnum = any (k.conkey))
                                        or k.contypid in (select oid from base b where b.root = base.root and b.oid <> b.root))
             order by k.oid),
       case when t.typtype = 'c' then (select format('row(%%s)::%%s', string_agg(
                   case p.typcategory when 'N' then '1' when 'S' then '''a''' when 'B' then 'true' when 'D' then 'now()' else 'null' end
                   || '::' || format_type(x.atttypid, x.atttypmod), ', ' order by x.attnum), format_type(t.oid, null))
        from pg_attribute x join pg_type p on p.oid = x.atttypid
        where x.attrelid = t.typrelid and x.attnum > 0 and not x.attisdropped) end
from pg_attribute a join base on base.oid = a.atttypid join pg_type t on t.oid = base.root
where a.attrelid = %s and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and a.attidentity <> 'a'
order by a.attnum
"""
_BY_TYPE: Final[dict[str, tuple[str, ...]]] = {
    "bytea": ("sha256({unique}::text::bytea)", "decode(md5({unique}::text), 'hex')", "{unique}::text::bytea"),
    "uuid": ("gen_random_uuid()",),
    "json": ("'{{}}'",),
    "jsonb": ("'{{}}'",),
}
_BY_CATEGORY: Final[dict[str, tuple[str, ...]]] = {
    "N": ("1", "5", "100", "0", "{unique}", "{unique}", "{unique}", "{unique}"),
    "S": (
        "'sample ' || {unique}",
        "'s' || {unique}",
        "'s' || {unique} || '@example.org'",
        "lpad({unique}::text, 32, 'a')",
        "left(md5({unique}::text), 4)",
    ),
    "D": (  # later columns hold later times: most checks on two of them want that
        "(clock_timestamp() - interval '1 day' + {later} * interval '1 minute')::{type}",
        "(clock_timestamp() + {later} * interval '1 minute')::{type}",
        "(clock_timestamp() - interval '400 days' + {later} * interval '1 minute')::{type}",
    ),
    "B": ("false", "true"),
    "A": ("'{{}}'::{type}",),
    "I": ("'192.0.2.1'",),
    "T": ("'1 day'",),
    "R": ("'empty'",),
}
"""Expressions to try, by the letter of pg_type.typcategory."""


_ROWS_PER_TABLE: Final = 2
_KINDS: Final = 24
"""Of rows that are tried."""


@dataclass(frozen=True)
class _Column:
    """One column that an INSERT may name."""

    name: str
    category: str
    """pg_type.typcategory of the base type."""
    type: str
    number: int
    required: bool
    default: bool
    label: str | None
    """The first label of an enum, as a literal."""
    reference: str | None
    """A query for a value that its foreign key accepts."""
    checks: list[str]
    """Definitions of the CHECKs that name it, and of its domain's."""
    composite: str | None
    """A value of its composite type, with something in each attribute whose type is told by its category."""


def fill(connection: Connection, left_out: AbstractSet[str] = frozenset()) -> set[str]:
    """Add rows to every table that takes them but to some, in one transaction; returns the tables that took one."""
    return _fill(connection, left_out, _ROWS_PER_TABLE, (True, False))


def fill_sparse(connection: Connection) -> None:
    """Add one row to every table that takes one in which all is left out that may be."""
    _fill(connection, frozenset(), 1, (False,))


def _fill(connection: Connection, left_out: AbstractSet[str], number: int, full: tuple[bool, ...]) -> set[str]:
    filled: set[str] = set()
    with connection.transaction():
        connection.execute("set constraints all immediate")
        tables = connection.execute(_TABLES.encode()).fetchall()
        columns = {
            table: [_Column(*row) for row in connection.execute(_COLUMNS.encode(), (oid,))]
            for oid, table in tables
            if table not in left_out
        }
        waiting: list[str] = []
        left = list(columns)
        while left != waiting:  # a table that refers to another waits until that one has rows
            added = {table: _add(connection, table, columns[table], number, full) for table in left}
            filled.update(table for table, count in added.items() if count)
            waiting, left = left, [table for table in left if added[table] < number]
    return filled


def without_rows(connection: Connection) -> tuple[str, ...]:
    return tuple(table for table, rows in all_rows(connection).items() if not rows)


def _add(connection: Connection, table: str, columns: list[_Column], number: int, full: tuple[bool, ...]) -> int:
    """How many rows went in, `number` at the most."""
    added = 0
    for statement in _inserts(table, columns, full):
        try:
            with connection.transaction():
                connection.execute(statement.encode())
        except psycopg.Error:
            continue
        added += 1
        if added == number:
            break
    return added


def _inserts(table: str, columns: list[_Column], full: tuple[bool, ...]) -> Iterator[str]:
    """INSERT statements to try: with all columns, with those that must be given, or both; each is another row."""
    for every in full:
        chosen = [column for column in columns if every or (column.required and not column.default)]
        for kind in range(_KINDS):
            if not chosen:
                yield f"insert into {table} default values"
                continue
            names = ", ".join(column.name for column in chosen)
            values = ", ".join(_value(column, kind) for column in chosen)
            yield f"insert into {table} ({names}) values ({values})"  # noqa: S608 - names and literals of the server's own


def _value(column: _Column, kind: int) -> str:
    """An SQL expression of the column's type; `kind` chooses among what its checks may want."""
    if column.reference is not None:  # the same row for all columns of one reference: the newest, or the oldest
        return column.reference if kind % 2 else column.reference.replace("r.ctid", "r.ctid desc")
    if column.label is not None:
        return column.label
    guessed = sample_values.candidates(column.checks, column.category)
    composite: tuple[str, ...] = ()
    if column.composite is not None:
        composite = (column.composite.replace("{", "{{").replace("}", "}}"), "null")
    values: tuple[str, ...] = (
        *guessed,
        *composite,
        *(_BY_TYPE.get(column.type) or _BY_CATEGORY.get(column.category) or ()),
    )
    if not values:
        return "default" if column.default else "null"
    unique = f"((extract(epoch from clock_timestamp()) * 1000000)::bigint % 1000000000 + {kind})"
    return values[kind % len(values)].format(unique=unique, type=column.type, later=column.number)


def all_rows(connection: Connection) -> dict[str, Counter[str]]:
    """Every row of every table, as text."""
    query = sql.SQL("select to_jsonb(t)::text from {} t")
    return {
        table: Counter(row for (row,) in connection.execute(query.format(sql.SQL(table))))
        for _, table in connection.execute(_TABLES.encode()).fetchall()
    }


def minus(rows: dict[str, Counter[str]], others: dict[str, Counter[str]]) -> dict[str, Counter[str]]:
    """The rows of each table without those others."""
    return {table: own - others.get(table, Counter()) for table, own in rows.items()}


def missing_rows(before: dict[str, Counter[str]], after: dict[str, Counter[str]]) -> dict[str, int]:
    """How many rows of each table there were before and are not as they were after."""
    return {table: rows.total() for table, rows in minus(before, after).items() if rows}
