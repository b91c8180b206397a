"""How a migration reaches the database: bounded sessions, one runner's lock, PostgreSQL's programs, a scratch database.

Every session is bounded: it gives up on locks, and the server notices when its client died (REQ-o00044-K). Without
`client_connection_check_interval` a backend whose client was killed runs its statement to the end and keeps its locks
(measured: 5.6 s of a 6 s statement, and 0.07 s with it).
"""

from __future__ import annotations

import logging
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_deploy.errors import PlatformUnavailable, Refused

if TYPE_CHECKING:
    import psycopg

logger = logging.getLogger(__name__)

Rows = Callable[[str], Sequence[tuple[Any, ...]]]
"""Runs a query without parameters in some session, and returns its rows."""

APPLICATION: Final = "pytest-deploy"
CHECK_INTERVAL_MS: Final = 500
CONNECT_TIMEOUT_S: Final = 10


def settings(lock_timeout_s: float) -> dict[str, str]:
    """The server settings of every session, by name; times in milliseconds."""
    return {
        "lock_timeout": f"{max(1, round(lock_timeout_s * 1000))}ms",
        "client_connection_check_interval": f"{CHECK_INTERVAL_MS}ms",
    }


def options(lock_timeout_s: float) -> str:
    """The same as libpq's `options`."""
    return " ".join(f"-c {name}={value}" for name, value in settings(lock_timeout_s).items())


def program_environment(conninfo: str, lock_timeout_s: float, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables under which a PostgreSQL program reaches the database of `conninfo`: nothing stands in argv.

    Variables of `base` (default: of this process) that would lead libpq elsewhere are dropped.
    """
    from psycopg import conninfo as parser
    from psycopg import pq

    names = {option.keyword.decode(): option.envvar.decode() for option in pq.Conninfo.get_defaults() if option.envvar}
    wanted = {name: str(value) for name, value in parser.conninfo_to_dict(conninfo).items() if value is not None}
    wanted["options"] = f"{wanted.get('options', '')} {options(lock_timeout_s)}".strip()
    wanted.setdefault("application_name", APPLICATION)
    wanted.setdefault("connect_timeout", str(CONNECT_TIMEOUT_S))
    inherited = {
        name: value for name, value in (os.environ if base is None else base).items() if name not in names.values()
    }
    return {**inherited, **{names[name]: value for name, value in wanted.items() if name in names}, "LC_ALL": "C"}


def server_message(error: BaseException) -> str:
    """What the server said, without DETAIL, CONTEXT and parameters: those may hold rows."""
    diagnosis = getattr(error, "diag", None)
    primary = getattr(diagnosis, "message_primary", None)
    if primary is None:
        return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    hint = getattr(diagnosis, "message_hint", None)
    return f"{primary} (hint: {hint})" if hint else str(primary)


@contextmanager
def connect(conninfo: str, *, lock_timeout_s: float, autocommit: bool = False) -> Iterator[psycopg.Connection[Any]]:
    """A bounded psycopg session; commits at the end, rolls back on any exception, never leaves a statement running.

    Raises PlatformUnavailable where the server cannot be reached; the message holds no password.
    """
    import psycopg

    try:
        connection = psycopg.connect(
            conninfo,
            autocommit=autocommit,
            application_name=APPLICATION,
            client_encoding="utf8",
            connect_timeout=CONNECT_TIMEOUT_S,
        )
    except psycopg.Error as error:
        failure = server_message(error)
    else:
        failure = ""
    if failure:  # outside the except clause, so that no chained exception carries the connection string along
        raise PlatformUnavailable(
            f"the database cannot be reached: {failure}; check the server and the connection string"
        )
    try:
        for name, value in settings(lock_timeout_s).items():
            connection.execute("select set_config(%s, %s, false)", (name, value))
        if not autocommit:
            connection.commit()
        yield connection
        if not autocommit:
            connection.commit()
    except BaseException:
        if connection.info.transaction_status is psycopg.pq.TransactionStatus.ACTIVE:
            connection.cancel_safe(timeout=1)
        raise
    finally:
        connection.close()


def rows_of(connection: psycopg.Connection[Any]) -> Rows:
    """`connection` as a way to ask queries."""
    return lambda query: connection.execute(query.encode()).fetchall()


# --- One runner at a time, by a polled advisory lock.
#
# The key is the one dbmate's `--migration-lock` takes. It is polled, never waited for: a session that waits inside the
# server holds a snapshot, and CREATE INDEX CONCURRENTLY in the other runner waits for that snapshot: a deadlock. The lock
# is the session's, so the server lets it go when the runner dies; the engine's own session then still holds `ENGINE_KEY`
# for as long as its transaction lives.

RUNNER_KEY: Final = 48372615
ENGINE_KEY: Final = (48372615, 1)
"""HeldLease by the transaction that changes the schema: a runner that follows a killed one waits for the killed one's end."""
POLL_S: Final = 0.1


@contextmanager
def sole_runner(conninfo: str, *, lock_timeout_s: float, wait_s: float) -> Iterator[psycopg.Connection[Any]]:
    """Hold the lock, and the autocommit session that has it; wait for it at most `wait_s` seconds.

    Raises Refused where another runner still holds it then, saying which session that is.
    """
    with connect(conninfo, lock_timeout_s=lock_timeout_s, autocommit=True) as connection:
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


def _holder(connection: psycopg.Connection[Any]) -> str:
    row = connection.execute(
        "select format('%%s, pid %%s, since %%s UTC', coalesce(nullif(application_name, ''), 'a session'), pid,"
        " to_char(backend_start at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS'))"
        " from pg_locks join pg_stat_activity using (pid)"
        " where locktype = 'advisory' and objid::bigint = %s and classid = 0 and objsubid = 1 and granted",
        (RUNNER_KEY,),
    ).fetchone()
    return str(row[0]) if row else "it has just ended"


# --- PostgreSQL's own programs, run so that no password stands in argv and no session waits for ever.


def run_program(
    program: str,
    arguments: Sequence[str],
    conninfo: str,
    *,
    programs: Path | None,
    lock_timeout_s: float = 5.0,
) -> bytes:
    """What the program printed. `programs` is its folder; None: from PATH.

    Raises PlatformUnavailable where it is missing, or ends with an error: with the first lines of its error output.
    """
    path = program if programs is None else str(programs / program)
    try:
        completed = subprocess.run(
            [path, *arguments],
            env=program_environment(conninfo, lock_timeout_s),
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
        raise PlatformUnavailable(f"{program} ended with {completed.returncode}: {shown}")
    return completed.stdout


# --- A database to try things in, beside the real one and gone afterwards, also the next day where a process was killed.

PREFIX: Final = "deploy_scratch_"
_STALE: Final = """
select datname from pg_database d
where datname ~ '^deploy_scratch_[0-9]{8}_[0-9a-f]{12}$'
  and to_date(substr(datname, 16, 8), 'YYYYMMDD') < (now() at time zone 'utc')::date - 1
  and not exists (select from pg_stat_activity a where a.datid = d.oid)
"""


@contextmanager
def scratch_database(conninfo: str, *, lock_timeout_s: float = 5.0) -> Iterator[str]:
    """The connection string of a new, empty database on the same server, by the same user; dropped afterwards.

    Raises PlatformUnavailable where the user may not create databases.
    """
    import psycopg
    from psycopg import sql
    from psycopg.conninfo import make_conninfo

    with connect(conninfo, lock_timeout_s=lock_timeout_s, autocommit=True) as connection:
        ((today,),) = connection.execute("select to_char(now() at time zone 'utc', 'YYYYMMDD')").fetchall()
        name = f"{PREFIX}{today}_{secrets.token_hex(6)}"
        for (stale,) in connection.execute(_STALE.encode()).fetchall():
            connection.execute(sql.SQL("drop database if exists {}").format(sql.Identifier(stale)))
        failure = ""
        try:
            connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
        except psycopg.Error as error:
            failure = server_message(error)
        if failure:
            raise PlatformUnavailable(
                f"no scratch database can be made: {failure}; grant CREATEDB to the migrations' user"
            )
    try:
        yield make_conninfo(conninfo, dbname=name)
    finally:
        with connect(conninfo, lock_timeout_s=lock_timeout_s, autocommit=True) as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
