"""All pending migrations of a release, or none. REQ-o00044-A, -B, -C, -D, -G, -K, -L, -M, -R.

One runner at a time; one transaction; the schema compared with the rehearsed one before the commit; an alert while a
migration runs too long. What is applied is told by the ledger, never by what this process believes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, Final

from pytest_deploy.errors import (
    Fault,
    ManualInterventionRequired,
    MigrationFailed,
    MigrationsRefused,
    PlatformUnavailable,
)
from pytest_deploy.migrate import ledger
from pytest_deploy.migrate.catalog import read_catalog
from pytest_deploy.migrate.engine import Engine, Stop, watched
from pytest_deploy.migrate.invalid_index import drop_invalid, invalid
from pytest_deploy.migrate.ledger import Applied
from pytest_deploy.migrate.lock import ENGINE_KEY, sole_runner
from pytest_deploy.migrate.migration import Migration
from pytest_deploy.migrate.session import Rows, connect, plain

if TYPE_CHECKING:
    import psycopg

BUDGET_S: Final = 300.0
"""REQ-o00044-L and -T: five minutes."""
_BLOCKERS: Final = """
select format('pid %%s (%%s, %%s, since %%s UTC)', pid, coalesce(nullif(application_name, ''), usename), state,
              to_char(state_change at time zone 'utc', 'HH24:MI:SS'))
from pg_stat_activity where pid = any (pg_blocking_pids(%s)) order by pid
"""


def pending(connection: psycopg.Connection[Any], migrations: Sequence[Migration]) -> tuple[Migration, ...]:
    """What is not applied yet, in order. Raises MigrationsRefused where history and files disagree."""
    return ledger.judge(migrations, ledger.applied(connection))


def _ignore(_: str) -> None:
    """Nobody wants to be alerted."""


def apply(
    conninfo: str,
    migrations: Sequence[Migration],
    *,
    actor: str,
    lock_timeout_s: float = 5.0,
    budget_s: float = BUDGET_S,
    on_alert: Callable[[str], None] = _ignore,
    expected_schema: str | None = None,
    wait_s: float = BUDGET_S,
) -> tuple[Applied, ...]:
    """Apply what is pending, in one transaction, through pgmigrate; returns what this call applied, () for nothing.

    `expected_schema` is the SHA-256 of the catalog text after the rehearsal: another schema is not committed. Another
    runner is waited for at most `wait_s` seconds. `on_alert` is called in this thread.

    Raises MigrationsRefused (files and history disagree), Refused (another runner did not end), MigrationFailed (with
    what is applied, what failed, what was not run), ManualInterventionRequired (the server went away and does not tell what it did).
    """
    with sole_runner(conninfo, lock_timeout_s=lock_timeout_s, wait_s=wait_s) as connection:
        ledger.install(connection)
        todo = pending(connection, migrations)
        ledger.note_digests(connection, migrations, actor=actor)
        if not todo:
            return ()
        alone(todo)
        before = {done.seq for done in ledger.applied(connection)}
        done: list[Applied] = []

        def before_end(rows: Rows) -> None:
            done[:] = verify(rows, todo, before, expected_schema)

        broken = invalid(connection)
        engine = Engine(conninfo, todo, actor=actor, lock_timeout_s=lock_timeout_s, before_end=before_end)
        blockers = Blockers(connection)
        stop = watched(engine, budget_s=budget_s, on_alert=on_alert, on_tick=blockers.look)
        if not todo[0].transactional:
            stop = _whole_index(stop, connection, broken, todo[0])
        if stop is not None:
            known = settled(conninfo, lock_timeout_s)
            if stop.checked is not None or not known.issuperset(migration.number for migration in todo):
                raise failure(stop, todo, known, blockers.said)
        return tuple(done)  # also where only the server's answer to the commit was lost


class Blockers:
    """Who keeps the engine waiting for a lock, as last seen."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self.said = ""

    def look(self, backend: int) -> None:
        """Ask the server once, about this server process; an answer is welcome, and none is no failure."""
        import psycopg

        try:
            found = self._connection.execute(_BLOCKERS.encode(), (backend,)).fetchall()
        except psycopg.Error:
            found = []
        if found:
            self.said = "blocked by " + ", ".join(line for (line,) in found)


def _whole_index(
    stop: Stop | None, connection: psycopg.Connection[Any], broken: dict[int, tuple[str, str]], migration: Migration
) -> Stop | None:
    """A half-made index is dropped, and the step has failed, whatever the engine says."""
    dropped = drop_invalid(connection, broken, migration.up)
    if not dropped:
        return stop
    said = f"the index {', '.join(dropped)} was left invalid, and was dropped"
    return Stop(migration.version, f"{stop.said}; {said}" if stop else said, stop.position if stop else None)


def verify(
    rows: Rows, todo: Sequence[Migration], before: AbstractSet[int], expected_schema: str | None
) -> tuple[Applied, ...]:
    """Before the commit: each migration of `todo` is in the history, constraints hold, the schema is the expected one.

    REQ-o00044-C, -D. Returns what the transaction applied. Raises MigrationFailed, and nothing is committed.
    """
    rows("set constraints all immediate; select 1")
    versions = tuple(migration.version for migration in todo)
    done = tuple(done for done in ledger.read_applied(rows) if done.seq not in before)
    if tuple(one.version for one in done) != versions:
        found = ", ".join(one.version for one in done) or "nothing"
        raise MigrationFailed(
            f"the engine applied {found} instead of {', '.join(versions)}; nothing was committed",
            applied=(),
            failed="",
            not_run=versions,
        )
    if expected_schema is not None and (schema := read_catalog(rows).sha256) != expected_schema:
        raise MigrationFailed(
            f"the schema after {versions[-1]} is not the one rehearsed "
            f"(rehearsed {expected_schema[:12]}, found {schema[:12]}); "
            + ("nothing was committed" if todo[0].transactional else "it stays: it ran outside a transaction"),
            applied=() if todo[0].transactional else versions,
            failed=versions[-1],
            not_run=versions[:-1],
        )
    return done


def alone(todo: Sequence[Migration]) -> None:
    """A migration outside a transaction is the only one of its release. Raises MigrationsRefused."""
    if len(todo) > 1:
        faults = [
            Fault(
                str(migration.path),
                migration.up_section.line,
                "",
                f"it runs outside a transaction, and {len(todo) - 1} others are pending with it",
                "release it alone: else the release could half-happen",
            )
            for migration in todo
            if not migration.transactional
        ]
        if faults:
            raise MigrationsRefused("migrations of this release", faults)


def settled(conninfo: str, lock_timeout_s: float) -> frozenset[int]:
    """The versions applied once no engine of ours is at work any more, asked in a session of its own.

    Raises ManualInterventionRequired where the server does not tell: then nobody knows whether the migrations were committed.
    """
    import psycopg

    try:
        with connect(conninfo, lock_timeout_s=lock_timeout_s) as connection:
            connection.execute("select pg_advisory_xact_lock(%s, %s)", ENGINE_KEY)
            return frozenset(done.number for done in ledger.applied(connection))
    except (psycopg.Error, PlatformUnavailable) as error:
        said = plain(error)
    raise ManualInterventionRequired(
        f"nobody knows yet whether the migrations were committed: {said}; "
        "when the server answers, its view deploy.applied tells, and a new run goes on from there"
    )


def failure(stop: Stop, todo: Sequence[Migration], done: frozenset[int], blockers: str = "") -> MigrationFailed:
    """The error for a stop, with the state it left and the author's own line."""
    if isinstance(stop.checked, MigrationFailed):
        return stop.checked
    applied = tuple(migration.version for migration in todo if migration.number in done)
    failed = next((migration for migration in todo if migration.version == stop.version), None)
    others = tuple(migration.version for migration in todo if migration is not failed and migration.number not in done)
    if failed is None:
        message = f"the migrations {', '.join(migration.version for migration in todo)} were not committed: {stop.said}"
        return MigrationFailed(message, applied=applied, failed="", not_run=others)
    state = "nothing was committed" if not applied else f"applied: {', '.join(applied)}"
    if blockers and "lock timeout" in stop.said:
        state = f"{blockers}; {state}"
    return MigrationFailed(
        pointed(failed, stop, state),
        applied=applied,
        failed=failed.version,
        not_run=others,
    )


def pointed(migration: Migration, stop: Stop, state: str) -> str:
    """`file:line: message; state`, and the line of the author's text with a caret where the server points."""
    section = migration.up_section
    if stop.position is None:
        return f"{section.place()}: {stop.said}; {state}"
    start = section.sql.rfind("\n", 0, stop.position) + 1
    line = section.sql.count("\n", 0, stop.position) + 1
    text = section.sql[start:].split("\n", 1)[0].rstrip()
    blank = "".join("\t" if character == "\t" else " " for character in text[: stop.position - start])
    return f"{section.place(line)}: {stop.said}; {state}\n  {text}\n  {blank}^"
