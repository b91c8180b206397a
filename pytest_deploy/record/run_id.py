"""The name of a run: `<environment>-<YYYYMMDDTHHMMSSZ>-<4 hex>`, with `rehearsal-` before it in a rehearsal.

The instant in it is the real one even in a rehearsal with a shifted clock: the log finds a run by when it was named.
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final

from pytest_deploy.errors import IllegalEvent
from pytest_deploy.record.clock import Clock
from pytest_deploy.workspace import Workspace

NO_RUN = "-"
"""What stands in `run` of an event that belongs to no run."""

_MARGIN: Final = timedelta(seconds=120)
"""Clocks of two writers differ by less: a writer that is 60 s behind the log is refused."""

_RUN_ID = re.compile(r"(rehearsal-)?([A-Za-z0-9][A-Za-z0-9_-]*)-(\d{8}T\d{6}Z)-[0-9a-f]{4}", re.ASCII)


def new_run_id(environment: str, clock: Clock, *, rehearsal: bool = False) -> str:
    """A name nobody had before, with this instant in it. `clock` is the real one, never a shifted one."""
    prefix = "rehearsal-" if rehearsal else ""
    return f"{prefix}{environment}-{clock.now().astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def _parsed(run: str) -> re.Match[str]:
    match = _RUN_ID.fullmatch(run)
    if match is None:
        raise ValueError(f"{run!r} is no run: <environment>-<YYYYMMDDTHHMMSSZ>-<4 hex> is")
    return match


@lru_cache(maxsize=1024)
def named_at(run: str) -> datetime:
    """The instant in a run's name, to the second, UTC. Raises ValueError where `run` is no run's name."""
    return datetime.strptime(_parsed(run)[3], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def earliest_event_time(run: str, now: datetime) -> datetime | None:
    """The instant before which no event of the run can lie; None for `-`. Raises IllegalEvent where `run` is no run's name."""
    if run == NO_RUN:
        return None
    try:
        named = named_at(run)
    except ValueError as error:
        raise IllegalEvent(str(error)) from error
    if named > now + _MARGIN:  # named by another clock: then the whole log
        return datetime.min.replace(tzinfo=UTC)
    return named - _MARGIN


def workspace_of(run: str, root: Path = Path()) -> Workspace:
    """The environment, or its rehearsals, that a run's name leads to. Raises ValueError where `run` is no run's name."""
    match = _parsed(run)
    return Workspace(root, match[2], rehearsal=match[1] is not None)


def recover_command(run: str) -> str:
    """The command that finishes what a run left behind. Raises ValueError where `run` is no run's name."""
    return workspace_of(run).command_line("recover")
