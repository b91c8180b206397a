"""What a rollback freezes, where policy says that it does: the environment, for the commit that shall not come again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from pytest_deploy.errors import Refused
from pytest_deploy.pipeline.outcome import Judgement
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import EnvironmentFrozen, RunOpened
from pytest_deploy.release.live import Release
from pytest_deploy.release.request import stored_request
from pytest_deploy.rollback.request import PIPELINE, reason_of, serving_of

FREEZING: Final = frozenset({"rolled-back", "rollback-failed"})
"""The outcomes after which an environment is frozen."""


def freezes(judgement: Judgement, events: Sequence[Event], store: Path) -> Iterator[EnvironmentFrozen]:
    """The freeze that follows a run that ended so, where one does. `events`: the run's own.

    It names the commit that was undone: the run's, and of a rollback that somebody asked for what they went back from.
    """
    if judgement.outcome not in FREEZING:
        return
    event, opened = next(of_type(events, RunOpened))
    commit, version, cause = opened.commit, opened.version, judgement.cause
    left = _left(store, event.run, events) if opened.pipeline == PIPELINE else None
    if left is not None:
        commit, version = left.commit, left.version
        cause = "; ".join(part for part in (f"from {version} to {opened.version}", reason_of(events), cause) if part)
    reason = ": ".join(part for part in (judgement.outcome, cause) if part)
    yield EnvironmentFrozen(reason=reason, commit=commit, version=version)


def _left(store: Path, run: str, events: Sequence[Event]) -> Release | None:
    """What served when a rollback was asked for; None where no release did, or its request cannot be read."""
    try:
        return serving_of(stored_request(store, run, events)).release
    except Refused:
        return None
