"""Values as people read them, on a page or a terminal: instants, durations, positions of events, tables, CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pytest_deploy.record.plain_text import escape_cell

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What makes a spreadsheet take a cell for a formula; the last four are the first in the width of Chinese characters."""


def utc(instant: datetime) -> str:
    """`2026-11-22 20:25:07 UTC`."""
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"


def seconds(value: float | None) -> str:
    """`0.04 s`, `12.3 s`, `2 min 05 s`, `10 min`, `1 h 02 min`; a dash for None."""
    if value is None:
        return "—"
    if value < 10:  # noqa: PLR2004  two digits after the point up to here
        return f"{value:.2f} s"
    if value < 60:  # noqa: PLR2004  a minute
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:  # noqa: PLR2004  an hour
        return f"{minutes} min {rest:02d} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def response_time(value: float) -> str:
    """Seconds that are mostly milliseconds: `0.4 ms`, `31 ms`; from a second on as `seconds`."""
    if value >= 1:
        return seconds(value)
    return f"{value * 1000:.1f} ms" if value < 0.01 else f"{value * 1000:.0f} ms"  # noqa: PLR2004  10 ms


def share(part: int, whole: int) -> str:
    """`3 of 12, 25 %`; a dash where there is nothing to count."""
    return f"{part} of {whole}, {part / whole * 100:.0f} %" if whole else "—"


def positions(events: Iterable[int]) -> str:
    """`12, 14-17`: positions of events, neighbours drawn together."""
    parts: list[list[int]] = []
    for seq in events:
        if parts and parts[-1][-1] == seq - 1:
            parts[-1].append(seq)
        else:
            parts.append([seq])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows of equal length in columns as wide as needed; the last column runs free."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)] if rows else []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[-1]]).rstrip()


def csv_lines(rows: Iterable[Mapping[str, Any]], keys: Sequence[str]) -> Iterator[str]:
    """RFC 4180, the keys first."""
    yield ",".join(keys)
    for row in rows:
        stream = io.StringIO()
        csv.writer(stream, lineterminator="").writerow([csv_cell(row[key]) for key in keys])
        yield stream.getvalue()


def csv_cell(value: Any) -> str:
    """A value on one line that no spreadsheet runs: what it would take for a formula begins with an apostrophe."""
    if isinstance(value, list | tuple):
        value = "; ".join(str(item) for item in value)
    text = escape_cell("" if value is None else str(value))
    return f"'{text}" if text.startswith(_FORMULA) else text
