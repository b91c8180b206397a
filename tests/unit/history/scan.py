"""The straightforward way: every event of a log read, every question asked of every run."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_deploy.history.query import Asked
from pytest_deploy.history.row import Row, facts
from pytest_deploy.record.event import Event
from pytest_deploy.record.run_id import NO_RUN


def scan(events: Sequence[Event], asked: Asked) -> list[Row]:
    """The runs asked for, newest first."""
    of: dict[str, list[Event]] = {}
    for event in events:
        if event.run != NO_RUN:
            of.setdefault(event.run, []).append(event)
    found = []
    for mine in of.values():
        row = Row.of(mine)
        if row.began and asked.accepts(row, [fact for event in mine for fact in facts(event)]):
            found.append(row)
    found.reverse()  # of those that began at once, the one named later in the log comes first
    return sorted(found, key=lambda row: row.began, reverse=True)
