"""Small random schemas with one migration each, and rows whose every value says which row it is of."""

# ruff: noqa: S608 - statements of made-up names and values, run on a database of the test's own

from __future__ import annotations

import itertools
from dataclasses import dataclass

from hypothesis import strategies as st

LONG, SHORT, NUMBER, DAY = "text", "varchar(8)", "int", "date"
MADE_BY_UP = 900_000
"""Rows that a migration itself makes have this id or a higher one."""

Way = tuple[str, str]


@dataclass(frozen=True)
class RandomTable:
    name: str
    columns: tuple[tuple[str, str, bool], ...]
    """Name, type and whether it may be null; beside the key `id`."""
    partitioned: bool

    def created(self) -> str:
        columns = "".join(f", {name} {kind}{'' if null else ' not null'}" for name, kind, null in self.columns)
        if not self.partitioned:
            return f"create table {self.name} (id bigint primary key{columns});\n"
        return (
            f"create table {self.name} (id bigint primary key{columns}) partition by range (id);\n"
            f"create table {self.name}_low partition of {self.name} for values from (minvalue) to (100);\n"
            f"create table {self.name}_rest partition of {self.name} default;\n"
        )


def value(kind: str, row: int, column: int) -> str:
    """A literal that only this column of this row has."""
    return {
        LONG: f"'{row}-{column}-a-long-text'",
        SHORT: f"'{row}s{column}'",
        NUMBER: str(row * 10 + column),
        DAY: f"'{2000 + column}-01-01'::date + {row}",
    }[kind]


def ways(table: RandomTable) -> list[Way]:
    """Ups with their downs, for one table."""
    t = table.name
    found: list[Way] = [
        (f"alter table {t} add extra text;\n", f"alter table {t} drop extra;\n"),
        (f"alter table {t} add extra int not null default 70007;\n", f"alter table {t} drop extra;\n"),
        (f"create table {t}_new (id bigint primary key, extra text);\n", f"drop table {t}_new;\n"),
        (f"alter table {t} rename to {t}_named;\n", f"alter table {t}_named rename to {t};\n"),
        (f"create index {t}_index on {t} (id);\n", f"drop index {t}_index;\n"),
        (f"alter table {t} add constraint positive check (id > -1);\n", f"alter table {t} drop constraint positive;\n"),
        (f"drop table {t};\n", table.created()),
        (f"insert into {t}_kind values ({MADE_BY_UP});\n", f"delete from {t}_kind where id = {MADE_BY_UP};\n"),
        ("select 1;\n", f"delete from {t};\n"),
        ("select 1;\n", f"truncate {t};\n"),
        ("select 1;\n", f"with gone as (delete from {t} returning *) insert into {t} select * from gone;\n"),
        (
            f"alter table {t} add extra text;\n",
            f"delete from {t} where extra is not null;\nalter table {t} drop extra;\n",
        ),
    ]
    if table.partitioned:
        detach = f"alter table {t} detach partition {t}_low;\n"
        attach = f"alter table {t} attach partition {t}_low for values from (minvalue) to (100);\n"
        found += [
            (
                f"{detach}create table {t}_lower partition of {t} for values from (minvalue) to (100);\n",
                f"drop table {t}_lower;\n{attach}",
            ),
            (detach, attach),
            (
                f"alter table {t} detach partition {t}_rest;\n",
                f"alter table {t} attach partition {t}_rest default;\n",
            ),
        ]
    for name, kind, null in table.columns:
        found += [
            (f"alter table {t} rename {name} to named;\n", f"alter table {t} rename named to {name};\n"),
            (f"alter table {t} drop {name};\n", f"alter table {t} add {name} {kind};\n"),
        ]
        if null:
            found.append(("select 1;\n", f"update {t} set {name} = null;\n"))
        else:
            found.append(
                (
                    f"alter table {t} alter {name} drop not null;\n",
                    f"delete from {t} where {name} is null;\nalter table {t} alter {name} set not null;\n",
                )
            )
        if kind == NUMBER:
            found += [
                (f"alter table {t} alter {name} type bigint;\n", f"alter table {t} alter {name} type int;\n"),
                (
                    f"alter table {t} alter {name} type text;\n",
                    f"alter table {t} alter {name} type int using {name}::int;\n",
                ),
            ]
        if kind == SHORT:
            found.append(
                (
                    f"alter table {t} alter {name} type text;\n",
                    f"alter table {t} alter {name} type varchar(8) using left({name}, 8);\n",
                )
            )
    return found


@dataclass(frozen=True)
class RandomMigration:
    """A schema of one to three tables, and a migration that does something to some of them."""

    tables: tuple[RandomTable, ...]
    way: Way
    nulls: int
    """Bits: which of the values that may be null are."""

    def schema(self) -> Way:
        kinds = "".join(f"create table {table.name}_kind (id bigint primary key);\n" for table in self.tables)
        drop = "".join(f"drop table if exists {table.name}, {table.name}_kind cascade;\n" for table in self.tables)
        return "".join(table.created() for table in self.tables) + kinds, drop


@st.composite
def random_migrations(draw: st.DrawFn) -> RandomMigration:
    tables = []
    for number in range(draw(st.integers(1, 3))):
        kinds = draw(st.lists(st.tuples(st.sampled_from([LONG, SHORT, NUMBER, DAY]), st.booleans()), max_size=3))
        columns = tuple((f"c{place}", kind, null) for place, (kind, null) in enumerate(kinds))
        tables.append(RandomTable(f"t{number}", columns, draw(st.booleans())))
    chosen = [draw(st.sampled_from(ways(table))) for table in tables if table is tables[0] or draw(st.booleans())]
    up = "".join(up for up, _ in chosen)
    down = "".join(down for _, down in reversed(chosen))
    return RandomMigration(tuple(tables), (up, down), draw(st.integers(0, 255)))


def inserts(columns_of: dict[str, list[tuple[str, str, bool]]], first: int, nulls: int) -> list[str]:
    """Rows for tables as they are now (name, type, whether it may be null); ids from `first` on, some beyond a partition."""
    ids = itertools.count(first)
    statements = []
    for table, columns in columns_of.items():
        for beyond in (0, 0, 100):
            row = next(ids) + beyond
            named, values = ["id"], [str(row)]
            for place, (name, kind, null) in enumerate(columns):
                if null and nulls >> (row + place) % 8 & 1:
                    continue
                named.append(name)
                values.append(value(kind, row, place))
            statements.append(f"insert into {table} ({', '.join(named)}) values ({', '.join(values)})")
    return statements
