"""yandex-pgmigrate, run in this process: all pending migrations in one transaction. REQ-o00044-R, -B, -K.

It runs in a thread of its own, because its driver waits inside C: a signal would reach Python only when the statement
ends. The caller's thread waits, may be interrupted at any time, and then cancels the statement on the server.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from psycopg.conninfo import make_conninfo

from pytest_deploy.errors import DeployError, RefusedRows
from pytest_deploy.migrate.migration import Migration
from pytest_deploy.migrate.session import ENGINE_KEY, Rows, bounded, refused_rows, server_message
from pytest_deploy.migrate.statements import is_terminated, statements
from pytest_deploy.migrate.tools import import_pgmigrate

ENGINE: Final = "pgmigrate"
"""Its name in the history."""
_CANCEL_EVERY_S: Final = 0.05
_TICK_S: Final = 0.25


@dataclass(frozen=True)
class Stop:
    """Why the engine ended without a commit."""

    version: str | None
    """The migration it was at; None where it was at none (connecting, the check before the commit, the commit)."""
    message: str
    """The server's message, without rows."""
    position: int | None
    """0-based index of the character in the section's SQL that the server points at."""
    line: int = 1
    """Of the section, from 1: where the statement that failed begins."""
    check_error: DeployError | None = None
    """What the check before the commit raised."""
    rows: RefusedRows | None = None
    """Where the server refused rows."""


class _CheckedConnection:
    """pgmigrate's connection, with one question asked before its transaction ends."""

    def __init__(self, connection: Any, before_end: Callable[[Rows], None]) -> None:
        self._connection = connection
        self._before_end = before_end
        self.close = connection.close

    def _rows(self, query: str) -> Sequence[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    def commit(self) -> None:
        self._before_end(self._rows)
        self._connection.commit()

    def rollback(self) -> None:
        self._before_end(self._rows)
        self._connection.rollback()


@dataclass(eq=False)
class Engine:
    """One run of pgmigrate."""

    conninfo: str
    migrations: Sequence[Migration]
    actor: str
    before_end: Callable[[Rows], None]
    """Looks at what the migrations did, just before the commit, and raises where they must not be committed."""
    dry_run: bool = False
    prepare: Sequence[str] = ()
    """SQL for its session before the first migration."""

    def __post_init__(self) -> None:
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="pgmigrate", daemon=True)
        self._connection: Any = None
        self._backend: int | None = None
        self._stop: Stop | None = None

    def run(
        self,
        *,
        until: float = float("inf"),
        on_late: Callable[[], None] = lambda: None,
        on_tick: Callable[[int], None] = lambda _: None,
    ) -> Stop | None:
        """Run to the end; call `on_late` once, in this thread, *while* it runs past `until` of the monotonic clock. REQ-o00044-L.

        `on_tick` is called with the engine's server process every quarter of a second. Whatever is raised in this thread
        meanwhile stops the engine first. None means that it did all. Raises UsageError where pgmigrate is not installed.
        """
        import_pgmigrate()  # here, in the caller's thread: that it is missing is no failure of a migration
        self._thread.start()
        try:
            while self._runs_after(max(0.0, min(_TICK_S, until - time.monotonic()))):
                if self._backend is not None:
                    on_tick(self._backend)
                if time.monotonic() >= until:
                    until = float("inf")
                    on_late()
        except BaseException:
            # Cancel what runs on the server, and return when nothing runs any more.
            self._stopped.set()
            while self._runs_after(_CANCEL_EVERY_S):
                if self._connection is not None and not self._connection.closed:
                    self._connection.cancel()
            raise
        return self._stop

    def _runs_after(self, seconds: float) -> bool:
        self._thread.join(seconds)
        return self._thread.is_alive()

    def _session(self) -> list[str]:
        first, second = ENGINE_KEY
        return [f"select pg_advisory_xact_lock({first}, {second})", *self.prepare]

    def _work(self) -> None:
        try:
            self._migrate()
        except BaseException as error:  # noqa: BLE001 - a thread: `run` says what stopped it
            self._stop = self._explain(error)
        finally:
            if self._connection is not None:
                self._connection.close()

    def _migrate(self) -> None:
        pgmigrate = import_pgmigrate()
        # It logs every statement, which neither a terminal nor a log file of ours is to hold.
        pgmigrate_logger = logging.getLogger("pgmigrate")
        pgmigrate_logger.propagate = False
        pgmigrate_logger.setLevel(logging.CRITICAL + 1)
        conninfo = make_conninfo(bounded(self.conninfo), client_encoding="utf8")
        # In memory, where there is such a folder: these files are read once.
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else None  # noqa: S108 - a folder of our own in it
        with tempfile.TemporaryDirectory(prefix="pgmigrate-", dir=memory) as base:
            folder = Path(base, "migrations")
            folder.mkdir()
            text = ""
            for migration in self.migrations:
                name, text = pgmigrate_file(migration, self.actor)
                (folder / name).write_text(text, encoding="utf-8", newline="")
            del text  # it may be large, and pgmigrate reads it again
            options = argparse.Namespace(
                base_dir=base, conn=conninfo, target="latest", dryrun=self.dry_run, session=self._session()
            )
            config = pgmigrate.get_config(base, options)
            self._connection = config.conn_instance
            self._backend = self._connection.info.backend_pid
            checked = _CheckedConnection(self._connection, self._check)
            pgmigrate.migrate(config._replace(conn_instance=checked))

    def _check(self, rows: Rows) -> None:
        if self._stopped.is_set():
            raise InterruptedError("stopped before the commit")
        self.before_end(rows)

    def _explain(self, error: BaseException) -> Stop:
        # pgmigrate raises errors of its own while it handles the driver's: that one holds the server's message.
        cause = error.__context__ if error.__context__ is not None and hasattr(error.__context__, "diag") else error
        message = server_message(cause)
        if isinstance(error, DeployError):
            return Stop(None, message, None, check_error=error)
        query = bytes(getattr(getattr(cause, "cursor", None), "query", None) or b"").decode("utf-8", "replace")
        # Its own block, or the line of the history that its end asks for.
        block = _TAG.search(query) or _HISTORY.search(query)
        version = block["version"] if block else None
        failed = next((each for each in self.migrations if version and each.number == int(version)), None)
        if failed is None and hasattr(cause, "diag") and not self.migrations[0].up.transactional:
            failed = self.migrations[0]
        rows = refused_rows(cause)
        if failed is None or not hasattr(cause, "diag"):
            return Stop(None, message, None, rows=rows)
        return Stop(failed.version, message, *place_of_error(cause.diag, failed.up.sql), rows=rows)


def place_of_error(diagnosis: Any, text: str) -> tuple[int | None, int]:
    """Where in a section's text the server points, 0-based, or None; and the line, from 1, of the statement that failed.

    A statement of a DO block announces itself by its number, in the server's context or in the query it points into.
    """
    internal_query = getattr(diagnosis, "internal_query", None) or ""
    internal_position, position = (
        getattr(diagnosis, name, None) for name in ("internal_position", "statement_position")
    )
    found = statements(text)
    number = _NUMBER.match(internal_query) or _NUMBER.search(getattr(diagnosis, "context", None) or "")
    if number is None:  # outside a transaction: one statement, sent as it is
        at = int(position) - 1 if position and not internal_position else None
        return at, found[0].line if found else 1
    begins = _begins(text)[int(number["number"])]
    line = next((each.line for each in found if each.start >= begins), 1)
    if internal_position and _NUMBER.match(internal_query):
        return begins + int(internal_position) - 1 - number.end(), line
    return None, line


# --- A migration as one statement that the server runs inside the release's transaction, or refuses.
#
# Each section becomes one `DO` block that EXECUTEs its statements. The server then refuses COMMIT, ROLLBACK and the like
# (0A000), and an error's position is a position in the author's own text. Each statement carries its number, so that an error
# without a position still has a line; one that our scan cut wrongly would be no SQL, and refused. REQ-o00044-B.

_ENCODING: Final = "/* pgmigrate-encoding: utf-8 */ "
_TAG: Final = re.compile(r"\$deploy_(?P<version>\d+)_[0-9a-f]{16}\$")
_HISTORY: Final = re.compile(r"schema_version\b.*?\bVALUES\s*\(\s*'?(?P<version>\d+)", re.IGNORECASE | re.DOTALL)
_NUMBER: Final = re.compile(r"/\*deploy:(?P<number>\d+)\*/")


def _begins(text: str) -> tuple[int, ...]:
    """Where each statement of a section begins, the comments before the first one with it."""
    return (0, *(each.start for each in statements(text)[1:]))


def _quoted(text: str, version: str, salt: str = "") -> str:
    """`text` dollar-quoted with a tag that does not occur in it."""
    digest = hashlib.sha256((salt + text).encode()).hexdigest()[:16]
    tag = f"$deploy_{version}_{digest}$"
    return _quoted(text, version, salt + ".") if tag in text else f"{tag}{text}{tag}"


def ledger_facts(version: str, name: str, sha256: str | None, *, down: str | None) -> str:
    """What the ledger is to know of a migration that is applied or undone, as JSON."""
    return json.dumps({"version": version, "name": name, "sha256": sha256, "down": down})


def _facts_of_up(migration: Migration) -> str:
    down = migration.down.sql if migration.down.transactional else None
    return ledger_facts(migration.version, migration.name, migration.sha256, down=down)


_HISTORY_STANDS: Final = (
    "pg_catalog.to_regprocedure('deploy.end_migration(text,text,text,timestamptz)') is not null"
    " and pg_catalog.to_regclass('public.schema_version') is not null"
)
_END: Final = (
    "set constraints all immediate; reset session authorization; reset role; "
    f"if deploy_history and not ({_HISTORY_STANDS}) then "
    "raise exception 'it takes the history of migrations away (the schema deploy, and in public the views schema_version"
    " and schema_migrations)' using hint = 'drop what is yours by name'; end if; "
)
"""What each migration ends with: nothing of its session is left to the next one, or to the history (`ledger.sql` has the rest).

Deferred constraints are checked here, where it is known whose they are; those that are deferred from the start are so again.
"""


def do_block(query: str, version: str, facts: str, *, actor: str | None, engine: str) -> str:
    """One DO block that runs `query`, leaves the session as it was, and tells the ledger `facts`, actor, engine and time.

    What the ledger hears is set last, from what `query` cannot reach. Without an actor it hears of none, and of no engine.
    Where there is no ledger, as under another tool on a database of its own, the session is left to that tool.
    """
    begins = _begins(query)
    parts = (query[begin:end] for begin, end in zip(begins, (*begins[1:], len(query)), strict=True))
    told = ", ".join(
        "null" if value is None else _quoted(value, version)
        for value in (facts, actor, None if actor is None else engine)
    )
    body = (
        f" declare deploy_part text; deploy_number int := 0;"
        f" deploy_began timestamptz := pg_catalog.clock_timestamp(); deploy_history boolean := {_HISTORY_STANDS};"
        f" begin foreach deploy_part in array array[{', '.join(_quoted(part, version) for part in parts)}] loop"
        " execute '/*deploy:' || deploy_number || '*/' || deploy_part; deploy_number := deploy_number + 1;"
        f" end loop; {_END}if deploy_history then perform deploy.end_migration({told}, deploy_began); end if; end "
    )
    return f"do {_quoted(body, version, 'outer')};"


def _alone(migration: Migration, actor: str | None) -> str:
    """The one statement of a migration outside a transaction, and after it what the ledger is to hear, not from the migration."""
    facts = {"migration": _facts_of_up(migration)}
    told = facts if actor is None else {**facts, "actor": actor, "engine": ENGINE}
    settings = ", ".join(
        f"pg_catalog.set_config('deploy.{name}', {_quoted(value, migration.version)}, false)"
        for name, value in told.items()
    )
    body = (
        f" begin reset session authorization; reset role; reset all; perform {settings},"
        " pg_catalog.set_config('deploy.began', backend_start::text, false)"
        " from pg_catalog.pg_stat_activity where pid = pg_catalog.pg_backend_pid(); end "
    )
    end = "" if is_terminated(migration.up.sql) else "\n;"
    return f"{migration.up.sql}{end}\ndo {_quoted(body, migration.version, 'outer')};"


def pgmigrate_file(migration: Migration, actor: str | None = None) -> tuple[str, str]:
    """Name and text of the file that pgmigrate runs for `migration`; `actor` is who the ledger says applied it.

    Without one it says whom pgmigrate names: the file may be run by anybody's.
    """
    name = f"V{migration.version}__{migration.name.lower()}"
    if not migration.up.transactional:
        return f"{name}_NONTRANSACTIONAL.sql", _ENCODING + _alone(migration, actor)
    text = do_block(migration.up.sql, migration.version, _facts_of_up(migration), actor=actor, engine=ENGINE)
    return f"{name}.sql", text if text.isascii() else _ENCODING + text
