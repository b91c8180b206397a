"""What ways down take from rows: tables, partitions and columns that go, rows that are deleted, content that is changed.

A table or column is the same where its identity in the catalogs is, so a rename is no loss; one that is gone is looked for
under its name, so one that is copied and put in its place is none either. The rows of a partition are rows of its table:
one that moves to another partition stays, and one of a partition that is detached stays too.

Which tables must be read the server tells: only one that lost a column, got another file (TRUNCATE, a rewrite) or had rows
updated or deleted by this transaction. All others are as they were. Where the server counts nothing (`track_counts` is
off), every table is read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from pytest_deploy.migrate.session import Connection
from pytest_deploy.migrate.statements import statements

_TABLES: Final = """
select c.oid::bigint, format('%I.%I', n.nspname, c.relname), c.relkind = 'r',
       coalesce(pg_partition_root(c.oid)::oid, c.oid)::bigint,
       case when c.relispartition then (select i.inhparent::bigint from pg_inherits i where i.inhrelid = c.oid) end,
       c.relfilenode::bigint, pg_stat_get_xact_tuples_inserted(c.oid),
       pg_stat_get_xact_tuples_updated(c.oid) + pg_stat_get_xact_tuples_deleted(c.oid)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and c.relpersistence <> 't'
  and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'deploy')
order by c.oid
"""
_COLUMNS: Final = """
with recursive used(holder, type) as (
    select distinct atttypid, atttypid from pg_attribute where atttypid >= 16384 and attnum > 0 and not attisdropped
    union
    select used.holder, next.type from used join pg_type t on t.oid = used.type cross join lateral (
        select t.typelem union select t.typbasetype union
        select atttypid from pg_attribute where attrelid = t.typrelid and attnum > 0 and not attisdropped) next(type)
    where next.type >= 16384
), part(holder, names) as (
    select used.holder, string_agg(distinct format('%s.%s', p.attrelid, p.attnum), ' ')
    from used join pg_type t on t.oid = used.type
    join pg_attribute p on p.attrelid = t.typrelid and p.attnum > 0 and not p.attisdropped group by 1
)
select a.attrelid::bigint, a.attnum::int, a.attname::text, a.atttypid::bigint, format_type(a.atttypid, a.atttypmod),
       a.attgenerated <> '', a.atttypid >= 16384 or a.attcollation >= 16384,
       coalesce((select names from part where part.holder = a.atttypid), '')
from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and c.relpersistence <> 't'
  and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'deploy')
  and a.attnum > 0 and not a.attisdropped
order by a.attrelid, a.attnum
"""
_EMPTY_CANDIDATES: Final = """
with recursive named(oid) as (
    select c.oid from unnest(%s::text[]) name join pg_class c on c.oid = to_regclass(name) where c.relkind in ('r', 'p')
    union
    select i.inhrelid from named join pg_inherits i on i.inhparent = named.oid
)
select c.oid::bigint, format('%%I.%%I', n.nspname, c.relname), c.relkind = 'r'
from named join pg_class c on c.oid = named.oid join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p')
order by 2
"""


@dataclass(frozen=True)
class Column:
    number: int
    """pg_attribute.attnum: its identity within the table."""
    name: str
    type_id: int
    type: str
    """As SQL wants it."""
    generated: bool
    """Whether its values are made from other columns: then it holds no data of its own."""
    made_here: bool
    """Whether its type or collation is none of the server's own: a down may drop it."""
    parts: str
    """Identities of the attributes of the composite types that its values consist of, with spaces between."""


@dataclass(frozen=True)
class Table:
    """A table or partition, as a session sees it at one moment."""

    id: int
    """Its oid."""
    name: str
    """Qualified and quoted as SQL wants it."""
    stores: bool
    """Whether rows lie in it; a partitioned table has none of its own."""
    root: int
    """The oid of the partitioned table at the top; its own where it is no partition."""
    parent: int | None
    """The oid of the table that it is a partition of."""
    file: int
    """Another one after a rewrite or TRUNCATE."""
    inserted: int
    """Rows that this transaction put in."""
    changed: int
    """Rows that this transaction updated or deleted."""
    columns: tuple[Column, ...]

    def column(self, number: int) -> Column | None:
        return next((column for column in self.columns if column.number == number), None)


Tables = Mapping[int, Table]
"""By oid."""
Key = tuple[str, int, frozenset[int]]
"""What a change is told from others by: its kind, the table, and the places of its rows that it concerns."""


@dataclass(frozen=True)
class Dropped:
    """A table, or columns of one, that go while no row moves: what is lost is known without comparing."""

    table: Table
    columns: tuple[str, ...]
    whole: bool
    """Whether the table goes altogether."""

    @property
    def key(self) -> Key:
        return ("dropped", self.table.id, frozenset())


@dataclass(frozen=True)
class Touched:
    """A table whose rows may be others than before: their content must be compared."""

    name: str
    """Of the table; of a partition, of the partitioned table at the top."""
    root: int
    before: tuple[Table, ...]
    """Where its rows lay, as far as they may have changed."""
    after: tuple[tuple[Table, tuple[Column, ...]], ...]
    """Where they lie now, with the columns that hold what `compared` held, in that order."""
    compared: tuple[Column, ...]
    """Columns that are there before and after."""
    dropped: tuple[str, ...]
    """Columns with data of their own that are there no more."""
    columns: tuple[Column, ...]
    """All its columns before."""

    @property
    def key(self) -> Key:
        return ("touched", self.root, frozenset(table.id for table in self.before))


Change = Dropped | Touched


def read_tables(connection: Connection) -> Tables:
    """Every table and partition, as this session sees it now."""
    columns: defaultdict[int, list[Column]] = defaultdict(list)
    for table, *column in connection.execute(_COLUMNS.encode()):
        columns[table].append(Column(*column))
    return {
        oid: Table(oid, name, stores, root, parent, file, inserted, changed, tuple(columns[oid]))
        for oid, name, stores, root, parent, file, inserted, changed in connection.execute(_TABLES.encode())
    }


def counts_rows(connection: Connection) -> bool:
    """Whether the server counts what a transaction does to each table."""
    return connection.execute("select current_setting('track_counts')::boolean").fetchone() == (True,)


def changes(before: Tables, after: Tables, empty: AbstractSet[int], *, counted: bool = True) -> tuple[Change, ...]:
    """What may have been lost between two moments of one transaction.

    Args:
        before: the tables at the first moment.
        after: the tables at the second.
        empty: oids of tables that held no row: nothing is lost from them.
        counted: whether the server counts changed rows; else each table counts as changed.
    """
    leaves: defaultdict[int, list[Table]] = defaultdict(list)
    for table in before.values():
        if table.stores:
            leaves[table.root].append(table)
    found: list[Change] = []
    for root, own in leaves.items():
        lossy = [leaf for leaf in own if leaf.id not in empty and _may_have_lost(leaf, after.get(leaf.id), counted)]
        if lossy:
            found.extend(_changes_of(before[root], own, lossy, before, after, counted=counted))
    return tuple(found)


def _may_have_lost(leaf: Table, now: Table | None, counted: bool) -> bool:  # noqa: FBT001
    return now is None or _rows_differ(leaf, now, counted) or bool(_gone(leaf, now))


def _rows_differ(leaf: Table, now: Table, counted: bool) -> bool:  # noqa: FBT001
    return not counted or now.file != leaf.file or now.changed > leaf.changed or _parts_gone(leaf, now)


def _parts_gone(leaf: Table, now: Table) -> bool:
    """Whether an attribute of a composite type went: the server hides it in each value, and writes no row."""
    still = {column.number: column.parts for column in now.columns}
    return any(
        not set(column.parts.split()) <= set(still.get(column.number, column.parts).split()) for column in leaf.columns
    )


def _gone(table: Table, now: Table) -> list[Column]:
    """Columns with data of their own whose identity is there no more."""
    return [column for column in table.columns if not column.generated and now.column(column.number) is None]


def _changes_of(
    root: Table, own: Sequence[Table], lossy: Sequence[Table], before: Tables, after: Tables, *, counted: bool
) -> Iterator[Change]:
    """The changes of one table with its partitions; `own` are the places where its rows lay, `lossy` those that changed."""
    now = after.get(root.id) or next((one for one in after.values() if one.name == root.name), None)
    ids = {leaf.id for leaf in own}
    arrived = [
        table
        for table in after.values()
        if table.stores
        and (table.id not in before or table.inserted > before[table.id].inserted)
        and (table.id in ids or (now is not None and table.root == now.root))
    ]
    staying = [after[leaf.id] for leaf in lossy if leaf.id in after]
    if not arrived and not any(_rows_differ(before[leaf.id], leaf, counted) for leaf in staying):
        yield from _dropped(lossy, before, after)
        return
    places = {table.id: table for table in (*staying, *arrived)}
    found = {
        column: [_column_now(column, root, now, before.get(place.id), place) for place in places.values()]
        for column in root.columns
        if not column.generated
    }
    kept = {column: there for column, there in found.items() if all(there)}
    yield Touched(
        name=root.name,
        root=root.id,
        before=tuple(leaf for leaf in own if leaf in lossy or leaf.id in places),
        after=tuple(
            (place, tuple(column for there in kept.values() if (column := there[index]) is not None))
            for index, place in enumerate(places.values())
        ),
        compared=tuple(kept),
        dropped=tuple(column.name for column in found if column not in kept),
        columns=root.columns,
    )


def _column_now(column: Column, root: Table, now: Table | None, then: Table | None, place: Table) -> Column | None:
    """The column of `place` that holds now what `column` of the table `root` held: the same one, else one of its name."""
    # In a place that was there before: by its number there, which may be another than the partitioned table's.
    if then is not None:
        same = next((own for own in then.columns if own.name == column.name), None)
        if same is not None and (still := place.column(same.number)) is not None:
            return still
    # In a new place: by the name that the table gives it now.
    renamed = now.column(column.number) if now is not None and now.id == root.id else None
    name = renamed.name if renamed is not None else column.name
    return next((own for own in place.columns if own.name == name), None)


def _dropped(lossy: Sequence[Table], before: Tables, after: Tables) -> Iterator[Dropped]:
    """What goes while no row moves, each told once, of the table highest up that has the same fate."""
    told: set[int] = set()
    for leaf in lossy:
        table = leaf
        while table.parent is not None and (parent := before[table.parent]) and _same_fate(leaf, parent, after):
            table = parent
        if table.id in told:
            continue
        told.add(table.id)
        now = after.get(table.id)
        gone = [column for column in table.columns if not column.generated] if now is None else _gone(table, now)
        yield Dropped(table, tuple(column.name for column in gone), whole=now is None)


def _same_fate(leaf: Table, parent: Table, after: Tables) -> bool:
    own, parents = after.get(leaf.id), after.get(parent.id)
    if own is None or parents is None:
        return own is parents
    return {column.name for column in _gone(leaf, own)} == {column.name for column in _gone(parent, parents)}


# --- Tables that downs plainly drop and that are empty: the common case costs no second run.


def lock_tables(connection: Connection, tables: Iterable[Table]) -> None:
    """Nobody writes to these tables until this transaction ends, so that no row is lost between saving and dropping."""
    names = ", ".join(f"only {table.name}" if table.stores else table.name for table in tables)
    if names:
        connection.execute(f"lock table {names} in share row exclusive mode".encode())


def lock_empty_tables(connection: Connection, downs: Sequence[str]) -> frozenset[int]:
    """The tables that `downs` name as theirs to drop or to drop a column of, and that are empty; they stay so.

    Partitions and children of those tables are asked too. Nobody writes to them from here to the end of this transaction. What
    is not named plainly is not found, and not held.
    """
    names = sorted({name for down in downs for name in _tables_dropped(down)})
    named = connection.execute(_EMPTY_CANDIDATES.encode(), (names,)).fetchall()
    if not named:
        return frozenset()
    connection.execute(f"lock table {', '.join(name for _, name, _ in named)} in share row exclusive mode".encode())
    stores = [(oid, name) for oid, name, own_rows in named if own_rows]
    if not stores:
        return frozenset()
    empty = ", ".join(f"not exists (select from only {name})" for _, name in stores)
    (answers,) = connection.execute(f"select {empty}".encode()).fetchall()
    return frozenset(oid for (oid, _), is_empty in zip(stores, answers, strict=True) if is_empty)


def _tables_dropped(down: str) -> Iterator[str]:
    for statement in statements(down):
        words = [word.lower() for word in statement.words if word not in {"IF", "EXISTS", "ONLY"}]
        if words[:2] == ["drop", "table"]:
            yield from words[2:]
        elif words[:2] == ["alter", "table"] and "drop" in words:
            yield from words[2:3]
