"""Anchors of a record: made when a run has closed, or when somebody asks; each is an event, and so is a failure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from pytest_deploy.anchors.kinds import Anchor, TimestampAuthority, anchors_of, file_name
from pytest_deploy.approvals.enrollment import trust_authority
from pytest_deploy.errors import DeployError
from pytest_deploy.platform.environment import Environment
from pytest_deploy.record.actor import local_actor
from pytest_deploy.record.events import AlertRaised, AnchorMade
from pytest_deploy.record.log import Log
from pytest_deploy.record.log_entry import SignedCheckpoint
from pytest_deploy.record.store import Exists
from pytest_deploy.workspace import Workspace

_ANCHOR_ACTOR: Final = "system:anchor"


def anchor_record(environment: Environment, *, run: str, say: Callable[[str], None]) -> bool:
    """Make every anchor of the record as it stands, and record each; whether all were made.

    A failure is said and raised as an alert, and raises nothing: the outcome of a run is what it is.
    """
    workspace, log = environment.workspace, environment.log
    try:
        anchors = anchors_of(workspace, environment.policy, log.store)
        for anchor in anchors:
            if isinstance(anchor, TimestampAuthority):
                trust_authority(log, workspace.store, anchor.ca, actor=local_actor())
        signed = log.signed()
        if anchors:
            with suppress(Exists):
                log.store.create(file_name(signed), signed.text.encode())
    except DeployError as error:
        _report_failure(log, run, f"no anchor was made: {error}", say)
        return False
    made = [_make_anchor(log, anchor, signed, run, say) for anchor in anchors]
    return all(made)


def _make_anchor(log: Log, anchor: Anchor, signed: SignedCheckpoint, run: str, say: Callable[[str], None]) -> bool:
    checkpoint = signed.checkpoint
    try:
        details = anchor.make(signed)
        content = AnchorMade(
            kind=anchor.kind,
            size=checkpoint.size,
            root=checkpoint.anchor.rpartition(" ")[2],
            place=anchor.place,
            file=file_name(signed),
            sha256=hashlib.sha256(signed.text.encode()).hexdigest(),
            **details,
        )
        log.append(content, run=run, actor=_ANCHOR_ACTOR)
    except DeployError as error:
        _report_failure(log, run, f"the anchor at {anchor.place} was not made: {error}", say)
        return False
    return True


def _report_failure(log: Log, run: str, detail: str, say: Callable[[str], None]) -> None:
    say(f"{detail}; then: `{Workspace.of_store(log.store.path).command_line('anchor')}`")
    try:
        log.append(AlertRaised(alert="anchor", detail=detail), run=run, actor=_ANCHOR_ACTOR)
    except DeployError as error:
        say(f"nor could that be recorded: {error}")
