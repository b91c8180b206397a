"""Every session a migration opens is bounded: it gives up on locks, and the server notices when its client died.

REQ-o00044-K. Without `client_connection_check_interval` a backend whose client was killed runs its statement to the end
and keeps its locks (measured: 5.6 s of a 6 s statement, and 0.07 s with it).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from pytest_deploy.errors import PlatformUnavailable

if TYPE_CHECKING:
    import psycopg

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


def environment(conninfo: str, lock_timeout_s: float, base: Mapping[str, str] | None = None) -> dict[str, str]:
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


def plain(error: BaseException) -> str:
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
        said = plain(error)
    else:
        said = ""
    if said:  # outside the except clause, so that no chained exception carries the connection string along
        raise PlatformUnavailable(f"the database cannot be reached: {said}; check the server and the connection string")
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
