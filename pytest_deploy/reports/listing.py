"""Listings for people and for programs: an aligned table, JSON, JSON lines, CSV that a spreadsheet does not run.

Characters that change how the rest of a line reads are spelled out everywhere but in JSON, which escapes them itself.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from pytest_deploy.history.answers import Listed, Listing
from pytest_deploy.history.row import Row
from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.plain_text import escape_cell
from pytest_deploy.reports.wording import seconds

FORMATS: Final = ("table", "json", "jsonl", "csv")
KEYS: Final = ("store", *(field.name for field in fields(Row)), "files")
"""What a run has in JSON, and the columns of CSV."""
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What makes a spreadsheet take a cell for a formula; the last four are the first in the width of Chinese characters."""
_COMMIT: Final = 8
_COLUMNS: Final = (
    "began",
    "run",
    "pipeline",
    "outcome",
    "version",
    "commit",
    "deployer",
    "approvers",
    "bypassed",
    "took",
    "events",
)


def lines(listing: Listing, form: str) -> Iterator[str]:
    """A listing in one of FORMATS, line by line."""
    if form == "table":
        yield from _table(listing)
    elif form == "json":
        yield json.dumps({"total": listing.total, "runs": [_object(one) for one in listing.runs]}, indent=2)
    elif form == "jsonl":
        yield from (json.dumps(_object(one)) for one in listing.runs)
    else:
        yield from csv_lines((_object(one) for one in listing.runs), KEYS)


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows of equal length in columns as wide as needed; the last column runs free."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)] if rows else []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[-1]]).rstrip()


def positions(events: Iterable[int]) -> str:
    """`12, 14-17`: positions of events, neighbours drawn together."""
    parts: list[list[int]] = []
    for seq in events:
        if parts and parts[-1][-1] == seq - 1:
            parts[-1].append(seq)
        else:
            parts.append([seq])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


def cell(value: Any) -> str:
    """A value as a cell of CSV: no formula, no control character, no direction mark."""
    if isinstance(value, list | tuple):
        value = "; ".join(str(item) for item in value)
    text = escape_cell("" if value is None else str(value))
    return f"'{text}" if text.startswith(_FORMULA) else text


def _table(listing: Listing) -> Iterator[str]:
    if not listing.runs:
        yield "no run that was asked for"
        return
    rows = [
        (
            *(row.began[:19] + "Z", row.run, row.pipeline or "-", _outcome(row), row.version or "-", row.commit[:_COMMIT] or "-"),
            *(row.deployer or row.requested_by or "-", ", ".join(row.approvers) or "-", ", ".join(row.bypassed) or "-"),
            *(seconds(row.duration_s), positions(one.events)),
        )
        for one in listing.runs
        for row in (one.row,)
    ]  # fmt: skip
    yield from aligned([_COLUMNS, *(tuple(map(escape_cell, row)) for row in rows)])
    yield ""
    sources = sorted({escape_cell(one.source) for one in listing.runs})
    number = "1 run" if listing.total == 1 else f"{listing.total} runs"
    more = "" if listing.total == len(listing.runs) else f", the newest {len(listing.runs)} shown (--limit 0: all)"
    yield f"{number}{more}; times are UTC"
    yield f"events: the positions each line rests on, in {', '.join(f'reports/{source}/log/' for source in sources)}"


def _outcome(row: Row) -> str:
    """As the events say it; that something was corrected since is said beside it, and `show` says what."""
    return f"{row.outcome} (amended: {', '.join(row.amended)})" if row.amended else row.outcome


def _object(one: Listed) -> dict[str, Any]:
    row: Mapping[str, Any] = one.row.to_json()
    return {"store": one.source, **row, "events": list(one.events), "files": [entries.name(seq) for seq in one.events]}


def csv_lines(rows: Iterable[Mapping[str, Any]], keys: Sequence[str]) -> Iterator[str]:
    """RFC 4180, the keys first; a cell that would be run as a formula begins with an apostrophe."""
    yield ",".join(keys)
    for row in rows:
        stream = io.StringIO()
        csv.writer(stream, lineterminator="").writerow([cell(row[key]) for key in keys])
        yield stream.getvalue()
