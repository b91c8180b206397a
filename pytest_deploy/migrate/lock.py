"""One runner at a time, by a polled advisory lock.

The key is the one dbmate's `--migration-lock` takes. It is polled, never waited for: a session that waits inside the
server holds a snapshot, and CREATE INDEX CONCURRENTLY in the other runner waits for that snapshot: a deadlock. The lock is
the session's, so the server lets it go when the runner dies; the engine's own session then still holds `ENGINE_KEY` for
as long as its transaction lives.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from pytest_deploy.errors import Refused
from pytest_deploy.migrate.session import connect

if TYPE_CHECKING:
    import psycopg

KEY: Final = 48372615
ENGINE_KEY: Final = (48372615, 1)
"""Held by the transaction that changes the schema: a runner that follows a killed one waits for the killed one's end."""
POLL_S: Final = 0.1


@contextmanager
def sole_runner(conninfo: str, *, lock_timeout_s: float, wait_s: float) -> Iterator[psycopg.Connection[Any]]:
    """Hold the lock, and the autocommit session that has it; wait for it at most `wait_s` seconds.

    Raises Refused where another runner still holds it then, saying which session that is.
    """
    with connect(conninfo, lock_timeout_s=lock_timeout_s, autocommit=True) as connection:
        until = time.monotonic() + wait_s
        while connection.execute("select pg_try_advisory_lock(%s)", (KEY,)).fetchone() != (True,):
            if time.monotonic() >= until:
                raise Refused(
                    f"another runner is migrating ({_holder(connection)}) and did not end within {wait_s:g} s; "
                    "wait for it, or see that it is gone"
                )
            time.sleep(POLL_S)
        yield connection


def _holder(connection: psycopg.Connection[Any]) -> str:
    row = connection.execute(
        "select format('%%s, pid %%s, since %%s UTC', coalesce(nullif(application_name, ''), 'a session'), pid,"
        " to_char(backend_start at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS'))"
        " from pg_locks join pg_stat_activity using (pid)"
        " where locktype = 'advisory' and objid::bigint = %s and classid = 0 and objsubid = 1 and granted",
        (KEY,),
    ).fetchone()
    return str(row[0]) if row else "it has just ended"
