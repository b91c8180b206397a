"""Whether a migration left the history of migrations alone: what the ledger holds is what the engine meant it to hold.

Asked before the commit. A migration runs as the owner of the ledger and can write into it, or change what writes it; so actor, engine,
digest and times are compared with what the engine knows, earlier rows and the ledger's definitions with what they were.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pytest_deploy.errors import MigrationFailed
from pytest_deploy.migrate.migration import Migration
from pytest_deploy.migrate.session import LOCK_LEFT, Rows, let_go_of_locks

_DEFINITIONS: Final = """
with relation as (
    select * from pg_catalog.pg_class where relnamespace = pg_catalog.to_regnamespace('deploy')
        or oid in (pg_catalog.to_regclass('public.schema_version'), pg_catalog.to_regclass('public.schema_migrations'))
),
part(line) as (
    select n::text from pg_catalog.pg_namespace n where nspname = 'deploy'
    union all
    select row(oid, relname, relkind, relowner, relacl, relpersistence, relrowsecurity, relforcerowsecurity, reloptions)::text
    from relation
    union all
    select a::text from pg_catalog.pg_attribute a where attrelid in (select oid from relation)
    union all
    select d::text from pg_catalog.pg_attrdef d where adrelid in (select oid from relation)
    union all
    select i::text from pg_catalog.pg_index i where indrelid in (select oid from relation)
    union all
    select c::text from pg_catalog.pg_constraint c where conrelid in (select oid from relation)
    union all
    select t::text from pg_catalog.pg_trigger t where tgrelid in (select oid from relation)
    union all
    select w::text from pg_catalog.pg_rewrite w where ev_class in (select oid from relation)
    union all
    select p::text from pg_catalog.pg_policy p where polrelid in (select oid from relation)
    union all
    select i::text from pg_catalog.pg_inherits i where inhrelid in (select oid from relation) or inhparent in (select oid from relation)
    union all
    select row(f.xmin, f)::text from pg_catalog.pg_proc f where pronamespace = pg_catalog.to_regnamespace('deploy')
    union all
    select t::text from pg_catalog.pg_type t where typnamespace = pg_catalog.to_regnamespace('deploy')
)
select coalesce(encode(sha256(convert_to(string_agg(line, chr(10) order by line collate "C"), 'UTF8')), 'hex'), '') from part
"""
_EARLIER: Final = """
select count(*), coalesce(encode(sha256(convert_to(string_agg(e::text, chr(10) order by seq), 'UTF8')), 'hex'), '')
from deploy.migration_event e where seq <= {last}
"""
_LATER: Final = """
select version, direction, description, sha256, engine, actor, way_down,
       db_user = session_user, at between '{began}'::timestamptz - interval '1 minute' and clock_timestamp() + interval '1 minute',
       duration_s is null
           or duration_s between -60 and extract(epoch from clock_timestamp() - '{began}'::timestamptz) + 60
from deploy.migration_event where seq > {last} order by seq
"""


@dataclass(frozen=True)
class Event:
    """One row as the history is to have it. REQ-o00044-M, -P."""

    version: str
    direction: str
    description: str
    sha256: str | None
    engine: str
    actor: str
    way_down: str | None


@dataclass(frozen=True)
class History:
    """The ledger at one moment: its definitions, its rows, the newest of them, and the server's time."""

    definitions: str
    earlier: tuple[int, str]
    last: int
    began: str


def read_history(rows: Rows) -> History:
    """The ledger as the session behind `rows` sees it now; there must be one."""
    ((last, began),) = rows("select coalesce(max(seq), 0), clock_timestamp()::text from deploy.migration_event")
    ((definitions,),) = rows(_DEFINITIONS)
    return History(definitions, _earlier(rows, last), last, began)


def _earlier(rows: Rows, last: int) -> tuple[int, str]:
    ((count, digest),) = rows(_EARLIER.format(last=last))
    return count, digest


def tampered(rows: Rows, before: History, meant: Sequence[Event]) -> str:
    """What of the ledger is not as it was before, with the events that are meant after it; empty where all is."""
    return "; ".join(_differences(rows, before, meant))


def _differences(rows: Rows, before: History, meant: Sequence[Event]) -> Iterator[str]:
    ((definitions,),) = rows(_DEFINITIONS)
    if definitions != before.definitions:
        yield "its tables, triggers, functions or rights are not what they were"
    if _earlier(rows, before.last) != before.earlier:
        yield "rows from before are not what they were"
    found = rows(_LATER.format(last=before.last, began=before.began))
    if len(found) != len(meant):
        yield f"it has {len(found)} new rows instead of {len(meant)}"
        return
    names = ("version", "direction", "description", "sha256", "engine", "actor", "way_down")
    for row, event in zip(found, meant, strict=True):
        wrong = [name for name, value in zip(names, row, strict=False) if value != getattr(event, name)]
        wrong += [name for name, is_right in zip(("db_user", "at", "duration_s"), row[7:], strict=True) if not is_right]
        if wrong:
            yield f"of version {event.version} it has another {', '.join(wrong)} than the engine gave"


def require_no_trace(rows: Rows, pending: Sequence[Migration], before: History, *, actor: str, engine: str) -> None:
    """The history holds these ups, as the engine means them, and no other change; no advisory lock outlives them.

    Raises MigrationFailed, with those that may have done it: whose SQL names such a thing, else all.
    """
    meant = [
        Event(one.version, "up", one.name, one.sha256, engine, actor, one.down.sql if one.down.transactional else None)
        for one in pending
    ]
    if wrong := tampered(rows, before, meant):
        word = r"\bdeploy\b|\bschema_(version|migrations)\b"
        raise _failure(pending, word, f"changed the history of migrations: {wrong}")
    if let_go_of_locks(rows):
        raise _failure(pending, r"advisory", f"left {LOCK_LEFT}")


def _failure(pending: Sequence[Migration], word: str, what: str) -> MigrationFailed:
    suspects = [one for one in pending if re.search(word, one.up.sql, re.IGNORECASE)] or list(pending)
    places = ", ".join(one.up.place() for one in suspects)
    versions = tuple(one.version for one in pending)
    if not pending[0].up.transactional:
        return MigrationFailed(f"{places}: it {what}; it stays: it ran outside a transaction", applied=versions)
    who = "it" if len(suspects) == 1 else "one of them"
    others = tuple(version for version in versions if version != suspects[0].version)
    return MigrationFailed(f"{places}: {who} {what}; nothing was committed", failed=suspects[0].version, not_run=others)
