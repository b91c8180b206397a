"""All pending migrations of a release, or none. REQ-o00044-A, -B, -C, -D, -G, -I, -K, -L, -M, -R.

One runner at a time; one transaction; the schema compared with the trial's before the commit; an alert while a migration
runs too long. What is applied is read from the ledger, never taken from what this process believes. A dry run is the same
with a rollback in place of the commit.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final

import psycopg
from psycopg import sql

from pytest_deploy.errors import (
    Fault,
    ManualInterventionRequired,
    MigrationFailed,
    MigrationsRefused,
    PlatformUnavailable,
)
from pytest_deploy.migrate import ledger
from pytest_deploy.migrate.engine import Engine, Stop
from pytest_deploy.migrate.ledger import Applied
from pytest_deploy.migrate.migration import Migration
from pytest_deploy.migrate.session import ENGINE_KEY, Connection, Rows, connect, rows_of, server_message, sole_runner
from pytest_deploy.migrate.snapshot import Catalog, read_catalog

logger = logging.getLogger(__name__)

BUDGET_S: Final = 300.0
"""REQ-o00044-L and -T: five minutes."""


def apply(
    conninfo: str,
    migrations: Sequence[Migration],
    *,
    actor: str,
    budget_s: float = BUDGET_S,
    on_alert: Callable[[str], None] = lambda _: None,
    on_lock_timeout: Callable[[float], None] = lambda _: None,
    expected_schema: str | None = None,
    wait_s: float = 300.0,
) -> tuple[Applied, ...]:
    """Apply what is pending, in one transaction, through pgmigrate; returns what this call applied, () for nothing.

    Args:
        conninfo: of the database's owner.
        migrations: the whole folder, as `read_migrations` gives it.
        actor: who the ledger says applied them.
        budget_s: seconds after which `on_alert` is called, once, in this thread, while the migrations go on.
        on_alert: gets the alert's text.
        on_lock_timeout: gets the seconds after which the migrations' own session gives up on a lock (0: never), as the server
            says just before the commit. REQ-o00044-K.
        expected_schema: SHA-256 of the catalog text after the trial: another schema is not committed.
        wait_s: seconds to wait for another runner to end.

    Raises:
        MigrationsRefused: files and history disagree, or one that runs outside a transaction is not alone.
        Refused: another runner did not end.
        MigrationFailed: with what is applied, what failed, what was not run.
        ManualInterventionRequired: the server went away and does not tell what it did.
    """
    with sole_runner(conninfo, wait_s=wait_s) as connection:
        # 1. What is pending, by the ledger; digests of what other tools applied are noted.
        ledger.install(connection)
        history = ledger.applied(connection)
        pending = ledger.pending(migrations, history)
        ledger.note_digests(connection, migrations, actor=actor)
        if not pending:
            logger.debug("nothing is pending")
            return ()
        require_alone(pending)

        # 2. Run it in pgmigrate's thread; just before the commit look at what it did.
        committed: list[Applied] = []
        blockers = ""

        def before_end(rows: Rows) -> None:
            committed.extend(check_before_commit(rows, pending, history, expected_schema))
            ((milliseconds,),) = rows("select setting::bigint from pg_settings where name = 'lock_timeout'")
            on_lock_timeout(milliseconds / 1000)

        def look(backend: int) -> None:
            nonlocal blockers
            blockers = blockers_of(connection, backend) or blockers

        alone = not pending[0].up.transactional
        schema_before = read_catalog(rows_of(connection)) if alone else None
        invalid_before = invalid_indexes(connection)
        logger.debug("applying %s", ", ".join(migration.version for migration in pending))
        stop = Engine(conninfo, pending, actor, before_end).run(budget_s=budget_s, on_alert=on_alert, on_tick=look)

        # 3. CREATE INDEX CONCURRENTLY may leave half an index: that one goes, and the migration has failed.
        if alone:
            stop = _refuse_half_index(stop, connection, invalid_before, pending[0])

        # 4. Where the engine stopped, the ledger tells whether it was before or after the commit.
        if stop is not None:
            logger.debug("the engine stopped at %s: %s", stop.version, stop.message)
            applied_now = settled_versions(conninfo)
            if stop.check_error is not None or not applied_now.issuperset(migration.number for migration in pending):
                left = "" if schema_before is None else _left_behind(connection, schema_before)
                raise failure_of(stop, pending, applied_now, blockers, left)
        return tuple(committed)  # also where only the server's answer to the commit was lost


def _left_behind(connection: Connection, before: Catalog) -> str:
    """What a failed statement outside a transaction left, in words: a DO or CALL may have committed before it failed."""
    stays = "it ran outside a transaction, so what it did before stays"
    if read_catalog(rows_of(connection)) != before:
        return f"{stays}: the schema is no longer what it was"
    return f"{stays}; the schema is what it was"


def require_alone(pending: Sequence[Migration]) -> None:
    """A migration outside a transaction is the only one of its release. Raises MigrationsRefused."""
    if len(pending) > 1:
        problem = f"it runs outside a transaction, and {len(pending) - 1} others are pending with it"
        remedy = "release it alone: else the release could half-happen"
        _require_transaction(pending, "migrations of this release", problem, remedy)


def _require_transaction(pending: Sequence[Migration], subject: str, problem: str, remedy: str) -> None:
    faults = [
        Fault(str(migration.path), migration.up.line, "", problem, remedy)
        for migration in pending
        if not migration.up.transactional
    ]
    if faults:
        raise MigrationsRefused(subject, faults)


def check_before_commit(
    rows: Rows, pending: Sequence[Migration], before: Sequence[Applied], expected_schema: str | None
) -> tuple[Applied, ...]:
    """Each migration of `pending` is in the history, constraints hold, the schema is the expected one. REQ-o00044-C, -D.

    Returns what the transaction applied. Raises MigrationFailed, and then nothing of a transaction is committed.
    """
    rows("set constraints all immediate; select 1")
    versions = tuple(migration.version for migration in pending)
    state = "nothing was committed" if pending[0].up.transactional else "it stays: it ran outside a transaction"
    earlier_seqs = {row.seq for row in before}
    applied_now = tuple(applied for applied in ledger.read_applied(rows) if applied.seq not in earlier_seqs)
    if tuple(migration.version for migration in applied_now) != versions:
        shown = ", ".join(migration.version for migration in applied_now) or "nothing"
        raise MigrationFailed(
            f"the engine applied {shown} instead of {', '.join(versions)}; {state}",
            not_run=versions,
        )
    if expected_schema is not None and (schema := read_catalog(rows).sha256) != expected_schema:
        raise MigrationFailed(
            f"the schema after {versions[-1]} is not the one of the trial "
            f"(trial {expected_schema[:12]}, found {schema[:12]}); {state}",
            applied=() if pending[0].up.transactional else versions,
            failed=versions[-1],
            not_run=versions[:-1],
        )
    return applied_now


def settled_versions(conninfo: str) -> frozenset[int]:
    """The versions applied once no engine of ours is at work any more, asked in a session of its own.

    Raises ManualInterventionRequired where the server does not tell: then nobody knows whether the migrations were committed.
    """
    try:
        with connect(conninfo) as connection:
            connection.execute("select pg_advisory_xact_lock(%s, %s)", ENGINE_KEY)
            return frozenset(migration.number for migration in ledger.applied(connection))
    except (psycopg.Error, PlatformUnavailable) as error:
        reason = server_message(error)
    raise ManualInterventionRequired(
        f"nobody knows yet whether the migrations were committed: {reason}; "
        "when the server answers, its view deploy.applied tells, and a new run goes on from there"
    )


# --- What went wrong, and where: the error for a stop.

_BLOCKERS: Final = """
select format('pid %%s (%%s, %%s, since %%s UTC)', pid, coalesce(nullif(application_name, ''), usename), state,
              to_char(state_change at time zone 'utc', 'HH24:MI:SS'))
from pg_stat_activity where pid = any (pg_blocking_pids(%s)) order by pid
"""


def blockers_of(connection: Connection, backend: int) -> str:
    """`blocked by pid 12 (…)`: who keeps this server process waiting for a lock; empty where nobody does, or no answer comes."""
    try:
        lines = connection.execute(_BLOCKERS.encode(), (backend,)).fetchall()
    except psycopg.Error:
        return ""
    return "blocked by " + ", ".join(line for (line,) in lines) if lines else ""


def failure_of(
    stop: Stop, pending: Sequence[Migration], applied_numbers: AbstractSet[int], blockers: str, left: str = ""
) -> MigrationFailed:
    """The error for a stop, with the author's own line and the state it left: `left`, where no transaction took it back."""
    if isinstance(stop.check_error, MigrationFailed):
        return stop.check_error
    applied = tuple(migration.version for migration in pending if migration.number in applied_numbers)
    failed = next((migration for migration in pending if migration.version == stop.version), None)
    others = tuple(each.version for each in pending if each is not failed and each.number not in applied_numbers)
    if failed is None:
        versions = ", ".join(migration.version for migration in pending)
        message = f"the migrations {versions} were not committed: {stop.message}{f'; {left}' if left else ''}"
        return MigrationFailed(message, applied=applied, not_run=others)
    state = f"applied: {', '.join(applied)}" if applied else left or "nothing was committed"
    if blockers and "lock timeout" in stop.message:
        state = f"{blockers}; {state}"
    return MigrationFailed(point_at_line(failed, stop, state), applied=applied, failed=failed.version, not_run=others)


def point_at_line(migration: Migration, stop: Stop, state: str) -> str:
    """`file:line: message; state`, and the line of the author's text with a caret where the server points."""
    section = migration.up
    if stop.position is None:
        return f"{section.place(stop.line)}: {stop.message}; {state}"
    start = section.sql.rfind("\n", 0, stop.position) + 1
    line = section.sql.count("\n", 0, stop.position) + 1
    text = section.sql[start:].split("\n", 1)[0].rstrip()
    blank = "".join("\t" if character == "\t" else " " for character in text[: stop.position - start])
    return f"{section.place(line)}: {stop.message}; {state}\n  {text}\n  {blank}^"


# --- Indexes that CREATE INDEX CONCURRENTLY left behind half-made.
#
# Such an index costs every write and serves no read, and the next attempt stumbles over its name.

_INVALID: Final = """
select c.oid::bigint, format('%I.%I', n.nspname, c.relname), c.relname
from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
where not i.indisvalid and c.relkind = 'i' and n.nspname !~ '^pg_' order by 2
"""


def invalid_indexes(connection: Connection) -> dict[int, tuple[str, str]]:
    """Every invalid index: qualified name and bare name, by identity."""
    return {oid: (qualified, name) for oid, qualified, name in connection.execute(_INVALID.encode())}


def _refuse_half_index(
    stop: Stop | None, connection: Connection, before: dict[int, tuple[str, str]], migration: Migration
) -> Stop | None:
    """A half-made index is dropped, and the step has failed, whatever the engine says. The session commits by itself."""
    dropped = []
    for oid, (qualified, name) in invalid_indexes(connection).items():
        # Made by the migration, or by an earlier attempt: then the migration names it.
        if oid not in before or re.search(rf"(?<!\w){re.escape(name)}(?!\w)", migration.up.sql):
            connection.execute(sql.SQL("drop index concurrently if exists {}").format(sql.SQL(qualified)))
            dropped.append(qualified)
    if not dropped:
        return stop
    message = f"the index {', '.join(dropped)} was left invalid, and was dropped"
    if stop is None:
        return Stop(migration.version, message, None)
    return replace(stop, version=migration.version, message=f"{stop.message}; {message}")


# --- The dry run: pgmigrate's own, the same engine and transaction, and a rollback in place of the commit. REQ-o00044-I.

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
        _require_transaction(
            pending, "dry run", "it runs outside a transaction and cannot be taken back", "rehearse it"
        )
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

        prepare = () if ledger.installed(connection) else ledger.definition()[:1]
        stop = Engine(conninfo, pending, actor, before_end, dry_run=True, prepare=prepare).run()
        if stop is not None:
            raise failure_of(stop, pending, frozenset(row.number for row in history), "")
        return observed[0]
