"""Indexes that CREATE INDEX CONCURRENTLY left behind half-made: found, dropped, and told.

Such an index costs every write and serves no read, and the next attempt stumbles over its name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import psycopg

_INVALID: Final = """
select c.oid::bigint, format('%I.%I', n.nspname, c.relname), c.relname
from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
where not i.indisvalid and c.relkind = 'i' and n.nspname !~ '^pg_' order by 2
"""


def invalid(connection: psycopg.Connection[Any]) -> dict[int, tuple[str, str]]:
    """Every invalid index: qualified name and bare name, by identity."""
    return {oid: (qualified, name) for oid, qualified, name in connection.execute(_INVALID.encode())}


def drop_invalid(
    connection: psycopg.Connection[Any], before: dict[int, tuple[str, str]], statement: str
) -> tuple[str, ...]:
    """Drop those that `statement` made or names (an earlier attempt's); their names. The session commits by itself."""
    from psycopg import sql

    dropped = []
    for oid, (qualified, name) in invalid(connection).items():
        if oid not in before or re.search(rf"(?<!\w){re.escape(name)}(?!\w)", statement):
            connection.execute(sql.SQL("drop index concurrently if exists {}").format(sql.SQL(qualified)))
            dropped.append(qualified)
    return tuple(dropped)
