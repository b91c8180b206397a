"""Rows that a way down takes with it, found before they go, and saved where only their owner reads them.

A table or column counts as lost when its own identity in the catalogs is gone after the downs, so a rename is no loss. Rows
are saved beside the backup; the record holds place, table, count and digest, never a row.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from psycopg import sql

from pytest_deploy.migrate.session import Connection, Rows
from pytest_deploy.migrate.statements import statements

_COLUMNS: Final = """
select c.oid::bigint, format('%I.%I', n.nspname, c.relname), a.attnum::int, a.attname::text,
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


@dataclass(frozen=True)
class Column:
    """A column that can hold data of its own."""

    table_id: int
    table: str
    """Qualified and quoted as SQL wants it."""
    number: int
    name: str
    key: bool
    """Whether it is part of the primary key."""


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
    """Rows."""
    sha256: str
    """Hex, of the file."""
    declared: bool
    """Whether the author declared the loss (`-- deploy:lossy`)."""


def columns(rows: Rows) -> frozenset[Column]:
    """Every column with data of its own, as this session sees it now."""
    return frozenset(Column(*row) for row in rows(_COLUMNS))


def losses(before: frozenset[Column], after: frozenset[Column]) -> tuple[Loss, ...]:
    """What of `before` is gone in `after`, by table."""
    kept = {(column.table_id, column.number) for column in after}
    tables = {column.table_id for column in after}
    dropped = sorted(
        (column for column in before if (column.table_id, column.number) not in kept),
        key=lambda column: (column.table, column.number),
    )
    lost = []
    for table_id, table in sorted({(column.table_id, column.table) for column in dropped}, key=lambda pair: pair[1]):
        names = tuple(column.name for column in dropped if column.table_id == table_id)
        own = sorted((column for column in before if column.table_id == table_id), key=lambda column: column.number)
        key = tuple(column.name for column in own if column.key and column.name not in names)
        lost.append(Loss(table_id, table, names, table_id not in tables, key))
    return tuple(lost)


def count_rows(connection: Connection, loss: Loss) -> int:
    """How many rows hold something in what is to go."""
    query = sql.SQL("select count(*) from {} where {}").format(sql.SQL(loss.table), _holds_something(loss))
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


def _holds_something(loss: Loss) -> sql.Composable:
    if loss.whole:
        return sql.SQL("true")
    return sql.SQL(" or ").join(sql.SQL("{} is not null").format(sql.Identifier(name)) for name in loss.columns)


def lock_tables(connection: Connection, lost: Sequence[Loss]) -> None:
    """Nobody writes to these tables until this transaction ends, so that no row is lost between saving and dropping."""
    for loss in lost:
        connection.execute(f"lock table {loss.table} in share row exclusive mode".encode())


def lock_empty_tables(connection: Connection, downs: Sequence[str]) -> frozenset[int]:
    """The tables that `downs` name as theirs to drop or to drop a column of, and that are empty; they stay so.

    Nobody writes to them from here to the end of this transaction. What is not named plainly is not found, and not held.
    """
    names = sorted({name for down in downs for name in _tables_dropped(down)})
    named = connection.execute(_TABLES_NAMED.encode(), (names,)).fetchall()
    if not named:
        return frozenset()
    tables = [sql.SQL(table) for _, table in named]
    connection.execute(sql.SQL("lock table {} in share row exclusive mode").format(sql.SQL(", ").join(tables)))
    empty = [sql.SQL("not exists (select from {})").format(table) for table in tables]
    ((answers,),) = connection.execute(sql.SQL("select array[{}]").format(sql.SQL(", ").join(empty))).fetchall()
    return frozenset(oid for (oid, _), is_empty in zip(named, answers, strict=True) if is_empty)


def _tables_dropped(down: str) -> Iterator[str]:
    for statement in statements(down):
        words = [word.lower() for word in statement.words if word not in {"IF", "EXISTS", "ONLY"}]
        if words[:2] == ["drop", "table"]:
            yield from words[2:]
        elif words[:2] == ["alter", "table"] and "drop" in words:
            yield from words[2:3]


def save_rows(connection: Connection, loss: Loss, into: Path, *, declared: bool) -> Saved:
    """The rows that go, as CSV with a head line, in a new file of mode 0600; on disk when this returns."""
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = into / f"lost-{secrets.token_hex(8)}.csv"
    names = loss.columns if loss.whole else (*loss.key, *loss.columns)
    chosen = sql.SQL(", ").join(map(sql.Identifier, names)) if loss.whole or loss.key else sql.SQL("*")
    query = sql.SQL("copy (select {} from {} where {}) to stdout (format csv, header)").format(
        chosen,
        sql.SQL(loss.table),
        _holds_something(loss),
    )
    digest = hashlib.sha256()
    try:
        with (
            os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file,
            connection.cursor() as cursor,
            cursor.copy(query) as copy,
        ):
            for piece in copy:
                digest.update(piece)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:  # half of the rows: they are in the database still
        path.unlink(missing_ok=True)
        raise
    return Saved(str(path), loss.table, loss.columns, count_rows(connection, loss), digest.hexdigest(), declared)
