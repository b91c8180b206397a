"""Rows that a way down took and saved, put back into their table: all of a file or none, and never over a row that is there."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from psycopg import sql

from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.migrate.session import Connection, attempt, connect, sole_runner

_TARGET: Final = """
select c.oid::bigint, format('%%I.%%I', n.nspname, c.relname)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.oid = to_regclass(%s) and c.relkind in ('r', 'p')
"""
_COLUMNS: Final = """
select attname::text, attgenerated <> '' from pg_attribute
where attrelid = %s and attnum > 0 and not attisdropped order by attnum
"""
_KEYS: Final = """
select (select array_agg(a.attname::text order by k.place)
        from unnest(i.indkey::int[]) with ordinality k(attnum, place)
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum where k.place <= i.indnkeyatts)
from pg_index i
where i.indrelid = %s and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null
order by not i.indisprimary, i.indexrelid
"""
_SEQUENCES: Final = """
select attname::text, pg_get_serial_sequence(%s, attname) from pg_attribute
where attrelid = %s and attnum > 0 and not attisdropped and pg_get_serial_sequence(%s, attname) is not null
"""
_PIECE: Final = 1 << 20


@dataclass(frozen=True)
class Restored:
    table: str
    count: int
    generated: tuple[str, ...]
    """Columns of the file that the table makes itself: their values are the table's."""
    sha256: str
    """Hex, of the file."""


def restore_saved(
    conninfo: str, file: Path, *, table: str, sha256: str | None = None, equal_rows: bool = False
) -> Restored:
    """Put the rows of a saved file into `table`, in one transaction.

    Triggers of the table run as for any other row. Sequences that the table's columns own are moved past what came back.
    `equal_rows`: also where the table has no key and holds as many rows like each of them already.

    Raises UsageError (no such file, or it has no head line), Refused (the file is not the one that was saved, the table or a
    column is not there, a key or every row is there already, a constraint refuses; another runner did not end).
    """
    found = _digest(file)
    if sha256 is not None and found != sha256.lower():
        raise Refused(f"{file} is not what was saved: its SHA-256 is {found}, and was {sha256}; look for the right one")
    names = _head(file)
    with sole_runner(conninfo), connect(conninfo) as connection:
        return attempt(
            lambda: _restore(connection, file, names, table, found, equal_rows=equal_rows),
            lambda reason: Refused(f"the rows of {file} do not go into {table}: {reason}; nothing was restored"),
        )


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}; right is a file that a rollback saved") from None


def _head(file: Path) -> list[str]:
    """The names of the columns."""
    with file.open(encoding="utf-8", newline="") as opened:
        try:
            names = next(csv.reader(opened), [])
        except (UnicodeDecodeError, csv.Error):
            names = []
    if not names:
        raise UsageError(f"{file} has no head line with columns; right is a file that a rollback saved")
    return names


def _restore(
    connection: Connection, file: Path, names: Sequence[str], wanted: str, digest: str, *, equal_rows: bool
) -> Restored:
    # 1. The table and its columns, as they are now.
    target = connection.execute(_TARGET.encode(), (wanted,)).fetchone()
    if target is None:
        raise Refused(
            f"there is no table {wanted} to restore {file} into; apply the migration that makes it, then again"
        )
    oid, table = target
    columns = dict(connection.execute(_COLUMNS.encode(), (oid,)).fetchall())
    if unknown := [name for name in names if name not in columns]:
        raise Refused(
            f"{table} has no column {', '.join(unknown)}; apply the migration that adds it, then restore again"
        )
    own = [name for name in names if not columns[name]]
    # 2. The file's rows, beside the table.
    connection.execute(
        sql.SQL("create temp table deploy_saved on commit drop as select {} from {} with no data").format(
            _list(names), sql.SQL(table)
        )
    )
    into = "copy pg_temp.deploy_saved from stdin (format csv, header)"
    with file.open("rb") as opened, connection.cursor() as cursor, cursor.copy(into) as copy:
        while piece := opened.read(_PIECE):
            copy.write(piece)
    ((count,),) = connection.execute("select count(*) from pg_temp.deploy_saved").fetchall()
    # 3. Nobody writes to the table meanwhile, and no key is there already.
    connection.execute(f"lock table {table} in share row exclusive mode".encode())
    keys = [key for (key,) in connection.execute(_KEYS.encode(), (oid,)).fetchall() if set(key) <= set(own)]
    if count and not keys and not equal_rows and _all_there(connection, table, own):
        raise Refused(
            f"{table} has no key, and rows like all {count} are in it already: they may have been restored before; nothing was "
            "restored; where they are others all the same, add --equal-rows"
        )
    for key in keys:
        if there := _already_there(connection, table, key):
            raise Refused(
                f"{there} of {count} rows are in {table} already, by its key ({', '.join(key)}); nothing is overwritten "
                "and nothing was restored: take out of a copy of the file what is there"
            )
    # 4. In, checked at once, and the table's sequences past them.
    insert = sql.SQL("insert into {} ({}) overriding system value select {} from pg_temp.deploy_saved")
    added = connection.execute(insert.format(sql.SQL(table), _list(own), _list(own))).rowcount
    connection.execute("set constraints all immediate")
    if added != count:
        raise Refused(f"{table} took {added} of {count} rows: a trigger or rule kept the others; nothing was restored")
    for name, sequence in connection.execute(_SEQUENCES.encode(), (table, oid, table)).fetchall():
        _move_past(connection, table, name, sequence)
    return Restored(table, count, tuple(name for name in names if columns[name]), digest)


def _list(names: Sequence[str]) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _already_there(connection: Connection, table: str, key: Sequence[str]) -> int:
    same = sql.SQL(" and ").join(sql.SQL("own.{0} = saved.{0}").format(sql.Identifier(name)) for name in key)
    query = sql.SQL("select count(*) from pg_temp.deploy_saved saved where exists (select from {} own where {})")
    ((count,),) = connection.execute(query.format(sql.SQL(table), same)).fetchall()
    return int(count)


def _all_there(connection: Connection, table: str, own: Sequence[str]) -> bool:
    """Whether the table holds each saved row at least as often as the file does."""
    query = sql.SQL(
        "select count(*) from (select row({0})::text as content, count(*) as number from pg_temp.deploy_saved group by 1) saved"
        " left join (select row({0})::text as content, count(*) as number from {1} group by 1) own using (content)"
        " where saved.number > coalesce(own.number, 0)"
    )
    ((missing,),) = connection.execute(query.format(_list(own), sql.SQL(table))).fetchall()
    return int(missing) == 0


def _move_past(connection: Connection, table: str, name: str, sequence: str) -> None:
    """The sequence gives no value that came back; it never goes backwards, and one that counts down never up."""
    query = sql.SQL(
        "select setval({text}, reached) from {sequence} now, pg_sequence s,"
        " lateral (select case when s.seqincrement > 0 then max({name}) else min({name}) end as reached from {table}) own"
        " where s.seqrelid = {text}::regclass"
        # What it has not given yet is its next one.
        " and case when now.is_called then sign(reached - now.last_value) = sign(s.seqincrement)"
        " else sign(reached - now.last_value) in (0, sign(s.seqincrement)) end"
    )
    connection.execute(
        query.format(
            text=sql.Literal(sequence), name=sql.Identifier(name), table=sql.SQL(table), sequence=sql.SQL(sequence)
        )
    )
