"""A connection pooler in front of the server, seen by its own answer: the process that it names is not the one that answers.

Migrations need a session of their own: its locks, its settings and its transaction. A pooler that hands out a session for each
transaction is refused; one that keeps a session for each client serves, where the session has the time limits that were asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

import psycopg

from pytest_deploy.errors import PlatformUnavailable

_Connection = psycopg.Connection[Any]
_SETTING: Final = re.compile(r"-c\s*([a-z_]+)=(\S+)")
_NOW: Final = "select pg_backend_pid(), quote_ident(session_user), quote_ident(current_database())"
REFUSED_OPTIONS: Final = "unsupported startup parameter"
"""How pgbouncer begins to say that it passes no options on."""


def require_session(
    connection: _Connection, options: str, another: Callable[[], AbstractContextManager[_Connection]]
) -> None:
    """What answers is a session of our own, with what `options` ask (`-c lock_timeout=5s`).

    `another` opens a second connection the same way. Raises PlatformUnavailable where a pooler gives less than a session.
    """
    ((pid, user, database),) = connection.execute(_NOW).fetchall()
    if pid == connection.info.backend_pid:
        return
    if _is_shared(connection, pid, another):
        raise PlatformUnavailable(
            f"a pooler in front of the database hands each transaction another session ({database}, as {user}): locks and "
            "settings would not hold; connect migrations to the server itself, or to a pool in session mode"
        )
    if not all(_has(connection, name, value) for name, value in dict(_SETTING.findall(options)).items()):
        raise PlatformUnavailable(without_options(user, database, options))


def without_options(user: str, database: str, options: str) -> str:
    """What to do about a pooler that drops the `options` of a session."""
    wanted = dict(_SETTING.findall(options))
    sets = "; ".join(
        f"ALTER ROLE {user} IN DATABASE {database} SET {name} = '{value}'" for name, value in wanted.items()
    )
    return (
        "a pooler in front of the database does not pass the options of a session on, so migrations would wait for locks "
        f"without end; connect them to the server itself, or give the role these settings (`{sets}`) and pgbouncer "
        "`ignore_startup_parameters = options`"
    )


def _is_shared(connection: _Connection, pid: int, another: Callable[[], AbstractContextManager[_Connection]]) -> bool:
    """Whether a second client gets the first one's session between its transactions, or the first one another."""
    with another() as second, second.transaction():
        ((taken,),) = second.execute("select pg_backend_pid()").fetchall()
        ((now,),) = connection.execute("select pg_backend_pid()").fetchall()
    return bool(taken == pid or now != pid)


def _has(connection: _Connection, name: str, value: str) -> bool:
    """Whether the session's setting is that value, in whatever unit."""
    with connection.transaction():
        ((is_now,),) = connection.execute("select current_setting(%s)", (name,)).fetchall()
        connection.execute("select set_config(%s, %s, true)", (name, value))
        ((would_be,),) = connection.execute("select current_setting(%s)", (name,)).fetchall()
    return bool(is_now == would_be)
