"""Rows that a way down takes with it, found before they go, and saved where only their owner reads them.

A table or column counts as lost when its own identity in the catalogs is gone after the downs, so a rename is no loss. Rows
are saved beside the backup; the record holds place, table, count and digest, never a row.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

from psycopg import sql

from pytest_deploy.migrate.backup import private_file
from pytest_deploy.migrate.session import Connection
from pytest_deploy.migrate.statements import statements

_COLUMNS: Final = """
select format('%I.%I', n.nspname, c.relname), c.oid::bigint, a.attnum::int, a.attname::text,
       coalesce(a.attnum = any (p.conkey), false)
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid
left join pg_constraint p on p.conrelid = c.oid and p.contype = 'p'
where c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence <> 't'
  and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'deploy')
  and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
order by c.oid, a.attnum
"""

_TABLES_NAMED: Final = """
select distinct c.oid::bigint, format('%%I.%%I', n.nspname, c.relname)
from unnest(%s::text[]) name join pg_class c on c.oid = to_regclass(name) join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p')
order by 2
"""


@dataclass(frozen=True, order=True)
class Column:
    """A column that can hold data of its own."""

    table: str
    """Qualified and quoted as SQL wants it."""
    table_id: int
    number: int
    name: str
    in_key: bool


@dataclass(frozen=True)
class Loss:
    """Columns of one table that a way down drops."""

    table_id: int
    table: str
    columns: tuple[str, ...]
    whole: bool
    """Whether the table goes altogether."""
    key: tuple[str, ...]
    """The primary key's columns that stay, to find the rows again."""


@dataclass(frozen=True)
class Saved:
    """What was lost, and where it lies now."""

    place: str
    table: str
    columns: tuple[str, ...]
    count: int
    sha256: str
    """Hex, of the file."""


def columns(connection: Connection) -> frozenset[Column]:
    """Every column with data of its own, as this session sees it now."""
    return frozenset(Column(*row) for row in connection.execute(_COLUMNS.encode()))


def losses(before: frozenset[Column], after: frozenset[Column]) -> tuple[Loss, ...]:
    """What of `before` is gone in `after`, by table."""
    kept = {(column.table_id, column.number) for column in after}
    tables = {column.table_id for column in after}
    lost = []
    for table_id, columns_of in groupby(sorted(before), key=lambda column: column.table_id):
        own = list(columns_of)
        names = tuple(column.name for column in own if (table_id, column.number) not in kept)
        if names:
            key = tuple(column.name for column in own if column.in_key and column.name not in names)
            lost.append(Loss(table_id, own[0].table, names, table_id not in tables, key))
    return tuple(lost)


def count_rows(connection: Connection, loss: Loss) -> int:
    """How many rows hold something in what is to go."""
    query = sql.SQL("select count(*) from {} where {}").format(sql.SQL(loss.table), _holds_something(loss))
    ((count,),) = connection.execute(query).fetchall()
    return int(count)


def _holds_something(loss: Loss) -> sql.Composable:
    if loss.whole:
        return sql.SQL("true")
    return sql.SQL(" or ").join(sql.SQL("{} is not null").format(sql.Identifier(name)) for name in loss.columns)


def lock_tables(connection: Connection, tables: Iterable[str]) -> None:
    """Nobody writes to these tables until this transaction ends, so that no row is lost between saving and dropping."""
    connection.execute(f"lock table {', '.join(tables)} in share row exclusive mode".encode())


def lock_empty_tables(connection: Connection, downs: Sequence[str]) -> frozenset[int]:
    """The tables that `downs` name as theirs to drop or to drop a column of, and that are empty; they stay so.

    Nobody writes to them from here to the end of this transaction. What is not named plainly is not found, and not held.
    """
    names = sorted({name for down in downs for name in _tables_dropped(down)})
    named = connection.execute(_TABLES_NAMED.encode(), (names,)).fetchall()
    if not named:
        return frozenset()
    lock_tables(connection, (table for _, table in named))
    empty = ", ".join(f"not exists (select from {table})" for _, table in named)
    (answers,) = connection.execute(f"select {empty}".encode()).fetchall()
    return frozenset(oid for (oid, _), is_empty in zip(named, answers, strict=True) if is_empty)


def _tables_dropped(down: str) -> Iterator[str]:
    for statement in statements(down):
        words = [word.lower() for word in statement.words if word not in {"IF", "EXISTS", "ONLY"}]
        if words[:2] == ["drop", "table"]:
            yield from words[2:]
        elif words[:2] == ["alter", "table"] and "drop" in words:
            yield from words[2:3]


def save_rows(connection: Connection, loss: Loss, into: Path) -> Saved:
    """The rows that go, as CSV with a head line, in a new file of mode 0600; on disk when this returns."""
    path = into / f"lost-{secrets.token_hex(8)}.csv"
    names = loss.columns if loss.whole else (*loss.key, *loss.columns)
    chosen = sql.SQL(", ").join(map(sql.Identifier, names)) if loss.whole or loss.key else sql.SQL("*")
    query = sql.SQL("copy (select {} from {} where {}) to stdout (format csv, header)").format(
        chosen,
        sql.SQL(loss.table),
        _holds_something(loss),
    )
    digest = hashlib.sha256()
    with private_file(path) as file, connection.cursor() as cursor, cursor.copy(query) as copy:
        for piece in copy:
            digest.update(piece)
            file.write(piece)
    return Saved(str(path), loss.table, loss.columns, count_rows(connection, loss), digest.hexdigest())
