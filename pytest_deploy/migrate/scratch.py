"""A database to try things in, beside the real one and gone afterwards, also the next day where a process was killed."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pytest_deploy.errors import PlatformUnavailable
from pytest_deploy.migrate.session import connect, plain

PREFIX: Final = "deploy_scratch_"
_STALE: Final = """
select datname from pg_database d
where datname ~ '^deploy_scratch_[0-9]{8}_[0-9a-f]{12}$'
  and to_date(substr(datname, 16, 8), 'YYYYMMDD') < (now() at time zone 'utc')::date - 1
  and not exists (select from pg_stat_activity a where a.datid = d.oid)
"""


@contextmanager
def scratch(conninfo: str, *, lock_timeout_s: float = 5.0) -> Iterator[str]:
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
        said = ""
        try:
            connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
        except psycopg.Error as error:
            said = plain(error)
        if said:
            raise PlatformUnavailable(
                f"no scratch database can be made: {said}; grant CREATEDB to the migrations' user"
            )
    try:
        yield make_conninfo(conninfo, dbname=name)
    finally:
        with connect(conninfo, lock_timeout_s=lock_timeout_s, autocommit=True) as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
