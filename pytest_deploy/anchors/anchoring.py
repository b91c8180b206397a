"""The record's anchors in one environment: where they lie, made when a run has closed, read back before the next."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from pytest_deploy.anchors.github import Statuses
from pytest_deploy.anchors.kinds import Anchor, Copies, Lines, file_name
from pytest_deploy.anchors.timestamp import Authority
from pytest_deploy.approvals.enrollment import trust_authority
from pytest_deploy.errors import AnchorUnavailable, DeployError
from pytest_deploy.gates.anchors import Known, Standing
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.policy import Policy
from pytest_deploy.record.actor import local_actor
from pytest_deploy.record.bucket import Bucket
from pytest_deploy.record.log import Log
from pytest_deploy.record.log_entry import SignedCheckpoint
from pytest_deploy.record.open_record import refuse_misplaced
from pytest_deploy.record.store import Exists, FolderStore, Store
from pytest_deploy.workspace import Workspace

_ACTOR: Final = "system:anchor"
CLOSES: Final = frozenset({"run.closed", "run.abandoned"})


def anchors_of(workspace: Workspace, policy: Policy, store: Store) -> list[Anchor]:
    """The anchors that policy names for the record in `store`. Raises AnchorUnavailable, UsageError."""
    rule, place = policy.anchors, policy.place(rehearsal=workspace.rehearsal)
    found: list[Anchor] = []
    if rule.copies is not None:
        if rule.copies.bucket is not None:
            refuse_misplaced(policy, "anchors.copies.store")
            bucket = Bucket(rule.copies.bucket, "/".join(filter(None, (rule.copies.prefix, place))))
            found.append(Copies(bucket, bucket.url))
        else:
            folder = workspace.root / str(rule.copies.folder) / place
            found.append(Copies(FolderStore(folder), f"{rule.copies.folder}/{place}"))
    if rule.github is not None:
        found.append(Statuses(rule.github, policy.origin(rehearsal=workspace.rehearsal)))
    if rule.timestamp is not None:
        try:
            ca = (workspace.root / rule.timestamp.ca).read_bytes()
        except OSError as error:
            raise AnchorUnavailable(
                f"anchors.timestamp.ca: {rule.timestamp.ca} cannot be read: {error.strerror}"
            ) from error
        found.append(Authority(store, rule.timestamp.url, ca, rule.timestamp.timeout_s))
    if rule.lines is not None:
        name = f"{rule.lines}/{place.replace('/', '-')}.lines"
        found.append(Lines(workspace.root / name, name))
    return found


def known(anchors: Sequence[Anchor]) -> list[Known]:
    """What each place that can be read back knows newest; one that cannot be read now says why."""
    said = []
    for anchor in anchors:
        if anchor.read_back:
            try:
                said.append(Known(anchor.place, anchor.newest(), covers=anchor.covers))
            except DeployError as error:
                said.append(Known(anchor.place, None, str(error), covers=anchor.covers))
    return said


def standing(log: Log, seen: Sequence[Known]) -> Standing:
    """The record as it is now, at the sizes that were seen. Asked after the anchors: it may only have grown since."""
    events = log.history()
    closed = [event.seq + 1 for event in events if event.type in CLOSES]
    sizes = {one.newest.size for one in seen if one.newest is not None and one.newest.size <= len(events)}
    return Standing(log.key.origin, len(events), {size: log.root(size) for size in sizes}, max(closed, default=0))


def anchor(environment: Environment, *, run: str, say: Callable[[str], None]) -> bool:
    """Make every anchor of the record as it stands, and record each; whether all were made.

    A failure is said and raised as an alert, and raises nothing: the outcome of a run is what it is.
    """
    workspace, log = environment.workspace, environment.log
    try:
        anchors = anchors_of(workspace, environment.policy, log.store)
        for one in anchors:
            if isinstance(one, Authority):
                trust_authority(log, workspace.store, one.ca, actor=local_actor())
        signed = log.signed()
        if anchors:
            with suppress(Exists):
                log.store.create(file_name(signed), signed.text.encode())
    except DeployError as error:
        _raise(log, run, f"no anchor was made: {error}", say)
        return False
    made = [_make(log, one, signed, run, say) for one in anchors]
    return all(made)


def _make(log: Log, one: Anchor, signed: SignedCheckpoint, run: str, say: Callable[[str], None]) -> bool:
    seen = signed.checkpoint
    try:
        left = one.make(signed)
        data = {
            "kind": one.kind,
            "size": seen.size,
            "root": seen.anchor.rpartition(" ")[2],
            "place": one.place,
            "file": file_name(signed),
            "sha256": hashlib.sha256(signed.text.encode()).hexdigest(),
            **left,
        }
        log.append("anchor.made", data, run=run, actor=_ACTOR)
    except DeployError as error:
        _raise(log, run, f"the anchor at {one.place} was not made: {error}", say)
        return False
    return True


def _raise(log: Log, run: str, detail: str, say: Callable[[str], None]) -> None:
    say(f"{detail}; then: python deploy.py anchor ENV")
    try:
        log.append("alert.raised", {"alert": "anchor", "detail": detail}, run=run, actor=_ACTOR)
    except DeployError as error:
        say(f"nor could that be recorded: {error}")
