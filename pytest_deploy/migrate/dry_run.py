"""The dry run: pgmigrate's own, the same engine and transaction as a release, and a rollback in place of the commit. REQ-o00044-I."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import sql

from pytest_deploy.errors import Fault, MigrationsRefused, RefusedRows
from pytest_deploy.migrate import ledger
from pytest_deploy.migrate.apply import check_before_commit, failure_of
from pytest_deploy.migrate.engine import Engine
from pytest_deploy.migrate.migration import Migration
from pytest_deploy.migrate.session import Connection, Rows, rows_of, sole_runner
from pytest_deploy.migrate.snapshot import read_catalog
from pytest_deploy.workspace import typed_path

_LOCKS: Final = """
select c.oid::bigint, format('%I.%I', n.nspname, c.relname), l.mode
from pg_locks l join pg_class c on c.oid = l.relation join pg_namespace n on n.oid = c.relnamespace
where l.pid = pg_backend_pid() and l.database = (select oid from pg_database where datname = current_database())
  and l.granted and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'deploy')
  and c.relname not in ('schema_migrations', 'schema_version')
  and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock', 'ShareUpdateExclusiveLock')
order by 2, 3
"""


@dataclass(frozen=True)
class DryRun:
    versions: tuple[str, ...]
    durations_s: tuple[float, ...]
    """Of each version, in seconds."""
    schema_diff: str
    """Unified, of the catalog texts; one line an object or column."""
    after: str
    """SHA-256 of the catalog text that applying would reach."""
    locks: tuple[tuple[str, str], ...]
    """Relations that were there before, each with a lock mode that keeps writers or readers out until the commit."""


def dry_run(conninfo: str, migrations: Sequence[Migration], *, actor: str) -> DryRun:
    """Execute what is pending and take it back; nothing of it stays, not even a ledger that was not there.

    Raises MigrationsRefused (files and history disagree; what runs outside a transaction cannot be taken back),
    Refused (another runner did not end) and MigrationFailed.
    """
    with sole_runner(conninfo) as connection:
        history = ledger.applied(connection)
        pending = ledger.pending(migrations, history)
        catalog = read_catalog(rows_of(connection))
        relations = {oid for (oid,) in rows_of(connection)("select oid::bigint from pg_class")}
        if not pending:
            return DryRun((), (), "", catalog.sha256, ())
        _refuse_outside_transaction(pending)
        observed: list[DryRun] = []

        def before_end(rows: Rows) -> None:
            applied = check_before_commit(rows, pending, history, None)
            after = read_catalog(rows)
            observed.append(
                DryRun(
                    versions=tuple(migration.version for migration in applied),
                    durations_s=tuple(migration.duration_s or 0.0 for migration in applied),
                    schema_diff="".join(catalog.diff(after, "now", "after")),
                    after=after.sha256,
                    locks=tuple((relation, mode) for oid, relation, mode in rows(_LOCKS) if oid in relations),
                )
            )

        prepare = () if ledger.is_present_form(connection) else ledger.definition()[:1]
        stop = Engine(conninfo, pending, actor, before_end, dry_run=True, prepare=prepare).run()
        if stop is not None:
            left = "" if stop.rows is None else _of_real_rows(connection, stop.rows)
            raise failure_of(stop, pending, frozenset(row.number for row in history), "", left)
        return observed[0]


def _of_real_rows(connection: Connection, refused: RefusedRows) -> str:
    """Whose rows a dry run failed on, in words, and how many there are; never a row."""
    table = sql.Identifier(*refused.table.split(".", 1)) if refused.table else None
    if table is None:
        return "it failed on rows of the real database or of the migrations; nothing was committed"
    try:
        ((held,),) = connection.execute(sql.SQL("select count(*) from {}").format(table)).fetchall()
    except psycopg.errors.UndefinedTable:
        held = 0
    if not held:
        return f"the migrations themselves put rows into {refused.table} that violate it; nothing was committed"
    return f"rows of the real database violate it ({refused.table} holds {held}); nothing was committed"


def _refuse_outside_transaction(pending: Sequence[Migration]) -> None:
    faults = [
        Fault(
            typed_path(migration.path),
            migration.up.line,
            "",
            "it runs outside a transaction and cannot be taken back",
            "leave the dry run out: the trial shows what it does",
        )
        for migration in pending
        if not migration.transactional
    ]
    if faults:
        raise MigrationsRefused("dry run", faults)
