"""The way back: the downs of a release, latest first, each batch in one transaction. REQ-o00044-G, -H, -P.

A down runs as it was when its up was applied: the ledger keeps it, so that a checkout without the newer files, or with
edited ones, still undoes exactly what was done. Rows that a down takes with it are saved first.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import psycopg

from pytest_deploy.errors import Fault, MigrationFailed, MigrationsRefused
from pytest_deploy.migrate import ledger, loss
from pytest_deploy.migrate.batches import batches
from pytest_deploy.migrate.engine import do_block, ledger_facts, place_of_error
from pytest_deploy.migrate.history_check import Event, History, read_history, tampered
from pytest_deploy.migrate.ledger import Applied
from pytest_deploy.migrate.migration import Migration, Section
from pytest_deploy.migrate.saved_rows import Loss, LossWatch, Saved, save_rows
from pytest_deploy.migrate.session import (
    ENGINE_KEY,
    LOCK_LEFT,
    Connection,
    Rows,
    connect,
    let_go_of_locks,
    refused_rows,
    rows_of,
    server_message,
    sole_runner,
)
from pytest_deploy.migrate.snapshot import read_catalog

logger = logging.getLogger(__name__)

ENGINE: Final = "pytest-deploy"


@dataclass(frozen=True)
class RolledBack:
    version: str
    name: str
    sha256: str | None
    """Of the file, as it was applied."""
    actor: str
    duration_s: float
    lost: tuple[Saved, ...] = ()
    """On the first of its batch: rows that the downs took with them, and where they were saved."""


@dataclass(frozen=True)
class Undo:
    done: Applied
    sql: str
    transactional: bool
    file: Section | None
    """Where it stands, where the file is the one that was applied; else the ledger alone has it."""

    def failure(self, error: psycopg.Error) -> MigrationFailed:
        version = self.done.version
        _, line = place_of_error(error.diag, self.sql)
        place = f"ledger, version {version}, line {line}" if self.file is None else self.file.place(line)
        left = (
            "nothing was undone" if self.transactional else "it ran outside a transaction, so what it did before stays"
        )
        return MigrationFailed(
            f"{place}: the way down of {version} failed: {server_message(error)}; {left}",
            failed=version,
            rows=refused_rows(error),
        )

    def undone(self, actor: str, duration_s: float) -> RolledBack:
        return RolledBack(self.done.version, self.done.name, self.done.sha256, actor, duration_s)


def roll_back(
    conninfo: str,
    migrations: Sequence[Migration],
    *,
    to: Sequence[str],
    actor: str,
    expected_schema: str | None = None,
    save_into: Path | None = None,
    before_commit: Callable[[Rows], None] = lambda _: None,
) -> tuple[RolledBack, ...]:
    """Undo every applied migration that is not in `to`, the versions that shall remain; () where there is none.

    `expected_schema` is `Snapshot.catalog` from before the release: another schema is not committed. Rows that the
    downs take with them go into new files of `save_into` first; without it a rollback that would lose rows is refused.
    `before_commit` looks at what the transaction did, last, and raises MigrationFailed where it must not be committed.

    Raises MigrationsRefused (a version that shall remain is not applied, a hole would be left, no way down is known),
    Refused (another runner did not end) and MigrationFailed (then all of its batch are still applied).
    """
    with sole_runner(conninfo) as keeper:
        # 1. What to undo, by the ledger. One that an older release installed is brought to its present form first.
        if ledger.installed(keeper):
            ledger.install(keeper)
        undo = plan_downs(ledger.applied(keeper), migrations, to)
        if not undo:
            _verify(keeper, expected_schema, "nothing was undone")
            return ()
        logger.debug("undoing %s", ", ".join(way.done.version for way in undo))
        # 2. One batch after the other (a release may have committed in several); the last one must reach the schema of before.
        undone: list[RolledBack] = []
        ways = batches(undo)
        for batch in ways:
            expected = expected_schema if batch is ways[-1] else None
            try:
                if batch[0].transactional:
                    undone.extend(
                        _run_together(
                            conninfo,
                            batch,
                            actor,
                            expected_schema=expected,
                            save_into=save_into,
                            before_commit=before_commit,
                        )
                    )
                else:
                    undone.extend(_run_alone(keeper, batch[0], actor, expected))
            except MigrationFailed as error:
                raise _among_batches(error, undone) from None
        return tuple(undone)


def _among_batches(error: MigrationFailed, undone: Sequence[RolledBack]) -> MigrationFailed:
    """The failure of one batch, told as that of the whole way back: what was undone before it stays undone."""
    if undone:
        versions = ", ".join(done.version for done in undone)
        saved = "".join(f"; rows of {lost.table} lie in {lost.place}" for done in undone for lost in done.lost)
        error.args = (f"{error}; undone before it, and committed: {versions}{saved}",)
    return error


def _run_together(
    conninfo: str,
    batch: Sequence[Undo],
    actor: str,
    *,
    expected_schema: str | None,
    save_into: Path | None,
    before_commit: Callable[[Rows], None],
) -> tuple[RolledBack, ...]:
    """One batch in one transaction, verified before its commit."""
    with connect(conninfo) as connection:
        connection.execute("select pg_advisory_xact_lock(%s, %s)", ENGINE_KEY)
        history = read_history(rows_of(connection))
        lost: list[Saved] = []
        try:
            _run(connection, batch, actor, save_into, lost)
            connection.execute("set constraints all immediate")
            _verify_traces(connection, history, batch, actor, "nothing was committed")
            _verify(connection, expected_schema, "nothing was committed", batch[-1].done.version)
            before_commit(rows_of(connection))
            return _rolled_back(connection, batch, actor, tuple(lost))
        except BaseException:  # rows that are still in the database do not lie beside it
            for saved in lost:
                Path(saved.place).unlink(missing_ok=True)
            raise


def losses_with(
    conninfo: str,
    migrations: Sequence[Migration],
    *,
    to: Sequence[str],
    actor: str,
    write: Callable[[Connection], None],
) -> tuple[Saved, ...]:
    """What the same way back would lose if `write` had written rows first. Changes nothing.

    () also where that cannot be told: a way down that fails on such rows, or that runs outside a transaction.
    """
    lost: list[Saved] = []
    with connect(conninfo) as connection, TemporaryDirectory(prefix="trial-") as spill:
        undo = plan_downs(ledger.applied(connection), migrations, to)
        if not undo or not undo[0].transactional:
            return ()
        write(connection)
        with suppress(MigrationFailed):
            _run(connection, undo, actor, Path(spill), lost)
        connection.rollback()
    return tuple(lost)


def plan_downs(history: Sequence[Applied], migrations: Sequence[Migration], to: Sequence[str]) -> tuple[Undo, ...]:
    """The downs to run, latest applied first. Raises MigrationsRefused, all faults at once."""
    remain = {int(version) for version in to}
    applied = {row.number for row in history}
    files = {migration.number: migration for migration in migrations}
    faults = [
        Fault("history", None, f"{number:04d}", "it shall remain, and it is not applied", "name a version that is")
        for number in sorted(remain - applied)
    ]
    undo: list[Undo] = []
    for row in sorted(history, key=lambda row: -row.seq):
        if row.number in remain:
            continue
        if row.number < max(remain, default=0):
            problem = f"a later version ({max(remain)}) shall remain"
            faults.append(Fault("history", None, row.version, problem, "undo that one as well"))
        way = _way_down(row, files.get(row.number))
        if way is None:
            problem = "no way down is known: neither the ledger nor an unedited file has one"
            faults.append(
                Fault("history", None, row.version, problem, "restore its file from the commit of its release")
            )
        else:
            undo.append(way)
    if faults:
        raise MigrationsRefused("rollback", faults)
    return tuple(undo)


def _way_down(done: Applied, file: Migration | None) -> Undo | None:
    same = file is not None and done.sha256 in {None, file.sha256}
    if done.way_down is not None:
        # Its lines are the file's where the file has the same text.
        written = file.down if file is not None and same and file.down.sql == done.way_down else None
        return Undo(done, done.way_down, transactional=True, file=written)
    if file is None or not same or not file.reversible:
        return None
    return Undo(done, file.down.sql, file.down.transactional, file.down)


def _execute(connection: Connection, way: Undo, actor: str) -> None:
    done = way.done
    facts = ledger_facts(done.version, done.name, done.sha256, down=None)
    query = do_block(way.sql, done.version, facts, actor=actor, engine=ENGINE)
    query += f" select deploy.append({done.number}, null, 'down', '', '{ENGINE}', '')"
    _attempt(connection, query, way)


def _attempt(connection: Connection, query: str, way: Undo) -> None:
    """Run it. What the server refuses is raised outside the except clause: no chained exception carries rows along."""
    try:
        connection.execute(query.encode())
    except psycopg.Error as error:
        failure = way.failure(error)
    else:
        return
    raise failure


def _run(connection: Connection, undo: Sequence[Undo], actor: str, into: Path | None, lost: list[Saved]) -> None:
    """All downs; rows that they take with them are saved whole, and noted in `lost`.

    What goes with them shows only once they have run. So they run, and where a table that may have held rows was touched, they
    are taken back to the savepoint, what they touch is kept under a lock, and they run again.
    """
    # 1. Tables that the downs plainly drop and that are empty stay so; what they hold need not be saved.
    watch = LossWatch.begin(connection, loss.lock_empty_tables(connection, [way.sql for way in undo]))
    # 2. Run the downs until all that they touch is kept: once where they touch nothing, else twice.
    while True:
        connection.execute("savepoint downs")
        for way in undo:
            _execute(connection, way, actor)
        unkept = watch.unkept()
        if not unkept:
            break
        connection.execute("rollback to savepoint downs")
        _save(connection, watch.keep(unkept), undo, into, lost)
    # 3. What they deleted or changed of it.
    _save(connection, watch.lost(), undo, into, lost)
    watch.close()


def _save(
    connection: Connection, losses: Sequence[Loss], undo: Sequence[Undo], into: Path | None, lost: list[Saved]
) -> None:
    """Save what goes, before it can be committed. Raises MigrationFailed where it cannot be saved."""
    failed = undo[0].done.version
    if losses and into is None:
        tables = ", ".join(f"{gone.table} ({gone.count} rows: {', '.join(gone.columns)})" for gone in losses)
        raise MigrationFailed(
            f"the way down would lose the rows of {tables}, and there is no place to save them; nothing was undone",
            failed=failed,
        )
    try:
        if into is not None:
            lost.extend(save_rows(connection, gone, into) for gone in losses)
    except OSError as error:
        raise MigrationFailed(
            f"the rows that the way down would lose cannot be saved in {into}: {error.strerror}; nothing was undone: make room "
            "there, or mend what it says, then undo again",
            failed=failed,
        ) from error


def _rolled_back(
    connection: Connection, undo: Sequence[Undo], actor: str, lost: tuple[Saved, ...]
) -> tuple[RolledBack, ...]:
    durations = connection.execute(
        "select coalesce(duration_s, 0) from deploy.migration_event"
        " where direction = 'down' and txid = pg_current_xact_id() order by seq"
    ).fetchall()
    undone = tuple(way.undone(actor, duration_s) for way, (duration_s,) in zip(undo, durations, strict=True))
    return (replace(undone[0], lost=lost), *undone[1:])


def _run_alone(connection: Connection, way: Undo, actor: str, expected_schema: str | None) -> tuple[RolledBack, ...]:
    """One statement outside a transaction (DROP INDEX CONCURRENTLY): it cannot be taken back, so it is verified after."""
    before, history = read_catalog(rows_of(connection)), read_history(rows_of(connection))
    began = time.monotonic()
    try:
        _attempt(connection, way.sql, way)
    except MigrationFailed as error:
        what = "the schema is what it was"
        if read_catalog(rows_of(connection)) != before:
            what = "the schema is no longer what it was"
        raise MigrationFailed(f"{error}: {what}", failed=way.done.version) from None
    duration_s = time.monotonic() - began
    # The session may be another than it was: the history hears of it as this one, from us.
    connection.execute("reset session authorization; reset role; reset all")
    done = way.done
    told = {
        "migration": ledger_facts(done.version, done.name, done.sha256, down=None),
        "actor": actor,
        "engine": ENGINE,
    }
    for name, value in told.items():
        connection.execute("select set_config('deploy.' || %s, %s, false)", (name, value))
    connection.execute(
        "select set_config('deploy.began', (clock_timestamp() - %s * interval '1 s')::text, false)", (duration_s,)
    )
    connection.execute("select deploy.append(%s, null, 'down', '', %s, '')", (done.number, ENGINE))
    _verify_traces(connection, history, [way], actor, "it ran outside a transaction, and stays undone")
    _verify(connection, expected_schema, "it ran outside a transaction, and stays undone")
    return (way.undone(actor, duration_s),)


def _verify_traces(connection: Connection, before: History, undo: Sequence[Undo], actor: str, left: str) -> None:
    """The history holds these downs and no other change, and no lock stays. Raises MigrationFailed, naming the downs."""
    meant = [Event(way.done.version, "down", way.done.name, way.done.sha256, ENGINE, actor, None) for way in undo]
    wrong = tampered(rows_of(connection), before, meant)
    what = f"changed the history of migrations: {wrong}" if wrong else ""
    if not what and undo[0].transactional and let_go_of_locks(rows_of(connection)):
        what = f"left {LOCK_LEFT}"
    if what:
        versions = ", ".join(way.done.version for way in undo)
        raise MigrationFailed(f"the way down of {versions} {what}; {left}", failed=undo[0].done.version)


def _verify(connection: Connection, expected_schema: str | None, left: str, failed: str = "") -> None:
    if expected_schema is None:
        return
    schema = read_catalog(rows_of(connection)).sha256
    if schema != expected_schema:
        raise MigrationFailed(
            f"the schema after the way down is not the one before the release "
            f"(then {expected_schema[:12]}, now {schema[:12]}); {left}",
            failed=failed,
        )
