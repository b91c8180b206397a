"""Random schemas with a migration: what the trial calls proven restores schema and rows, and what is lost is saved whole."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterable
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from pytest_deploy.errors import MigrationFailed, MigrationsRefused
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.migration import Migration
from pytest_deploy.migrate.rollback import roll_back
from pytest_deploy.migrate.session import rows_of
from pytest_deploy.migrate.snapshot import read_catalog
from pytest_deploy.migrate.trial import run_trial
from tests.postgres_server import PostgresServer
from tests.unit.migrate.conftest import owned_database
from tests.unit.migrate.random_migrations import MADE_BY_UP, RandomMigration, inserts, random_migrations
from tests.unit.migrate.sample_migrations import ACTOR, sample, text

Row = dict[str, str]
Rows = dict[tuple[str, str], Row]
"""By table and id."""

TABLES = """
select format('%I', c.relname), array_agg(array[a.attname, format_type(a.atttypid, a.atttypmod), (not a.attnotnull)::text]
                                          order by a.attnum) filter (where a.attname <> 'id')
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
group by c.oid, c.relname order by c.oid
"""
KINDS = {"character varying(8)": "varchar(8)", "integer": "int", "bigint": "int"}


def columns_now(connection: psycopg.Connection) -> dict[str, list[tuple[str, str, bool]]]:
    return {
        table: [(name, KINDS.get(kind, kind), null == "true") for name, kind, null in columns or []]
        for table, columns in connection.execute(TABLES.encode())
    }


def rows_now(connection: psycopg.Connection) -> Rows:
    """Every row, as the server writes it to CSV."""
    found: Rows = {}
    for table in columns_now(connection):
        query = f"copy (table {table}) to stdout (format csv, header)"
        with connection.cursor().copy(query.encode()) as copy:
            lines = b"".join(copy).decode().splitlines()
        found.update(((table, row["id"]), row) for row in csv.DictReader(lines))
    return found


def is_kept(row: Row, after: Iterable[Row]) -> bool:
    """Whether all that the row held is in a row of the same id; no other row holds such values."""
    held = {value for value in row.values() if value}
    return any(held <= set(other.values()) for other in after if other["id"] == row["id"])


def proven(conninfo: str, folder: Path, made: RandomMigration) -> tuple[tuple[Migration, ...], bool] | None:
    """The two migrations, and whether losses are to be expected; None where the trial refuses them in any case."""
    for declared in ((), ("lossy as the trial says",)):
        migrations = sample(folder, text(*made.schema(), "lossy all goes"), text(*made.way, *declared))
        try:
            trial = run_trial(conninfo, migrations, actor=ACTOR)
        except MigrationsRefused:
            continue
        return migrations, bool(declared or trial.without_rows)  # of those tables it says that it knows nothing
    return None


def check(server: PostgresServer, made: RandomMigration) -> None:
    with owned_database(server) as conninfo, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        base = sample(folder / "m", text(*made.schema(), "lossy all goes"))
        apply(conninfo, base, actor=ACTOR)
        found = proven(conninfo, folder / "m", made)
        if found is None:
            return
        migrations, declared = found
        with psycopg.connect(conninfo, autocommit=True) as connection:
            for statement in inserts(columns_now(connection), 1, made.nulls):
                connection.execute(statement.encode())
            catalog, at_first = read_catalog(rows_of(connection)), rows_now(connection)
            # 1. The release, and rows that are written after it.
            apply(conninfo, migrations, actor=ACTOR)
            for statement in inserts(columns_now(connection), 50, made.nulls):
                connection.execute(statement.encode())
            before = rows_now(connection)
            # 2. The way back: whole, or not at all.
            try:
                (undone,) = roll_back(conninfo, migrations, to=["0001"], actor=ACTOR, save_into=folder / "saved")
            except MigrationFailed:
                assert rows_now(connection) == before
                return
            assert read_catalog(rows_of(connection)) == catalog
            after = rows_now(connection)
        # 3. Each row is there as it was, or saved whole: one of the two.
        saved = [row for one in undone.lost for row in csv.DictReader(Path(one.place).read_text("utf-8").splitlines())]
        lost = [row for row in before.values() if not is_kept(row, after.values())]
        assert sorted(saved, key=str) == sorted(lost, key=str)
        assert sum(one.count for one in undone.lost) == len(saved)
        # 4. What nobody declared loses nothing but what the migration itself made.
        if not declared:
            assert all(int(row["id"]) >= MADE_BY_UP for row in lost)
            assert all(is_kept(row, after.values()) for row in at_first.values())


FEW = settings(
    max_examples=15, database=None, phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck)
)


@FEW
@given(made=random_migrations())
def test_what_is_proven_restores_and_what_is_lost_is_saved_whole(
    postgres: PostgresServer, made: RandomMigration
) -> None:
    check(postgres, made)


@pytest.mark.faults
@pytest.mark.parametrize("part", range(10))
def test_five_hundred_of_them(postgres: PostgresServer, part: int) -> None:
    @seed(part)
    @settings(FEW, max_examples=50, derandomize=False)
    @given(made=random_migrations())
    def fifty(made: RandomMigration) -> None:
        check(postgres, made)

    fifty()
