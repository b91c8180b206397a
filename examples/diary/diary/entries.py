"""Diary entries in the database. Nothing is overwritten: changing and deleting append a version."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol
from uuid import UUID

import psycopg
from psycopg import sql

from diary.accounts import Caller
from diary.fields import Draft
from diary.problems import NotThere, VersionConflict


@dataclass(frozen=True)
class Version:
    """One version of an entry, as it was written."""

    id: UUID
    """The entry's; the same in all its versions."""
    version: int
    day: date
    text: str
    score: int
    reason: str | None
    deleted: bool
    written: datetime


class Entries(Protocol):
    """What can be done with a caller's own entries. Those of others are not there."""

    async def add(self, caller: Caller, draft: Draft) -> Version:
        """A new entry at version 1."""

    async def all(self, caller: Caller) -> list[Version]:
        """Every entry as it stands, the latest day first; deleted ones left out."""

    async def one(self, caller: Caller, entry: UUID) -> Version:
        """An entry as it stands. Raises NotThere."""

    async def change(self, caller: Caller, entry: UUID, draft: Draft, seen: int | None) -> Version:
        """Append a version to the one that was `seen`. Raises NotThere, VersionConflict."""

    async def delete(self, caller: Caller, entry: UUID, seen: int | None, reason: str | None) -> Version:
        """Append a version flagged deleted; `seen` None stands for whichever is current. Raises as `change`."""

    async def history(self, caller: Caller, entry: UUID) -> list[Version]:
        """Every version, the first one first, of a deleted entry too. Raises NotThere."""


_VERSIONS = sql.Identifier("diary", "entry_version")
_COLUMNS = sql.SQL("entry_id, version, day, body, score, reason, deleted, written_at")

_INSERT_ENTRY = sql.SQL("insert into diary.entry (account_id) values (%s) returning id")
_SELECT_ALL = sql.SQL("select {columns} from diary.current_entry order by day desc, written_at desc, entry_id").format(
    columns=_COLUMNS
)
_SELECT_ONE = sql.SQL("select {columns} from diary.current_entry where entry_id = %s").format(columns=_COLUMNS)
_SELECT_HISTORY = sql.SQL("select {columns} from diary.entry_version where entry_id = %s order by version").format(
    columns=_COLUMNS
)
_SELECT_TRAIL = sql.SQL("""
    select id, at, actor, db_user, action, old, new
    from diary.audit
    where subject = 'entry' and subject_id = %s
    order by id
""")
_INSERT_VERSION = sql.SQL("""
    insert into {versions} (entry_id, version, account_id, day, body, score, reason, deleted)
    values (%s, %s, %s, %s, %s, %s, %s, %s)
    returning {columns}
""")


class StoredEntries:
    """Entries in `diary.entry` and `diary.entry_version`, whose triggers write the audit trail."""

    versions = _VERSIONS
    """Where versions after the first are appended."""

    async def add(self, caller: Caller, draft: Draft) -> Version:
        """See Entries."""
        rows = await _rows(caller, _INSERT_ENTRY, [caller.account])
        return await _append(caller, _VERSIONS, rows[0]["id"], 1, draft, deleted=False)

    async def all(self, caller: Caller) -> list[Version]:
        """See Entries."""
        return [_version(row) for row in await _rows(caller, _SELECT_ALL, [])]

    async def one(self, caller: Caller, entry: UUID) -> Version:
        """See Entries."""
        rows = await _rows(caller, _SELECT_ONE, [entry])
        if not rows:
            raise NotThere("there is no such entry")
        return _version(rows[0])

    async def change(self, caller: Caller, entry: UUID, draft: Draft, seen: int | None) -> Version:
        """See Entries."""
        current = await self.one(caller, entry)
        require_seen(current, seen)
        return await _append(caller, self.versions, entry, current.version + 1, draft, deleted=False)

    async def delete(self, caller: Caller, entry: UUID, seen: int | None, reason: str | None) -> Version:
        """See Entries."""
        current = await self.one(caller, entry)
        require_seen(current, current.version if seen is None else seen)
        draft = Draft(current.day, current.text, current.score, reason)
        return await _append(caller, self.versions, entry, current.version + 1, draft, deleted=True)

    async def history(self, caller: Caller, entry: UUID) -> list[Version]:
        """See Entries."""
        rows = await _rows(caller, _SELECT_HISTORY, [entry])
        if not rows:
            raise NotThere("there is no such entry")
        return [_version(row) for row in rows]


def require_seen(current: Version, seen: int | None) -> None:
    """Raises VersionConflict unless the caller saw the current version, so that nobody overwrites unread words."""
    if seen is None:
        raise VersionConflict('say which version you saw, in "version" or If-Match')
    if seen != current.version:
        raise VersionConflict(f"the entry is at version {current.version}, you saw {seen}: read it again")


async def read_trail(caller: Caller, entry: UUID) -> list[dict[str, Any]]:
    """The audit trail of one of the caller's entries, the oldest row first; empty where there is none."""
    return await _rows(caller, _SELECT_TRAIL, [entry])


async def _append(
    caller: Caller, versions: sql.Identifier, entry: UUID, version: int, draft: Draft, *, deleted: bool
) -> Version:
    statement = _INSERT_VERSION.format(versions=versions, columns=_COLUMNS)
    values = [entry, version, caller.account, draft.day, draft.text, draft.score, draft.reason, deleted]
    try:
        rows = await _rows(caller, statement, values)
    except (psycopg.errors.UniqueViolation, psycopg.errors.CheckViolation) as error:
        # Whoever waited is told by the key; whoever began a moment later by the trigger, which names no constraint.
        if isinstance(error, psycopg.errors.CheckViolation) and error.diag.constraint_name:
            raise
        raise VersionConflict(f"somebody else wrote version {version} meanwhile: read it again") from None
    return _version(rows[0])


async def _rows(caller: Caller, statement: sql.SQL | sql.Composed, values: list[Any]) -> list[dict[str, Any]]:
    cursor = await caller.connection.execute(statement, values)
    return await cursor.fetchall()


def _version(row: dict[str, Any]) -> Version:
    return Version(
        id=row["entry_id"],
        version=row["version"],
        day=row["day"],
        text=row["body"],
        score=row["score"],
        reason=row["reason"],
        deleted=row["deleted"],
        written=row["written_at"],
    )
