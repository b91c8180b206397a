"""One database of a trial: the migrations go up and down in it, with representative rows."""

from __future__ import annotations

import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pytest_deploy.errors import Fault, MigrationFailed, MigrationsRefused
from pytest_deploy.migrate import sample_rows
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.migration import Migration
from pytest_deploy.migrate.rollback import RolledBack, losses_with, roll_back
from pytest_deploy.migrate.saved_rows import Saved
from pytest_deploy.migrate.session import Connection, attempt, connect, rows_of
from pytest_deploy.migrate.snapshot import Catalog, read_catalog
from pytest_deploy.migrate.trial_place import TrialPlace

_COLUMN: Final = (
    "select exists (select from pg_attribute where attrelid = to_regclass(%s) and attname = %s and attnum > 0)"
)


_ABOVE: Final = """
with recursive above(oid) as (
    select inhparent from pg_inherits where inhrelid = to_regclass(%s)
    union select inhparent from pg_inherits i join above on i.inhrelid = above.oid
)
select format('%%s.%%s', nspname, relname) from above join pg_class c on c.oid = above.oid join pg_namespace n on n.oid = c.relnamespace
"""


class FailedOnInventedRows(MigrationFailed):
    """An up failed on rows, and the trial had made up rows in these tables."""

    def __init__(self, error: MigrationFailed, tables: frozenset[str]) -> None:
        self.tables = tables
        super().__init__(
            f"{error}; the row is one that the trial made up",
            failed=error.failed,
            applied=error.applied,
            not_run=error.not_run,
            rows=error.rows,
        )


@dataclass(frozen=True)
class TrialRequest:
    """What is to be tried, and where."""

    place: TrialPlace
    migrations: Sequence[Migration]
    applied: int
    """The real database has the first so many."""
    actor: str
    seeds: Path | None
    """The folder of the author's rows, `<version>.sql`."""


@dataclass(frozen=True)
class TrialDatabase:
    """A new database, and what was put into it."""

    connection: Connection
    conninfo: str
    request: TrialRequest
    invented: set[str] = field(default_factory=set)
    """Tables that rows were made up in."""
    seeded: list[Path] = field(default_factory=list)
    """Files of the author's rows that are in it."""

    @classmethod
    @contextmanager
    def make(cls, request: TrialRequest) -> Iterator[TrialDatabase]:
        with request.place.database() as conninfo, connect(conninfo, autocommit=True) as connection:
            yield cls(connection, conninfo, request)

    def another(self) -> AbstractContextManager[TrialDatabase]:
        return self.make(self.request)

    @property
    def migrations(self) -> Sequence[Migration]:
        return self.request.migrations

    @property
    def applied(self) -> int:
        """The real database has the first so many of the migrations."""
        return self.request.applied

    def reach(self, number: int) -> None:
        """Apply the first `number`, with the author's rows as soon as there is what they are for, and none of our own."""
        with_rows = [at for at, migration in enumerate(self.migrations[:number], 1) if self._file(migration.version)]
        for at in sorted({*with_rows, min(self.applied, number), number} - {0}):
            self.up(at)
            if at in with_rows:
                self.seed(self.migrations[at - 1].version)
            if at == self.applied:
                self.request.place.settle(self.conninfo)

    def up(self, number: int) -> float:
        """Apply what is pending of the first `number`; seconds. Raises MigrationFailed, FailedOnInventedRows."""
        began = time.monotonic()
        before_commit = self.request.place.before_commit(self.connection)
        try:
            apply(  # a replay is no release: it may be several batches
                self.conninfo,
                self.migrations[:number],
                actor=self.request.actor,
                before_commit=before_commit,
                several=True,
            )
        except MigrationFailed as error:
            failure = self._explained(error)
        else:
            return time.monotonic() - began
        raise failure

    def down(self, number: int) -> tuple[RolledBack, ...]:
        """Undo all but the first `number`; rows that go are saved as they would be, and then deleted with their folder."""
        remain = [migration.version for migration in self.migrations[:number]]
        before_commit = self.request.place.before_commit(self.connection)
        with tempfile.TemporaryDirectory(prefix="trial-") as spill:
            return roll_back(
                self.conninfo,
                self.migrations,
                to=remain,
                actor=self.request.actor,
                save_into=Path(spill),
                before_commit=before_commit,
            )

    def losses_of_sparse_rows(self, number: int) -> tuple[Saved, ...]:
        """What the same downs would take where each table had a row with nothing in it that may be left out. Changes nothing."""
        remain = [migration.version for migration in self.migrations[:number]]
        write = sample_rows.fill_sparse
        return losses_with(self.conninfo, self.migrations, to=remain, actor=self.request.actor, write=write)

    def catalog(self) -> Catalog:
        return read_catalog(rows_of(self.connection))

    def rows(self) -> dict[str, Counter[str]]:
        return sample_rows.all_rows(self.connection)

    def fill(self, left_out: frozenset[str] = frozenset()) -> None:
        """Rows of our own in every table that takes them, but in these."""
        self.invented.update(sample_rows.fill(self.connection, left_out))

    def seed(self, version: str) -> None:
        """The author's rows for this version where there are some, else our own for every table."""
        file = self._file(version)
        if file is None:
            self.fill()
            return

        def failure(reason: str) -> MigrationsRefused:
            problem = f"the representative rows do not go in: {reason}"
            return MigrationsRefused("representative rows", [Fault(str(file), None, "", problem, "mend them")])

        attempt(lambda: self.connection.execute(file.read_bytes()), failure)
        self.seeded.append(file)

    def _file(self, version: str) -> Path | None:
        file = None if self.request.seeds is None else self.request.seeds / f"{version}.sql"
        return file if file is not None and file.is_file() else None

    def _explained(self, error: MigrationFailed) -> MigrationFailed:
        """The same failure of an up, and whose rows it failed on, where it did on rows."""
        rows = error.rows
        if rows is None:
            return error
        # A null in a column that the migration adds: any row would do.
        if rows.nulls and rows.column and not self._has_column(rows.table, rows.column):
            return _noted(error, f"the row is one that the trial made up, and any other would do: {rows.column} is new")
        if tables := self._suspects(error):
            return FailedOnInventedRows(error, tables)
        files = ", ".join(dict.fromkeys(file.name for file in self.seeded))
        return _noted(error, f"the row is of {files} or of the migrations" if files else "the row is of the migrations")

    def _has_column(self, table: str, column: str) -> bool:
        quoted = ".".join(f'"{part}"' for part in table.split("."))
        return self.connection.execute(_COLUMN, (quoted, column)).fetchone() == (True,)

    def _with_roots(self, table: str) -> set[str]:
        """The table, and where it is a partition or a child the tables above it: rows are put into the topmost."""
        quoted = ".".join(f'"{part}"' for part in table.split("."))
        above = self.connection.execute(_ABOVE, (quoted,)).fetchall()
        return {table, *(name for (name,) in above)}

    def _suspects(self, error: MigrationFailed) -> frozenset[str]:
        """The tables with made-up rows that an up may have failed on: the one that the server names, else those that the up names, else all."""
        holding = {table.replace('"', ""): table for table in self.invented if self.rows().get(table)}
        if error.rows is not None and error.rows.table:
            return frozenset(table for plain, table in holding.items() if plain in self._with_roots(error.rows.table))
        text = next((each.up.sql for each in self.migrations if each.version == error.failed), "")
        words = set(re.findall(r"\w+", text.lower()))
        named = frozenset(table for plain, table in holding.items() if plain.rpartition(".")[2].lower() in words)
        return named or frozenset(holding.values())


def _noted(error: MigrationFailed, note: str) -> MigrationFailed:
    error.args = (f"{error}; {note}",)
    return error
