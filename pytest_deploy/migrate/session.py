"""How a migration reaches the database: bounded sessions, one runner's lock, PostgreSQL's programs, a scratch database.

Every session is bounded: it gives up on locks, and the server notices when its client died (REQ-o00044-K). Without
`client_connection_check_interval` a backend whose client was killed runs its statement to the end and keeps its locks
(measured: 5.6 s of a 6 s statement, and 0.07 s with it).
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import psycopg
from psycopg import pq, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pytest_deploy.bounded_output import WORDS_BYTES, kept_text
from pytest_deploy.errors import DeployError, PlatformUnavailable, Refused, RefusedRows
from pytest_deploy.migrate import pooler
from pytest_deploy.record.programs import system_program

logger = logging.getLogger(__name__)

Connection = psycopg.Connection[Any]
Rows = Callable[[str], Sequence[tuple[Any, ...]]]
"""Runs a query without parameters in some session, and returns its rows."""
_T = TypeVar("_T")

_BOUNDS: Final = "-c lock_timeout=5s -c client_connection_check_interval=500ms"
LOCK_WAIT: Final = "--lock-wait-timeout=5000"
"""The same for pg_dump, which sets `lock_timeout` itself; in milliseconds."""


def with_lock_timeout(conninfo: str, lock_timeout_s: float) -> str:
    """The connection string whose sessions give up on a lock after so many seconds; without it they do after 5."""
    given = conninfo_to_dict(conninfo).get("options", "")
    return make_conninfo(conninfo, options=f"{given} -c lock_timeout={max(1, round(lock_timeout_s * 1000))}ms".strip())


def bounded(conninfo: str) -> str:
    """The connection string of a bounded session: what its `options` say comes after our own, and so counts."""
    options = f"{_BOUNDS} {conninfo_to_dict(conninfo).get('options', '')}".strip()
    return make_conninfo(conninfo, options=options, application_name="pytest-deploy", connect_timeout=10)


def server_message(error: BaseException) -> str:
    """What the server said, without DETAIL, CONTEXT and parameters: those may hold rows; and so may a value that it quotes."""
    diagnosis = getattr(error, "diag", None)
    primary = getattr(diagnosis, "message_primary", None)
    if diagnosis is None or primary is None:
        return kept_text(next(iter(str(error).strip().splitlines()), type(error).__name__), WORDS_BYTES)
    if diagnosis.sqlstate in _OF_VALUES and not (diagnosis.statement_position or diagnosis.internal_position):
        primary = _QUOTED.sub('"…"', primary)
    hint = getattr(diagnosis, "message_hint", None)
    return kept_text(f"{primary} (hint: {hint})" if hint else str(primary), WORDS_BYTES)


_OF_VALUES: Final = {"22P02", "22003", "22007", "22008", "22009", "22018", "22023"}
"""SQLSTATEs whose message quotes a value: one of a row, where the server points at no place in the SQL."""
_QUOTED: Final = re.compile('".*"', re.DOTALL)


def refused_rows(error: BaseException) -> RefusedRows | None:
    """What a driver's error says of rows that the server refused; None where it says something else."""
    diagnosis = getattr(error, "diag", None)
    state = str(getattr(diagnosis, "sqlstate", None) or "")
    if not state.startswith(_OF_ROWS):
        return None
    schema, table, column = (getattr(diagnosis, f"{part}_name", None) or "" for part in ("schema", "table", "column"))
    return RefusedRows(f"{schema}.{table}" if table else "", column, state == _NULL)


_OF_ROWS: Final = ("21", "22", "23", "P0001", "P0004")
"""How the SQLSTATEs begin of rows that are too many, of values, of constraints, and of what a function raises itself."""
_NULL: Final = "23502"


def attempt(work: Callable[[], _T], failure: Callable[[str], DeployError]) -> _T:
    """What `work` gives; where the server refuses it, `failure` of what the server said is raised.

    Outside the except clause, so that no chained exception carries rows or the connection string along.
    """
    try:
        return work()
    except psycopg.Error as error:
        reason = server_message(error)
    raise failure(reason)


@contextmanager
def connect(conninfo: str, *, autocommit: bool = False) -> Iterator[Connection]:
    """A bounded psycopg session; commits at the end, rolls back on any exception, never leaves a statement running.

    Raises PlatformUnavailable where the server cannot be reached, or refuses what is asked of it in the session: no error of
    the driver leaves it, and the message holds no password and no row.
    """
    connection = _open(conninfo)
    database, user = connection.info.dbname, connection.info.user
    try:
        pooler.require_session(connection, _options(conninfo), lambda: _open(conninfo))
        connection.autocommit = autocommit
        yield connection
        if not autocommit:
            connection.commit()
    except psycopg.Error as error:
        raise _refusal(error, database, user) from None
    except BaseException:
        if connection.info.transaction_status is pq.TransactionStatus.ACTIVE:
            connection.cancel_safe(timeout=1)
        raise
    finally:
        connection.close()


def _open(conninfo: str) -> Connection:
    """A session that commits each statement by itself. Raises PlatformUnavailable."""

    def failure(reason: str) -> PlatformUnavailable:
        if pooler.REFUSED_OPTIONS in reason:
            given = conninfo_to_dict(conninfo)
            names = str(given.get("user", "ROLE")), str(given.get("dbname", "DATABASE"))
            return PlatformUnavailable(pooler.without_options(*names, _options(conninfo)))
        return PlatformUnavailable(
            f"the database cannot be reached: {reason}; check the server and the connection string"
        )

    wanted = bounded(conninfo)
    return attempt(
        lambda: psycopg.connect(wanted, autocommit=True, prepare_threshold=None, client_encoding="utf8"), failure
    )


def _options(conninfo: str) -> str:
    return str(conninfo_to_dict(bounded(conninfo))["options"])


def _refusal(error: psycopg.Error, database: str, user: str) -> PlatformUnavailable:
    """What the server said in a session, as an error of ours that says what to do."""
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        remedy = (
            f"{user} needs to own the database and what lies in it, by itself or by a role that it is a member of "
            f'(`ALTER DATABASE "{database}" OWNER TO "{user}"`, and the same for its schemas)'
        )
    elif isinstance(error, psycopg.OperationalError):
        remedy = "see that the server runs and takes connections, then try again"
    else:
        remedy = "mend what the server says, then try again"
    return PlatformUnavailable(f"database {database} refused {user}: {server_message(error)}; {remedy}")


def rows_of(connection: Connection) -> Rows:
    """`connection` as a way to ask queries."""
    return lambda query: connection.execute(query.encode()).fetchall()


_ADVISORY: Final = (
    "select count(*) from pg_catalog.pg_locks where locktype = 'advisory' and pid = pg_catalog.pg_backend_pid()"
)
LOCK_LEFT: Final = (
    "an advisory lock of the session (pg_advisory_xact_lock holds until the commit, and is let go with it)"
)


def let_go_of_locks(rows: Rows) -> bool:
    """Whether the session held an advisory lock beyond its transaction; it holds none any more."""
    # pg_locks does not tell such a lock from a transaction's: only those of the session go by this call.
    before = rows(_ADVISORY)
    rows("select pg_catalog.pg_advisory_unlock_all()")
    return rows(_ADVISORY) != before


# --- One runner at a time, by a polled advisory lock.
#
# The key is the one dbmate's `--migration-lock` takes. It is polled, never waited for: a session that waits inside the
# server holds a snapshot, and CREATE INDEX CONCURRENTLY in the other runner waits for that snapshot: a deadlock. The lock
# is the session's, so the server lets it go when the runner dies; the engine's own session then still holds `ENGINE_KEY`
# for as long as its transaction lives.

RUNNER_KEY: Final = 48372615
ENGINE_KEY: Final = (48372615, 1)
"""Held by the transaction that changes the schema: a runner that follows a killed one waits for the killed one's end."""
POLL_S: Final = 0.1


@contextmanager
def sole_runner(conninfo: str, *, wait_s: float = 300.0) -> Iterator[Connection]:
    """Hold the lock, and the autocommit session that has it; wait for it at most `wait_s` seconds.

    Raises Refused where another runner still holds it then, saying which session that is.
    """
    with connect(conninfo, autocommit=True) as connection:
        until = time.monotonic() + wait_s
        while connection.execute("select pg_try_advisory_lock(%s)", (RUNNER_KEY,)).fetchone() != (True,):
            if time.monotonic() >= until:
                raise Refused(
                    f"another runner is migrating ({_holder(connection)}) and did not end within {wait_s:g} s; "
                    "wait for it, or see that it is gone"
                )
            time.sleep(POLL_S)
        logger.debug("the runner's lock is held after %.1f s", wait_s - (until - time.monotonic()))
        yield connection


def _holder(connection: Connection) -> str:
    row = connection.execute(
        "select format('%%s, pid %%s, since %%s UTC', coalesce(nullif(application_name, ''), 'a session'), pid,"
        " to_char(backend_start at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS'))"
        " from pg_locks join pg_stat_activity using (pid)"
        " where locktype = 'advisory' and objid::bigint = %s and classid = 0 and objsubid = 1 and granted"
        " and database = (select oid from pg_database where datname = current_database())",
        (RUNNER_KEY,),
    ).fetchone()
    return str(row[0]) if row else "it has just ended"


# --- PostgreSQL's own programs, run so that no password stands in argv and no session waits for ever.


def run_program(program: str, arguments: Sequence[str], conninfo: str, programs: Path | None) -> bytes:
    """What the program printed. `programs` is its folder; None: policy's or the system's.

    Raises PlatformUnavailable where it is missing, or ends with an error: with the first lines of its error output.
    """
    path = program
    try:
        path = str(path_of(program, programs))
        completed = subprocess.run(
            [path, *arguments],
            env=_program_environment(conninfo),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            start_new_session=True,  # Ctrl-C goes to the whole group; in a rollback it is noted, and must not end pg_dump
        )
    except FileNotFoundError:
        raise PlatformUnavailable(
            f"{path} is not there; install the PostgreSQL client programs of the server's version or newer"
        ) from None
    if completed.returncode != 0:
        lines = completed.stderr.decode("utf-8", "replace").strip().splitlines()
        shown = "; ".join(line for line in lines[:4] if not line.startswith(("DETAIL", "CONTEXT")))
        raise PlatformUnavailable(f"{program} ended with {completed.returncode}: {kept_text(shown, WORDS_BYTES)}")
    return completed.stdout


def path_of(program: str, programs: Path | None) -> Path:
    """Where `run_program` takes a program from. Raises FileNotFoundError where there is none."""
    return Path(system_program(program)) if programs is None else programs / program


def _program_environment(conninfo: str) -> dict[str, str]:
    """Our own variables without those that libpq reads, and with those that lead it to this database."""
    names = {option.keyword.decode(): option.envvar.decode() for option in pq.Conninfo.get_defaults() if option.envvar}
    inherited = {name: value for name, value in os.environ.items() if name not in names.values()}
    wanted = {names[name]: str(value) for name, value in conninfo_to_dict(bounded(conninfo)).items() if name in names}
    return {**inherited, **wanted, "LC_ALL": "C"}


# --- A database to try things in, beside the real one and gone afterwards, also the next day where a process was killed.

_STALE: Final = """
select datname from pg_database d
where datname ~ '^deploy_scratch_[0-9]{8}_[0-9a-f]{12}$'
  and to_date(substr(datname, 16, 8), 'YYYYMMDD') < (now() at time zone 'utc')::date - 1
  and not exists (select from pg_stat_activity a where a.datid = d.oid)
"""


@contextmanager
def scratch_database(conninfo: str) -> Iterator[str]:
    """The connection string of a new, empty database on the same server, by the same user; dropped afterwards.

    Raises PlatformUnavailable where the user may not create databases.
    """
    with connect(conninfo, autocommit=True) as connection:
        ((today,),) = connection.execute("select to_char(now() at time zone 'utc', 'YYYYMMDD')").fetchall()
        name = f"deploy_scratch_{today}_{secrets.token_hex(6)}"
        for (stale,) in connection.execute(_STALE.encode()).fetchall():
            connection.execute(sql.SQL("drop database if exists {}").format(sql.Identifier(stale)))
        attempt(
            lambda: connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name))),
            lambda reason: PlatformUnavailable(
                f"no scratch database can be made: {reason}; grant CREATEDB to the migrations' user"
            ),
        )
    try:
        yield make_conninfo(conninfo, dbname=name)
    finally:
        with connect(conninfo, autocommit=True) as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
