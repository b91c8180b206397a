"""Signed checkpoints of one log, to be anchored."""

from __future__ import annotations

from pytest_deploy.record.events import parse
from pytest_deploy.record.log import Log
from pytest_deploy.record.log_entry import SignedCheckpoint
from pytest_deploy.record.run_id import NO_RUN
from tests.unit.record.sample_record import ACTOR


def two(log: Log) -> tuple[SignedCheckpoint, SignedCheckpoint]:
    first = log.signed()
    log.append(parse("alert.raised", {"alert": "x", "detail": "y"}), run=NO_RUN, actor=ACTOR)
    return first, log.signed()
