"""The fault `audit`: a diary that seems to work and writes nothing down."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Any, cast
from uuid import uuid4

import pytest

from diary.accounts import Caller
from diary.entries import StoredEntries
from diary.faults import MisnamedEntries, UnwrittenEntries, entries_under, password_under
from diary.fields import Draft
from diary.problems import NotThere, VersionConflict
from diary.settings import Fault

DRAFT = Draft(date(2026, 11, 22), "slept well", 7)


def somebody() -> Caller:
    return Caller(uuid4(), cast("Any", None))  # no connection: whoever touches it fails


def test_each_fault_spoils_one_thing_only() -> None:
    kinds = {fault: type(entries_under(fault)) for fault in (None, *Fault)}
    passwords = {fault for fault in (None, *Fault) if password_under(fault, "x") != "x"}

    assert {Fault.CRUD: MisnamedEntries, Fault.AUDIT: UnwrittenEntries} == {
        fault: kind for fault, kind in kinds.items() if kind is not StoredEntries
    }
    assert passwords == {Fault.LOGIN}


def test_unwritten_entries_can_be_created_changed_deleted_and_listed() -> None:
    async def story() -> list[tuple[int, bool]]:
        entries, caller = UnwrittenEntries(), somebody()
        kept, gone = await entries.add(caller, DRAFT), await entries.add(caller, DRAFT)
        await entries.change(caller, kept.id, DRAFT, 1)
        await entries.delete(caller, gone.id, None, None)
        with pytest.raises(NotThere):
            await entries.one(caller, gone.id)
        assert [kept.id] == [version.id for version in await entries.all(caller)]
        history = await entries.history(caller, kept.id) + await entries.history(caller, gone.id)
        return [(version.version, version.deleted) for version in history]

    assert asyncio.run(story()) == [(1, False), (2, False), (1, False), (2, True)]


def test_unwritten_entries_keep_versions_and_people_apart() -> None:
    async def story() -> None:
        entries, caller = UnwrittenEntries(), somebody()
        version = await entries.add(caller, DRAFT)
        with pytest.raises(VersionConflict):
            await entries.change(caller, version.id, DRAFT, 2)
        with pytest.raises(NotThere):
            await entries.one(somebody(), version.id)

    asyncio.run(story())
