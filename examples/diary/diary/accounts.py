"""Accounts and sessions: who may log in, and whose a bearer token is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from diary.database import Connection, Database, act_for
from diary.passwords import new_token, password_fits, token_hash
from diary.problems import NotLoggedIn


@dataclass(frozen=True)
class Caller:
    """A logged-in account and the transaction that acts for it."""

    account: UUID
    connection: Connection


@dataclass(frozen=True)
class Session:
    """A new session. `token` is known here and to the caller, and stored nowhere."""

    token: str
    expires: datetime
    account: UUID


@dataclass(frozen=True)
class Account:
    """What an account may know of itself."""

    id: UUID
    username: str
    synthetic: bool


async def log_in(database: Database, username: str, password: str, *, seconds: int) -> Session:
    """A session of `seconds`, by the database's clock. Raises NotLoggedIn, after the same work for a wrong name."""
    async with database.transaction() as connection:
        cursor = await connection.execute("select id, password_hash from diary.account_for_login(%s)", [username])
        found = await cursor.fetchone()
    # In a thread and outside the transaction: hashing takes long on purpose.
    fits = await asyncio.to_thread(password_fits, password, found["password_hash"] if found else None)
    if found is None or not fits:
        raise NotLoggedIn("the username or the password is not right")
    token = new_token()
    async with database.transaction(found["id"]) as connection:
        cursor = await connection.execute(
            """insert into diary.session (token_hash, account_id, expires_at)
               values (%s, %s, now() + make_interval(secs => %s)) returning expires_at""",
            [token_hash(token), found["id"], seconds],
        )
        row = await cursor.fetchone()
        assert row is not None
    return Session(token, row["expires_at"], found["id"])


@asynccontextmanager
async def logged_in(database: Database, token: str) -> AsyncIterator[Caller]:
    """The caller behind a token, in one transaction that sees only what is theirs. Raises NotLoggedIn."""
    async with database.transaction() as connection:
        cursor = await connection.execute("select diary.session_account(%s) as account", [token_hash(token)])
        row = await cursor.fetchone()
        if row is None or row["account"] is None:
            raise NotLoggedIn("the session is unknown, over or expired: log in again")
        await act_for(connection, row["account"])
        yield Caller(row["account"], connection)


async def log_out(caller: Caller, token: str) -> None:
    """End the session; its token opens nothing any more."""
    await caller.connection.execute(
        "update diary.session set ended_at = now() where token_hash = %s", [token_hash(token)]
    )


async def read_account(caller: Caller) -> Account:
    """The caller's own account."""
    cursor = await caller.connection.execute(
        "select id, username, synthetic from diary.account where id = %s", [caller.account]
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotLoggedIn("the account is not there any more")
    return Account(row["id"], row["username"], row["synthetic"])
