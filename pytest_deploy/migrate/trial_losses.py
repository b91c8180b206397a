"""What a way down took in a trial, and nothing brings back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pytest_deploy.migrate.migration import Section
from pytest_deploy.migrate.sample_rows import missing_rows
from pytest_deploy.migrate.saved_rows import Saved

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
