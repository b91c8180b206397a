"""`python -m diary.account`: have the synthetic account that deployment checks log in with.

DATABASE_URL is the owner's; SMOKE_USER and SMOKE_PASSWORD are the credentials, and there are no others to fall back
on. Doing it again changes nothing but a password that no longer fits. With SERVICE_ROLE set, diary.grant runs first.
An account that is not flagged synthetic is a participant's and is never touched.
Exit status: 0 done, 1 refused, 2 the environment is not valid.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from diary.grant import GrantRefusedError, grant
from diary.passwords import hash_password, password_fits

SHORTEST_PASSWORD = 12


class AccountRefusedError(Exception):
    """The name belongs to a participant."""


@dataclass(frozen=True)
class Ensured:
    """The account as it is now, and whether this call changed anything."""

    id: UUID
    changed: bool


def ensure_account(connection: psycopg.Connection[Any], username: str, password: str) -> Ensured:
    """The synthetic account of that name, with that password. Raises AccountRefusedError."""
    found = connection.execute(
        "select id, password_hash, synthetic from diary.account where username = %s for update", [username]
    ).fetchone()
    if found is None:
        row = connection.execute(
            "insert into diary.account (username, password_hash, synthetic) values (%s, %s, true) returning id",
            [username, hash_password(password)],
        ).fetchone()
        assert row is not None
        return Ensured(row[0], changed=True)
    account, stored, synthetic = found
    if not synthetic:
        raise AccountRefusedError(f"{username!r} is a participant's account: give SMOKE_USER a name of its own")
    if password_fits(password, stored):
        return Ensured(account, changed=False)
    connection.execute("update diary.account set password_hash = %s where id = %s", [hash_password(password), account])
    return Ensured(account, changed=True)


def main() -> int:
    """Ensure the account, and print its id as JSON."""
    url, username, password, role = (
        os.environ.get(name, "") for name in ("DATABASE_URL", "SMOKE_USER", "SMOKE_PASSWORD", "SERVICE_ROLE")
    )
    if not url or not username or len(password) < SHORTEST_PASSWORD:
        problem = f"DATABASE_URL (the owner's), SMOKE_USER and SMOKE_PASSWORD (>= {SHORTEST_PASSWORD} characters)"
        print(f"{problem} are all needed", file=sys.stderr)
        return 2
    try:
        with psycopg.connect(url) as connection:
            if role:
                grant(connection, role)
            ensured = ensure_account(connection, username, password)
    except (AccountRefusedError, GrantRefusedError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps({"id": str(ensured.id), "synthetic": True, "changed": ensured.changed}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
