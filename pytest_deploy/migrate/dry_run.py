"""The release's migrations on the real database, executed and taken back. REQ-o00044-I.

Shows what would change, which locks it takes and how long it holds them. It is pgmigrate's own dry run: the same engine, the same
transaction, and a rollback in place of the commit.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pytest_deploy.errors import Fault, MigrationsRefused
from pytest_deploy.migrate import ledger
from pytest_deploy.migrate.apply import failure, verify
from pytest_deploy.migrate.catalog import Catalog, read_catalog
from pytest_deploy.migrate.engine import Engine, watched
from pytest_deploy.migrate.lock import sole_runner
from pytest_deploy.migrate.migration import Migration
from pytest_deploy.migrate.session import Rows, rows_of

_LOCKS: Final = """
select c.oid::bigint, format('%I.%I', n.nspname, c.relname), l.mode
from pg_locks l join pg_class c on c.oid = l.relation join pg_namespace n on n.oid = c.relnamespace
where l.pid = pg_backend_pid() and l.database = (select oid from pg_database where datname = current_database())
  and l.granted and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'deploy')
  and c.relname not in ('schema_migrations', 'schema_version')
  and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock', 'ShareUpdateExclusiveLock')
order by 2, 3
"""
_RELATIONS: Final = "select oid::bigint from pg_class"


def _nobody(_: str) -> None:
    """A dry run alerts nobody: it shows its times."""


@dataclass(frozen=True)
class DryRun:
    """What applying would do."""

    versions: tuple[str, ...]
    durations_s: tuple[float, ...]
    """Of each version, in seconds."""
    schema_diff: str
    """Unified, of the catalog texts; one line an object or column."""
    after: str
    """SHA-256 of the catalog text that applying would reach."""
    locks: tuple[tuple[str, str], ...]
    """Relations that were there before, each with a lock mode that keeps writers or readers out until the commit."""


def dry_run(
    conninfo: str, migrations: Sequence[Migration], *, actor: str, lock_timeout_s: float = 5.0, wait_s: float = 300.0
) -> DryRun:
    """Execute what is pending and take it back; nothing of it stays, not even a ledger that was not there.

    Raises MigrationsRefused (files and history disagree; what runs outside a transaction cannot be taken back),
    Refused (another runner did not end) and MigrationFailed.
    """
    with sole_runner(conninfo, lock_timeout_s=lock_timeout_s, wait_s=wait_s) as connection:
        history = ledger.applied(connection)
        todo = ledger.judge(migrations, history)
        before = read_catalog(rows_of(connection))
        there = {oid for (oid,) in rows_of(connection)(_RELATIONS)}
        if not todo:
            return DryRun((), (), "", before.sha256, ())
        _refuse_outside(todo)
        seen: list[DryRun] = []

        def look(rows: Rows) -> None:
            verify(rows, todo, {done.seq for done in history}, None)
            seen.append(_seen(rows, before, there, {migration.number for migration in todo}))

        engine = Engine(
            conninfo,
            todo,
            actor=actor,
            lock_timeout_s=lock_timeout_s,
            before_end=look,
            dry_run=True,
            prepare=() if ledger.installed(connection) else (ledger.definition(),),
        )
        stop = watched(engine, budget_s=float("inf"), on_alert=_nobody)
        if stop is not None:
            raise failure(stop, todo, frozenset(done.number for done in history))
        return seen[0]


def _refuse_outside(todo: Sequence[Migration]) -> None:
    faults = [
        Fault(
            str(one.path),
            one.up_section.line,
            "",
            "it runs outside a transaction and cannot be taken back",
            "rehearse it",
        )
        for one in todo
        if not one.transactional
    ]
    if faults:
        raise MigrationsRefused("dry run", faults)


def _seen(rows: Rows, before: Catalog, there: set[int], numbers: set[int]) -> DryRun:
    after = read_catalog(rows)
    done = [one for one in ledger.read_applied(rows) if one.number in numbers]
    lines = difflib.unified_diff(
        before.text.splitlines(keepends=True), after.text.splitlines(keepends=True), "now", "after", n=0
    )
    return DryRun(
        versions=tuple(one.version for one in done),
        durations_s=tuple(one.duration_s or 0.0 for one in done),
        schema_diff="".join(lines),
        after=after.sha256,
        locks=tuple((relation, mode) for oid, relation, mode in rows(_LOCKS) if oid in there),
    )
