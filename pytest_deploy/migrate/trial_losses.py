"""What a way down took in a trial, and nothing brings back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pytest_deploy.migrate.migration import Section
from pytest_deploy.migrate.sample_rows import missing_rows
from pytest_deploy.migrate.saved_rows import Saved
from pytest_deploy.migrate.session import Connection

_TABLES: Final = """
select c.oid::bigint, format('%I.%I', n.nspname, c.relname), coalesce((select min(inhparent)::bigint from pg_inherits where inhrelid = c.oid), 0)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and c.relpersistence <> 't' and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'deploy')
order by 2
"""


@dataclass(frozen=True)
class Tables:
    """The tables and partitions that there are."""

    names: Mapping[int, str]
    """By identity, qualified and quoted as SQL wants it."""
    parents: Mapping[int, int]
    """By identity the table that it is a partition or a child of; 0 where it is none's."""

    def gone_in(self, later: Tables) -> tuple[str, ...]:
        """Those of which there is neither the table nor one of its name any more; a partition's table stands for it."""
        gone = {
            oid: name
            for oid, name in self.names.items()
            if oid not in later.names and name not in set(later.names.values())
        }
        return tuple(name for oid, name in gone.items() if self.parents[oid] not in gone)


def tables_of(connection: Connection) -> Tables:
    """The tables that this session sees now."""
    found = connection.execute(_TABLES.encode()).fetchall()
    return Tables({oid: name for oid, name, _ in found}, {oid: parent for oid, _, parent in found})


_Rows = dict[str, Counter[str]]


def taken_for_good(
    down: Section, taken: Sequence[Saved], if_sparse: Sequence[Saved], rows: tuple[_Rows, _Rows, _Rows]
) -> tuple[str, ...]:
    """What is lost, as people read it; not rows that the up itself makes, nor content that it makes again.

    Args:
        down: the way down that ran.
        taken: what it saved.
        if_sparse: what it would have saved where each table had a row with nothing in it that may be left out.
        rows: those written since the up; those that were there after the down; those after the second up.
    """
    written, after_down, after_up = rows
    if not down.transactional:  # nothing could be saved: rows are compared here
        missing = missing_rows(written, after_down)
        return tuple(f"{count} rows of {table}" for table, count in sorted(missing.items()))
    missing = missing_rows(written, after_up)
    compared = {saved.table for saved in taken if not saved.dropped}
    lost = [saved for saved in taken if saved.dropped or saved.table in missing]
    lost += [saved for saved in if_sparse if not saved.dropped and saved.table not in compared]
    return tuple(saved.described() for saved in lost)
