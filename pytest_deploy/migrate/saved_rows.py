"""Rows that ways down take, found by their content and saved whole, where only their owner reads them.

Everything happens inside the downs' own transaction, in the server: the copy of a table whose rows may change is a table of
the schema `deploy`, gone before the commit, so that memory here stays bounded however big the table is. (A temporary one
would not outlive a down: its session is cleared after it.) Rows are saved beside the backup; the record holds place, table,
count and digest, never a row.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import psycopg
from psycopg import sql

from pytest_deploy.migrate import loss
from pytest_deploy.migrate.backup import private_file
from pytest_deploy.migrate.loss import Change, Column, Dropped, Key, Table, Tables, Touched
from pytest_deploy.migrate.session import Connection

_SUMS: Final = "sum(hashtextextended({0}, 0)), sum(hashtextextended({0}, 1))"
"""The same for the same values in any order."""
_LOST: Final = """
create unlogged table deploy.{lost} as
select was.place from (
    select held.ctid as place, {then} as content, row_number() over (partition by {then}) as number, {gone} as gone
    from deploy.{copy} held
) was left join (
    select {now} as content, count(*) as count from ({rows}) now group by 1
) now on now.content = was.content
where was.gone or was.number > coalesce(now.count, 0)
"""
_NUMERIC: Final = 1700
"""The oid of `numeric`, the same on every server."""
_T = TypeVar("_T")
_Places = Sequence[tuple[Table, Sequence[sql.Composable]]]
"""Where rows lie, and for each place the expressions to read there."""


@dataclass(frozen=True)
class Saved:
    """What was lost, and where it lies now."""

    place: str
    table: str
    columns: tuple[str, ...]
    """Those that went, or whose content is no longer what it was."""
    count: int
    sha256: str
    """Hex, of the file."""
    dropped: bool = True
    """Whether the table or columns of it went; else its rows were deleted or changed."""

    def described(self) -> str:
        """What went, without a row of it."""
        return f"{self.count} rows of {self.table} ({', '.join(self.columns)})"


@dataclass(frozen=True)
class Loss:
    """Rows that go, and how to read them now, whole."""

    table: str
    columns: tuple[str, ...]
    count: int
    rows: sql.Composable
    dropped: bool


def save_rows(connection: Connection, lost: Loss, into: Path) -> Saved:
    """The rows that go, as CSV with a head line, in a new file of mode 0600; on disk when this returns."""
    path = into / f"lost-{secrets.token_hex(8)}.csv"
    query = sql.SQL("copy ({}) to stdout (format csv, header)").format(lost.rows)
    digest = hashlib.sha256()
    with private_file(path) as file, connection.cursor() as cursor, cursor.copy(query) as copy:
        for piece in copy:
            digest.update(piece)
            file.write(piece)
    return Saved(str(path), lost.table, lost.columns, lost.count, digest.hexdigest(), lost.dropped)


# --- Keeping what downs may change, and telling afterwards what of it is lost.


@dataclass
class LossWatch:
    """What the rows were before the downs.

    What downs take shows only once they have run. So they run; `unkept` tells what may be lost and is not kept; they are
    taken back, `keep` keeps it under a lock, and they run again, until nothing is left unkept. Then `lost` tells.
    """

    connection: Connection
    before: Tables
    counted: bool
    empty: AbstractSet[int]
    """Oids of tables that hold no row and are locked."""
    _kept: dict[Key, _Digest | None] = field(default_factory=dict)
    """By a change's key: a digest where the content stayed the same, None where the rows themselves are kept."""
    _differing: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """By a table's oid: the columns whose content the downs change."""

    @classmethod
    def begin(cls, connection: Connection, empty: AbstractSet[int]) -> LossWatch:
        return cls(connection, loss.read_tables(connection), loss.counts_rows(connection), empty)

    def unkept(self) -> tuple[tuple[Change, _Digest | None], ...]:
        """What the downs, which have just run, may have lost, as far as it is not kept; with the digest of what they left."""
        return tuple(
            (change, now)
            for change in self._changes()
            if (now := self._now(change)) != self._kept.get(change.key, _MISSING)
        )

    def _changes(self) -> tuple[Change, ...]:
        return loss.changes(self.before, loss.read_tables(self.connection), self.empty, counted=self.counted)

    def _now(self, change: Change) -> _Digest | None:
        """The digest of what the downs left, where one is asked for."""
        kept_whole = change.key in self._kept and self._kept[change.key] is None
        return None if kept_whole or isinstance(change, Dropped) else _digest_after(self.connection, change)

    def keep(self, unkept: Iterable[tuple[Change, _Digest | None]]) -> list[Loss]:
        """Keep what these changes concern; the downs are taken back. Returns what drops take, to be saved at once."""
        changes = list(unkept)
        loss.lock_tables(self.connection, {t.id: t for change, _ in changes for t in _tables_of(change)}.values())
        losses = []
        for change, after in changes:
            if isinstance(change, Dropped):
                self._kept[change.key] = None
                losses.append(_loss_of_drop(self.connection, change))
                continue
            digest = _digest_before(self.connection, change)
            if digest == after and not change.dropped and change.key not in self._kept:
                self._kept[change.key] = digest
                continue
            self._kept[change.key] = None
            self._differing[change.root] = digest.differing(after, change)
            _copy(self.connection, change)
        return [lost for lost in losses if lost.count]

    def lost(self) -> list[Loss]:
        """What the downs, which have just run, have deleted or changed of what is kept; to be saved before `close`."""
        found = [
            _loss_of_content(self.connection, change, self._differing[change.root])
            for change in self._changes()
            if isinstance(change, Touched) and self._kept[change.key] is None
        ]
        return [lost for lost in found if lost.count]

    def close(self) -> None:
        """Forget what was kept, before the commit."""
        for root in self._differing:
            names = sql.SQL("deploy.{}, deploy.{}").format(_named("before", root), _named("lost", root))
            self.connection.execute(sql.SQL("drop table if exists {}").format(names))


def _tables_of(change: Change) -> tuple[Table, ...]:
    return (change.table,) if isinstance(change, Dropped) else change.before


def _loss_of_drop(connection: Connection, change: Dropped) -> Loss:
    where: sql.Composable = sql.SQL("true")
    if not change.whole:
        where = sql.SQL(" or ").join(sql.SQL("{} is not null").format(sql.Identifier(name)) for name in change.columns)
    table = sql.SQL(f"only {change.table.name}" if change.table.stores else change.table.name)
    rows = sql.SQL("select * from {} where {}").format(table, where)
    ((count,),) = connection.execute(sql.SQL("select count(*) from ({}) lost").format(rows)).fetchall()
    return Loss(change.table.name, change.columns, count, rows, dropped=True)


def _copy(connection: Connection, change: Touched) -> None:
    """The rows as they are before the downs, in a table of this transaction's own, which keeps no type from being dropped."""
    columns = [
        sql.SQL("{} as {}").format(_text(value, column) if column.made_here else value, value)
        for column in change.columns
        for value in [sql.Identifier(column.name)]
    ]
    parts = [
        sql.SQL("select {} from only {}").format(sql.SQL(", ").join(columns), sql.SQL(table.name))
        for table in change.before
    ]
    query = sql.SQL("drop table if exists deploy.{0}; create unlogged table deploy.{0} as {1}")
    connection.execute(query.format(_named("before", change.root), sql.SQL(" union all ").join(parts)))


def _loss_of_content(connection: Connection, change: Touched, differing: tuple[str, ...]) -> Loss:
    """Rows of the copy that are not there any more as they were, as often as they were."""
    copy, lost = _named("before", change.root), _named("lost", change.root)
    then = _content(
        [_as_text(sql.SQL("held.{}").format(sql.Identifier(column.name)), column) for column in change.compared]
    )
    gone = [sql.SQL("held.{} is not null").format(sql.Identifier(name)) for name in change.dropped]
    names = [sql.SQL("now.c{}").format(sql.SQL(str(number))) for number in range(len(change.compared))]

    def find(places: _Places) -> int:
        query = sql.SQL(_LOST).format(
            lost=lost,
            copy=copy,
            then=then,
            now=_content(names),
            gone=sql.SQL(" or ").join(gone) if gone else sql.SQL("false"),
            rows=_rows(places),
        )
        return connection.execute(query).rowcount

    count = _read_after(connection, change, find)
    rows = sql.SQL("select * from deploy.{} held where held.ctid in (select place from deploy.{})").format(copy, lost)
    return Loss(change.name, (*change.dropped, *differing), count, rows, dropped=False)


def _named(word: str, root: int) -> sql.Identifier:
    return sql.Identifier(f"{word}_{root}")


# --- The content of rows, compared by the server.


@dataclass(frozen=True)
class _Digest:
    """The content of a table's compared columns, whatever the order of its rows."""

    sums: tuple[object, ...]
    """The count of rows; two sums of whole rows; two sums for each column."""

    def differing(self, other: _Digest | None, change: Touched) -> tuple[str, ...]:
        """The columns whose content is another; where only their combination is, all that are compared."""
        names = tuple(column.name for column in change.compared)
        if other is None:
            return names
        found = tuple(
            name for at, name in enumerate(names) if self.sums[3 + 2 * at :][:2] != other.sums[3 + 2 * at :][:2]
        )
        return found or (() if self == other else names)


_MISSING: Final = _Digest(())


def _digest_before(connection: Connection, change: Touched) -> _Digest:
    names = [_text(sql.Identifier(column.name), column) for column in change.compared]
    return _digest(connection, [(table, names) for table in change.before])


def _digest_after(connection: Connection, change: Touched) -> _Digest:
    return _read_after(connection, change, lambda places: _digest(connection, places))


def _digest(connection: Connection, places: _Places) -> _Digest:
    columns = [sql.SQL("now.c{}").format(sql.SQL(str(number))) for number in range(len(places[0][1]) if places else 0)]
    sums = [sql.SQL(_SUMS).format(value) for value in (_row(columns), *columns)]
    query = sql.SQL("select count(*), {} from ({}) now").format(sql.SQL(", ").join(sums), _rows(places))
    ((*answers,),) = connection.execute(query).fetchall()
    return _Digest(tuple(answers))


def _rows(places: _Places) -> sql.Composable:
    """A query for all of them, with the columns c0, c1 and so on."""
    parts = [
        sql.SQL("select {} from only {}").format(
            sql.SQL(", ").join(
                [sql.SQL("{} as c{}").format(value, sql.SQL(str(number))) for number, value in enumerate(values)]
            ),
            sql.SQL(table.name),
        )
        for table, values in places
    ]
    return sql.SQL(" union all ").join(parts) if parts else sql.SQL("select where false")


def _text(value: sql.Composable, column: Column) -> sql.Composable:
    """A value as text that is the same for the same value alone, whatever the column's collation holds for equal."""
    if not column.made_here:
        return _as_text(value, column)
    # As COPY writes it: a cast to text may be anybody's. A composite value of nulls is a value.
    return sql.SQL("""case when {0} is distinct from null then format('%s', {0}) collate "C" end""").format(value)


def _as_text(value: sql.Composable, column: Column) -> sql.Composable:
    if column.type_id == _NUMERIC:  # 2.5000 and 2.50 are the same number
        value = sql.SQL("trim_scale({})").format(value)
    return sql.SQL('{}::text collate "C"').format(value)


def _row(columns: Sequence[sql.Composable]) -> sql.Composable:
    return sql.SQL('row({})::text collate "C"').format(sql.SQL(", ").join(columns))


def _content(columns: Sequence[sql.Composable]) -> sql.Composable:
    return sql.SQL("sha256(convert_to({}, getdatabaseencoding()))").format(_row(columns))


def _read_after(connection: Connection, change: Touched, read: Callable[[_Places], _T]) -> _T:
    """What `read` gives of the places after the downs.

    A column of another type than before is read in the type that it had, where the server casts so: 1 and 1.00 are the same.
    """
    castable = _castable(connection, change)
    if castable:
        try:
            with connection.transaction():
                return read(_places(change, castable))
        except psycopg.DataError:  # a value that the earlier type does not take is another value
            pass
    return read(_places(change, frozenset()))


def _places(change: Touched, castable: AbstractSet[tuple[int, int]]) -> _Places:
    return [
        (
            table,
            [_value(column, was, castable) for column, was in zip(columns, change.compared, strict=True)],
        )
        for table, columns in change.after
    ]


def _value(column: Column, was: Column, castable: AbstractSet[tuple[int, int]]) -> sql.Composable:
    value: sql.Composable = sql.Identifier(column.name)
    if (column.type_id, was.type_id) in castable:
        return _text(sql.SQL("{}::{}").format(value, sql.SQL(was.type)), was)
    return _text(value, column)


def _castable(connection: Connection, change: Touched) -> frozenset[tuple[int, int]]:
    """Pairs of types, now and before, between which the server casts values that are no text."""
    pairs = {
        (column.type_id, was.type_id)
        for _, columns in change.after
        for column, was in zip(columns, change.compared, strict=True)
        if column.type_id != was.type_id
    }
    query = (
        "select castsource::bigint, casttarget::bigint from pg_cast join pg_type t on t.oid = casttarget"
        " where castsource = %s and casttarget = %s and t.typcategory <> 'S'"
    )
    return frozenset(row for pair in pairs for row in connection.execute(query, pair).fetchall())
