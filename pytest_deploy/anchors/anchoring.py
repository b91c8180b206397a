"""The record's anchors in one environment: where they lie, and what they say when they are read back before a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pytest_deploy.anchors.github import Statuses
from pytest_deploy.anchors.kinds import Anchor, Copies, Lines, TimestampAuthority
from pytest_deploy.errors import AnchorUnavailable, DeployError
from pytest_deploy.policy.policy import Policy
from pytest_deploy.record.bucket import Bucket
from pytest_deploy.record.log import Log
from pytest_deploy.record.log_entry import Checkpoint
from pytest_deploy.record.open_record import refuse_misplaced
from pytest_deploy.record.store import FolderStore, Store
from pytest_deploy.workspace import Workspace

CLOSES: Final = frozenset({"run.closed", "run.abandoned"})


@dataclass(frozen=True)
class AnchorReading:
    """What one place outside the record knows of it."""

    place: str
    newest: Checkpoint | None
    """None where it knows nothing."""
    problem: str = ""
    """Why it could not be read; it blocks."""
    covers: bool = True
    """Whether it is enough where policy requires an anchor; lines beside the record are not."""


@dataclass(frozen=True)
class RecordState:
    """The record as it is here."""

    origin: str
    size: int
    """Events, of which the newest is authentic and chains to all before it."""
    roots: Mapping[int, bytes]
    """Size -> root of the tree of that size, for each size an anchor names and the record reaches."""
    closed: int
    """Size of the record right after the newest event that closed a run; 0 where none was closed."""


def anchors_of(workspace: Workspace, policy: Policy, store: Store) -> list[Anchor]:
    """The anchors that policy names for the record in `store`. Raises AnchorUnavailable, UsageError."""
    rule, place = policy.anchors, policy.place(rehearsal=workspace.rehearsal)
    anchors: list[Anchor] = []
    if rule.copies is not None:
        if rule.copies.bucket is not None:
            refuse_misplaced(policy, "anchors.copies.store")
            bucket = Bucket(rule.copies.bucket, "/".join(filter(None, (rule.copies.prefix, place))))
            anchors.append(Copies(bucket, bucket.url))
        else:
            folder = workspace.root / str(rule.copies.folder) / place
            anchors.append(Copies(FolderStore(folder), f"{rule.copies.folder}/{place}"))
    if rule.github is not None:
        anchors.append(Statuses(rule.github, policy.origin(rehearsal=workspace.rehearsal)))
    if rule.timestamp is not None:
        try:
            ca = (workspace.root / rule.timestamp.ca).read_bytes()
        except OSError as error:
            raise AnchorUnavailable(
                f"anchors.timestamp.ca: {rule.timestamp.ca} cannot be read: {error.strerror}"
            ) from error
        anchors.append(TimestampAuthority(store, rule.timestamp.url, ca, rule.timestamp.timeout_s))
    if rule.lines is not None:
        name = f"{rule.lines}/{place.replace('/', '-')}.lines"
        anchors.append(Lines(workspace.root / name, name))
    return anchors


def read_back(anchors: Sequence[Anchor]) -> list[AnchorReading]:
    """What each place that can be read back knows newest; one that cannot be read now says why."""
    readings = []
    for anchor in anchors:
        if anchor.read_back:
            try:
                readings.append(AnchorReading(anchor.place, anchor.newest(), covers=anchor.covers))
            except DeployError as error:
                readings.append(AnchorReading(anchor.place, None, str(error), covers=anchor.covers))
    return readings


def record_state(log: Log, readings: Sequence[AnchorReading]) -> RecordState:
    """The record as it is now, at the sizes that were seen. Asked after the anchors: it may only have grown since."""
    events = log.history()
    closed = [event.seq + 1 for event in events if event.type in CLOSES]
    sizes = {
        reading.newest.size for reading in readings if reading.newest is not None and reading.newest.size <= len(events)
    }
    return RecordState(log.key.origin, len(events), {size: log.root(size) for size in sizes}, max(closed, default=0))
