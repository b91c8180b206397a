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

from pytest_deploy.errors import DeployError
from pytest_deploy.migrate.migration import Migration
from pytest_deploy.migrate.session import CONNECT_TIMEOUT_S, ENGINE_KEY, Rows, server_message, settings

NAME: Final = "pgmigrate"
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
    check_error: DeployError | None = None
    """What the check before the commit raised."""


class _CheckedConnection:
    """pgmigrate's connection, with one question asked before its transaction ends."""

    def __init__(self, connection: Any, before_end: Callable[[Rows], None], stopped: threading.Event) -> None:
        self._connection = connection
        self._before_end = before_end
        self._stopped = stopped

    def _check(self) -> None:
        if self._stopped.is_set():
            raise InterruptedError("stopped before the commit")
        self._before_end(self._rows)

    def _rows(self, query: str) -> Sequence[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    def commit(self) -> None:
        self._check()
        self._connection.commit()

    def rollback(self) -> None:
        self._check()
        self._connection.rollback()

    def close(self) -> None:
        self._connection.close()


class Engine:
    """One run of pgmigrate. `start`, then `wait` until it is done; `stop` at any time."""

    def __init__(
        self,
        conninfo: str,
        migrations: Sequence[Migration],
        *,
        actor: str,
        lock_timeout_s: float,
        before_end: Callable[[Rows], None],
        dry_run: bool = False,
        prepare: Sequence[str] = (),
    ) -> None:
        self._conninfo = conninfo
        self._migrations = tuple(migrations)
        self._actor = actor
        self._lock_timeout_s = lock_timeout_s
        self._before_end = before_end
        self._dry_run = dry_run
        self._prepare = tuple(prepare)
        self._stopped = threading.Event()
        self._done = threading.Event()
        self._connection: Any = None
        self._thread = threading.Thread(target=self._work, name="pgmigrate", daemon=True)
        self.outcome: Stop | None = None
        """Why it ended without a commit; None once it is done means that it did all."""
        self.backend: int | None = None
        """The server process that runs the migrations, once it is known."""

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def wait(self, timeout_s: float) -> bool:
        """Whether it is done, after at most `timeout_s` seconds."""
        return self._done.wait(timeout_s)

    def stop(self) -> None:
        """Cancel what runs on the server and return when nothing runs any more."""
        self._stopped.set()
        while not self._done.wait(_CANCEL_EVERY_S):
            connection = self._connection
            if connection is not None and not connection.closed:
                connection.cancel()

    def _session(self) -> list[str]:
        from psycopg import sql

        facts = {
            **settings(self._lock_timeout_s),
            "deploy.actor": self._actor,
            "deploy.engine": NAME,
        }
        if not all(migration.transactional for migration in self._migrations):
            facts["deploy.migration"] = _facts_of_up(self._migrations[0])
        queries = [
            sql.SQL("select set_config({}, {}, false)").format(sql.Literal(name), sql.Literal(value)).as_string()
            for name, value in facts.items()
        ]
        if "deploy.migration" in facts:  # outside a transaction the ledger hears of it now or never
            queries.append("select set_config('deploy.began', clock_timestamp()::text, false)")
        first, second = ENGINE_KEY
        return [*queries, f"select pg_advisory_xact_lock({first}, {second})", *self._prepare]

    def _work(self) -> None:
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001 - a thread: `outcome` says what stopped it
            self.outcome = self._explain(error)
        finally:
            if self._connection is not None:
                self._connection.close()
            self._done.set()

    def _run(self) -> None:
        import pgmigrate
        from psycopg.conninfo import make_conninfo

        # It logs every statement, which neither a terminal nor a log file of ours is to hold.
        pgmigrate_logger = logging.getLogger("pgmigrate")
        pgmigrate_logger.propagate = False
        pgmigrate_logger.setLevel(logging.CRITICAL + 1)
        conninfo = make_conninfo(self._conninfo, client_encoding="utf8", connect_timeout=CONNECT_TIMEOUT_S)
        # In memory, where there is such a folder: these files are read once.
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else None  # noqa: S108 - a folder of our own in it
        with tempfile.TemporaryDirectory(prefix="pgmigrate-", dir=memory) as base:
            folder = Path(base, "migrations")
            folder.mkdir()
            for migration in self._migrations:
                name, text = pgmigrate_file(migration)
                (folder / name).write_text(text, encoding="utf-8", newline="")
            options = argparse.Namespace(
                base_dir=base, conn=conninfo, target="latest", dryrun=self._dry_run, session=self._session()
            )
            config = pgmigrate.get_config(base, options)
            self._connection = config.conn_instance
            self.backend = self._connection.info.backend_pid
            checked = _CheckedConnection(self._connection, self._before_end, self._stopped)
            pgmigrate.migrate(config._replace(conn_instance=checked))

    def _explain(self, error: BaseException) -> Stop:
        # pgmigrate raises errors of its own while it handles the driver's: that one holds the server's message.
        cause = error.__context__ if error.__context__ is not None and hasattr(error.__context__, "diag") else error
        message = server_message(cause)
        if isinstance(error, DeployError):
            return Stop(None, message, None, error)
        diagnosis = getattr(cause, "diag", None)
        query = getattr(getattr(cause, "cursor", None), "query", None) or b""
        version = version_of(bytes(query).decode("utf-8", "replace"))
        if version is None and hasattr(cause, "diag") and not self._migrations[0].transactional:
            version = self._migrations[0].version
        position = _inner_position(diagnosis, {migration.up for migration in self._migrations})
        return Stop(version, message, position)


def _inner_position(diagnosis: Any, texts: set[str]) -> int | None:
    """Where in the author's own text the server points, 0-based; None where it points nowhere or elsewhere."""
    internal = getattr(diagnosis, "internal_position", None)
    if internal and getattr(diagnosis, "internal_query", None) in texts:
        return int(internal) - 1
    plain_position = getattr(diagnosis, "statement_position", None)
    return int(plain_position) - 1 if plain_position and not internal else None


def run_watched(
    engine: Engine,
    *,
    budget_s: float,
    on_alert: Callable[[str], None] = lambda _: None,
    on_tick: Callable[[int], None] = lambda _: None,
) -> Stop | None:
    """Run `engine` to its end; call `on_alert` once, in this thread, *while* it runs past `budget_s`. REQ-o00044-L.

    `on_tick` is called with the engine's server process every quarter of a second. Whatever is raised in this thread
    meanwhile stops the engine first.
    """
    until = time.monotonic() + budget_s
    alerted = False
    engine.start()
    try:
        while not engine.wait(_TICK_S if alerted else max(0.0, min(_TICK_S, until - time.monotonic()))):
            if engine.backend is not None:
                on_tick(engine.backend)
            if not alerted and time.monotonic() >= until:
                alerted = True
                on_alert(f"the migration runs for more than {budget_s:g} s and is not done")
    except BaseException:
        engine.stop()
        raise
    return engine.outcome


# --- A migration as one statement that the server runs inside the release's transaction, or refuses.
#
# Each section becomes one `DO` block that EXECUTEs it. The server then refuses COMMIT, ROLLBACK and the like (0A000), no
# client splits the SQL wrongly, and an error's position is a position in the author's own text. REQ-o00044-B.

_ENCODING: Final = "/* pgmigrate-encoding: utf-8 */ "
_TAG: Final = re.compile(r"\$deploy_(?P<version>\d+)_[0-9a-f]{16}\$")


def _quoted(text: str, version: str, salt: str = "") -> tuple[str, str]:
    """`text` dollar-quoted with a tag that does not occur in it, and that tag."""
    digest = hashlib.sha256((salt + text).encode()).hexdigest()[:16]
    tag = f"$deploy_{version}_{digest}$"
    return _quoted(text, version, salt + ".") if tag in text else (f"{tag}{text}{tag}", tag)


def ledger_facts(version: str, name: str, sha256: str | None, *, down: str | None) -> str:
    """What the ledger is to know of a migration that is applied or undone, as JSON."""
    return json.dumps({"version": version, "name": name, "sha256": sha256, "down": down})


def _facts_of_up(migration: Migration) -> str:
    down = migration.down if migration.down_section.transactional else None
    return ledger_facts(migration.version, migration.name, migration.sha256, down=down)


def do_block(sql: str, version: str, facts: str = "") -> str:
    """One DO block that runs `sql`; before it tells the ledger `facts` and the time, and resets the search path."""
    inner, _ = _quoted(sql, version)
    quoted_facts, _ = _quoted(facts, version)
    body = (
        f" begin perform set_config('deploy.migration', {quoted_facts}, true),"
        " set_config('deploy.began', pg_catalog.clock_timestamp()::text, true);"
        f" reset search_path; execute {inner}; end "
    )
    outer, _ = _quoted(body, version, "outer")
    return f"do {outer};"


def pgmigrate_file(migration: Migration) -> tuple[str, str]:
    """Name and text of the file that pgmigrate runs for `migration`."""
    name = f"V{migration.version}__{migration.name.lower()}"
    if not migration.transactional:
        return f"{name}_NONTRANSACTIONAL.sql", _ENCODING + migration.up
    text = do_block(migration.up, migration.version, _facts_of_up(migration))
    return f"{name}.sql", text if text.isascii() else _ENCODING + text


def version_of(query: str) -> str | None:
    """The version whose block `query` is, or None."""
    match = _TAG.search(query)
    return match["version"] if match else None
