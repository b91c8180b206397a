"""Anchors of the record are made when a run has closed, or when somebody asks; each is an event, and so is a failure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from pytest_deploy.anchors.anchoring import anchors_of
from pytest_deploy.anchors.kinds import Anchor, TimestampAuthority, file_name
from pytest_deploy.approvals.enrollment import trust_authority
from pytest_deploy.errors import DeployError
from pytest_deploy.platform.environment import Environment
from pytest_deploy.record.actor import local_actor
from pytest_deploy.record.events import AlertRaised, AnchorMade
from pytest_deploy.record.log import Log
from pytest_deploy.record.log_entry import SignedCheckpoint
from pytest_deploy.record.store import Exists

_ACTOR: Final = "system:anchor"


def anchor_record(environment: Environment, *, run: str, say: Callable[[str], None]) -> bool:
    """Make every anchor of the record as it stands, and record each; whether all were made.

    A failure is said and raised as an alert, and raises nothing: the outcome of a run is what it is.
    """
    workspace, log = environment.workspace, environment.log
    try:
        anchors = anchors_of(workspace, environment.policy, log.store)
        for one in anchors:
            if isinstance(one, TimestampAuthority):
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
        anchored = AnchorMade(
            kind=one.kind,
            size=seen.size,
            root=seen.anchor.rpartition(" ")[2],
            place=one.place,
            file=file_name(signed),
            sha256=hashlib.sha256(signed.text.encode()).hexdigest(),
            **left,
        )
        log.append(anchored, run=run, actor=_ACTOR)
    except DeployError as error:
        _raise(log, run, f"the anchor at {one.place} was not made: {error}", say)
        return False
    return True


def _raise(log: Log, run: str, detail: str, say: Callable[[str], None]) -> None:
    say(f"{detail}; then: python deploy.py anchor ENV")
    try:
        log.append(AlertRaised(alert="anchor", detail=detail), run=run, actor=_ACTOR)
    except DeployError as error:
        say(f"nor could that be recorded: {error}")
