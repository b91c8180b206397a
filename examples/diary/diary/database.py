"""Connections to PostgreSQL, and transactions in the least privilege that serves a request.

A transaction acts as the group role `diary_app` and names the account it acts for; row-level security does the rest.
Both settings end with the transaction, so a connection that goes back on the shelf carries nobody's identity.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import psycopg
from psycopg.rows import DictRow, dict_row

from diary.journal import log
from diary.problems import Unavailable

Connection = psycopg.AsyncConnection[DictRow]

_BEGIN = """
    select set_config('role', 'diary_app', true),
           set_config('statement_timeout', '10s', true),
           set_config('app.account', %s, true)
"""


class Database:
    """At most `size` connections, opened when needed and kept while they work."""

    def __init__(self, url: str, *, size: int = 5, connect_seconds: int = 5) -> None:
        self._url = url
        self._connect_seconds = connect_seconds
        self._free = asyncio.Semaphore(size)
        self._shelf: list[Connection] = []

    @asynccontextmanager
    async def transaction(self, account: UUID | None = None) -> AsyncIterator[Connection]:
        """One transaction for `account`, or for nobody. Commits at the end, rolls back on an exception.

        Raises Unavailable where the database cannot be reached or the connection breaks, psycopg.Error else.
        """
        async with self._free:
            try:
                connection = await self._begin(account)
            except psycopg.OperationalError as error:
                # libpq's words on connecting name host, user and reason, never a password or a row.
                log.error("the database cannot be reached", extra={"fields": {"cause": str(error)}})
                raise Unavailable("the database cannot be reached") from error
            try:
                yield connection
                await connection.commit()
            except psycopg.OperationalError as error:
                log.error("the database did not answer", extra={"fields": {"sqlstate": error.sqlstate}})
                await connection.close()
                raise Unavailable("the database did not answer") from error
            except BaseException:
                try:
                    await connection.rollback()
                except psycopg.Error:
                    await connection.close()
                raise
            finally:
                if not connection.closed:
                    self._shelf.append(connection)

    async def close(self) -> None:
        """Close what is on the shelf."""
        while self._shelf:
            await self._shelf.pop().close()

    async def _begin(self, account: UUID | None) -> Connection:
        """A connection with its transaction begun. One that died on the shelf (a restarted server) is replaced."""
        while self._shelf:
            connection = self._shelf.pop()
            try:
                return await _begun(connection, account)
            except psycopg.OperationalError:
                await connection.close()
        connection = await psycopg.AsyncConnection.connect(
            self._url,
            row_factory=dict_row,
            connect_timeout=self._connect_seconds,
            application_name="diary",
            prepare_threshold=None,  # a migration may change what a prepared statement stood on
        )
        return await _begun(connection, account)


async def act_for(connection: Connection, account: UUID) -> None:
    """From here to its end the transaction acts for `account`."""
    await connection.execute("select set_config('app.account', %s, true)", [str(account)])


async def schema_version(connection: Connection) -> int:
    """The number that the last migration left."""
    cursor = await connection.execute("select diary.schema_version() as version")
    row = await cursor.fetchone()
    return int(row["version"]) if row else 0


async def _begun(connection: Connection, account: UUID | None) -> Connection:
    try:
        await connection.execute(_BEGIN, [str(account) if account else ""])
    except psycopg.Error:
        await connection.close()
        raise
    return connection
