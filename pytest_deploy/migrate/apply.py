"""All pending migrations of a release, batch by batch; each batch is applied or not at all. REQ-o00044-A, -B, -C, -D, -G, -I, -K, -L, -M, -R.

One runner at a time; a release is one batch, unless policy allows several (`migrate/batches.py`); the schema compared with the trial's before the commit; an alert while a migration
runs too long. What is applied is read from the ledger, never taken from what this process believes. A dry run is the same
with a rollback in place of the commit.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import KW_ONLY, dataclass, replace
from typing import Final

import psycopg
from psycopg import sql

from pytest_deploy.errors import (
    ManualInterventionRequired,
    MigrationFailed,
    PlatformUnavailable,
)
from pytest_deploy.migrate import ledger
from pytest_deploy.migrate.batches import batches, require_one_batch, require_tried
from pytest_deploy.migrate.engine import ENGINE, Engine, Stop
from pytest_deploy.migrate.history_check import read_history, require_no_trace
from pytest_deploy.migrate.ledger import Applied
from pytest_deploy.migrate.migration import Migration
from pytest_deploy.migrate.rights import require_rights
from pytest_deploy.migrate.session import ENGINE_KEY, Connection, Rows, connect, rows_of, server_message, sole_runner
from pytest_deploy.migrate.snapshot import Catalog, read_catalog

logger = logging.getLogger(__name__)

BUDGET_S: Final = 300.0
"""REQ-o00044-L and -T: five minutes."""
_ASKED_AGAIN_AFTER_S: Final = (0.2, 1.0)
"""Seconds until a server that did not tell what it committed is asked again."""


def apply(
    conninfo: str,
    migrations: Sequence[Migration],
    *,
    actor: str,
    budget_s: float = BUDGET_S,
    on_alert: Callable[[str], None] = lambda _: None,
    on_lock_timeout: Callable[[float], None] = lambda _: None,
    on_batch: Callable[[tuple[Applied, ...]], None] = lambda _: None,
    before_commit: Callable[[Rows], None] = lambda _: None,
    expected: Mapping[str, str] | None = None,
    several: bool = False,
    take_over: Callable[[Connection], None] = ledger.refuse_others,
    wait_s: float = 300.0,
) -> tuple[Applied, ...]:
    """Apply what is pending through pgmigrate; returns what this call applied, () for nothing.

    Args:
        conninfo: of the database's owner.
        migrations: the whole folder, as `read_migrations` gives it.
        actor: who the ledger says applied them.
        budget_s: seconds after which `on_alert` is called, once, in this thread, while the migrations go on.
        on_alert: gets the alert's text.
        on_lock_timeout: gets the seconds after which the migrations' own session gives up on a lock (0: never), as the server
            says just before each commit. REQ-o00044-K.
        on_batch: gets what a batch applied, once it is committed.
        before_commit: looks at what a batch did, last, and raises MigrationFailed where it must not be committed.
        expected: by version the SHA-256 of the catalog text that it makes, as the trial found: another schema is not committed,
            and no version that is not among them.
        several: whether what is pending may commit in several batches, also on a database that has a history.
        take_over: makes another tool's history ours, in the runner's session; without it such a database is refused.
        wait_s: seconds to wait for another runner to end.

    Raises:
        MigrationsRefused: files and history disagree, the history is another tool's, or one that runs outside a transaction is not alone.
        Refused: another runner did not end.
        MigrationFailed: with what is applied, what failed, what was not run.
        ManualInterventionRequired: the server went away and does not tell what it did.
    """
    with sole_runner(conninfo, wait_s=wait_s) as connection:
        # 1. What is pending, by the ledger; digests of what other tools applied are noted.
        require_rights(connection)
        take_over(connection)
        ledger.install(connection)
        history = ledger.applied(connection)
        pending = ledger.pending(migrations, history)
        ledger.note_digests(connection, migrations, actor=actor)
        if not pending:
            logger.debug("nothing is pending")
            return ()
        require_one_batch(pending, several=several or not history)
        if expected is not None:
            require_tried(pending, expected)

        # 2. One batch after the other; the time runs for all of them together.
        alert = _Alert(budget_s, on_alert)
        applied: list[Applied] = []
        for batch in batches(pending):
            work = _Batch(
                conninfo,
                connection,
                actor=actor,
                pending=batch,
                earlier=tuple(done.version for done in applied),
                later=tuple(each.version for each in pending[len(applied) + len(batch) :]),
                expected_schema=(expected or {}).get(batch[-1].version),
                before_commit=before_commit,
            )
            committed = work.run(alert, on_lock_timeout)
            applied.extend(committed)
            on_batch(committed)
        return tuple(applied)


@dataclass
class _Alert:
    """Told once, when the time of all batches together is over."""

    budget_s: float
    tell: Callable[[str], None]

    def __post_init__(self) -> None:
        self.until = time.monotonic() + self.budget_s

    def __call__(self) -> None:
        self.until = float("inf")
        self.tell(f"the migration runs for more than {self.budget_s:g} s and is not done")


@dataclass(frozen=True)
class _Batch:
    """Migrations that commit together: pgmigrate runs them, and before the commit it is seen what they did."""

    conninfo: str
    connection: Connection
    """The runner's own session, which commits each statement by itself."""
    _: KW_ONLY
    actor: str
    pending: Sequence[Migration]
    earlier: tuple[str, ...]
    """Versions that batches before this one have committed."""
    later: tuple[str, ...]
    """Versions that come after this batch."""
    expected_schema: str | None
    before_commit: Callable[[Rows], None]

    def run(self, alert: _Alert, on_lock_timeout: Callable[[float], None]) -> tuple[Applied, ...]:
        """What was committed. Raises MigrationFailed, ManualInterventionRequired."""
        connection, pending = self.connection, self.pending
        history = ledger.applied(connection)
        committed: list[Applied] = []
        blockers = ""

        def before_end(rows: Rows) -> None:
            committed.extend(check_before_commit(rows, pending, history, self.expected_schema))
            require_no_trace(rows, pending, ledger_before, actor=self.actor, engine=ENGINE)
            ((milliseconds,),) = rows("select setting::bigint from pg_settings where name = 'lock_timeout'")
            on_lock_timeout(milliseconds / 1000)
            self.before_commit(rows)

        def look(backend: int) -> None:
            nonlocal blockers
            blockers = blockers_of(connection, backend) or blockers

        # 1. Run it in pgmigrate's thread; just before the commit look at what it did.
        alone = not pending[0].transactional
        schema_before = read_catalog(rows_of(connection)) if alone else None
        invalid_before = invalid_indexes(connection)
        ledger_before = read_history(rows_of(connection))
        logger.debug("applying %s", ", ".join(migration.version for migration in pending))
        engine = Engine(self.conninfo, pending, self.actor, before_end)
        stop = engine.run(until=alert.until, on_late=alert, on_tick=look)

        # 2. CREATE INDEX CONCURRENTLY may leave half an index: that one goes, and the migration has failed.
        if alone:
            stop = _refuse_half_index(stop, connection, invalid_before, pending[0])

        # 3. Where the engine stopped, the ledger tells whether it was before or after the commit.
        if stop is not None:
            logger.debug("the engine stopped at %s: %s", stop.version, stop.message)
            applied_now = settled_versions(self.conninfo)
            if stop.check_error is not None or not applied_now.issuperset(migration.number for migration in pending):
                left = "" if schema_before is None else _left_behind(connection, schema_before)
                raise self._among_batches(failure_of(stop, pending, applied_now, blockers, left))
        return tuple(committed)  # also where only the server's answer to the commit was lost

    def _among_batches(self, error: MigrationFailed) -> MigrationFailed:
        """The failure of this batch, told as the release's: what was committed before it, and what comes after it."""
        if self.earlier:
            error.args = (f"{error}; batches before it were committed: {', '.join(self.earlier)}",)
        error.applied = (*self.earlier, *error.applied)
        error.not_run = (*error.not_run, *self.later)
        return error


def _left_behind(connection: Connection, before: Catalog) -> str:
    """What a failed statement outside a transaction left, in words: a DO or CALL may have committed before it failed."""
    stays = "it ran outside a transaction, so what it did before stays"
    if read_catalog(rows_of(connection)) != before:
        return f"{stays}: the schema is no longer what it was"
    return f"{stays}; the schema is what it was"


def check_before_commit(
    rows: Rows, pending: Sequence[Migration], before: Sequence[Applied], expected_schema: str | None
) -> tuple[Applied, ...]:
    """Each migration of `pending` is in the history, constraints hold, the schema is the expected one. REQ-o00044-C, -D.

    Returns what the transaction applied. Raises MigrationFailed, and then nothing of a transaction is committed.
    """
    rows("set constraints all immediate; select 1")
    versions = tuple(migration.version for migration in pending)
    state = "nothing was committed" if pending[0].transactional else "it stays: it ran outside a transaction"
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
            applied=() if pending[0].transactional else versions,
            failed=versions[-1],
            not_run=versions[:-1],
        )
    return applied_now


def settled_versions(conninfo: str) -> frozenset[int]:
    """The versions applied once no engine of ours is at work any more, asked in a session of its own.

    Raises ManualInterventionRequired where the server does not tell: then nobody knows whether the migrations were committed.
    """
    reason = ""
    for pause_s in (*_ASKED_AGAIN_AFTER_S, None):  # what cut the engine off may cut this off as well
        try:
            with connect(conninfo) as connection:
                connection.execute("select pg_advisory_xact_lock(%s, %s)", ENGINE_KEY)
                return frozenset(migration.number for migration in ledger.applied(connection))
        except (psycopg.Error, PlatformUnavailable) as error:
            reason = server_message(error)
        if pause_s is not None:
            time.sleep(pause_s)
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
        return MigrationFailed(message, applied=applied, not_run=others, rows=stop.rows)
    state = f"applied: {', '.join(applied)}" if applied else left or "nothing was committed"
    if blockers and "lock timeout" in stop.message:
        state = f"{blockers}; {state}"
    message = point_at_line(failed, stop, state)
    return MigrationFailed(message, applied=applied, failed=failed.version, not_run=others, rows=stop.rows)


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
