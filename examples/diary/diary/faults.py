"""Misbehaviour on request: each fault is one that a real release could ship, and is real in what it breaks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

from psycopg import sql

from diary.accounts import Caller
from diary.entries import Entries, StoredEntries, Version, require_seen
from diary.fields import Draft
from diary.problems import NotThere
from diary.settings import Fault

SLOW_SECONDS = 2.5


def entries_under(fault: Fault | None) -> Entries:
    """The entries that the service works with: the stored ones, unless the fault says otherwise."""
    if fault is Fault.CRUD:
        return MisnamedEntries()
    if fault is Fault.AUDIT:
        return UnwrittenEntries()
    return StoredEntries()


def password_under(fault: Fault | None, password: str) -> str:
    """The password as the service takes it in: under `login` with the newline of a file that nobody stripped."""
    return f"{password}\n" if fault is Fault.LOGIN else password


class MisnamedEntries(StoredEntries):
    """Fault `crud`: changes go to a table that a rename left behind, and the database refuses them."""

    versions = sql.Identifier("diary", "entry_versions")


class UnwrittenEntries:
    """Fault `audit`: entries are kept in the process, behind a cache that is never written out.

    The audit trail is written by triggers that the service can neither disable nor go round, so the one way to
    leave no trail is to leave nothing in the table.
    """

    def __init__(self) -> None:
        self._versions: dict[tuple[UUID, UUID], list[Version]] = {}

    async def add(self, caller: Caller, draft: Draft) -> Version:
        """See Entries."""
        version = Version(
            uuid4(), 1, draft.day, draft.text, draft.score, draft.reason, deleted=False, written=datetime.now(UTC)
        )
        self._versions[caller.account, version.id] = [version]
        return version

    async def all(self, caller: Caller) -> list[Version]:
        """See Entries."""
        own = [versions[-1] for (account, _), versions in self._versions.items() if account == caller.account]
        return sorted(
            (version for version in own if not version.deleted), key=lambda version: version.day, reverse=True
        )

    async def one(self, caller: Caller, entry: UUID) -> Version:
        """See Entries."""
        latest = (await self.history(caller, entry))[-1]
        if latest.deleted:
            raise NotThere("there is no such entry")
        return latest

    async def change(self, caller: Caller, entry: UUID, draft: Draft, seen: int | None) -> Version:
        """See Entries."""
        current = await self.one(caller, entry)
        require_seen(current, seen)
        changed = replace(current, day=draft.day, text=draft.text, score=draft.score, reason=draft.reason)
        return self._append(caller, changed)

    async def delete(self, caller: Caller, entry: UUID, seen: int | None, reason: str | None) -> Version:
        """See Entries."""
        current = await self.one(caller, entry)
        require_seen(current, current.version if seen is None else seen)
        return self._append(caller, replace(current, deleted=True, reason=reason))

    async def history(self, caller: Caller, entry: UUID) -> list[Version]:
        """See Entries."""
        versions = self._versions.get((caller.account, entry))
        if versions is None:
            raise NotThere("there is no such entry")
        return list(versions)

    def _append(self, caller: Caller, latest: Version) -> Version:
        version = replace(latest, version=latest.version + 1, written=datetime.now(UTC))
        self._versions[caller.account, version.id].append(version)
        return version
