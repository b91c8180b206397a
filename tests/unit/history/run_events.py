"""Events of one run, made by hand."""

from __future__ import annotations

from typing import Any

from pytest_deploy.record.event import Event
from tests.unit.record.sample_record import ACTOR, NOON, SHA, opened_data

RUN = "local-20261122T120000Z-0001"
IMAGE = f"diary@sha256:{SHA}"
FILE = {"file": "f", "sha256": SHA, "signature_sha256": SHA, "signer": "Quinn@example.org"}
APPROVED = {**FILE, "role": "qa-lead", "meaning": "approval", "request_sha256": SHA}
SIGNED = {**FILE, "reason": "it must go"}
RAN = {"sha256": SHA, "duration_s": 0.5, "schema_before": None, "schema_after": None, "engine": "pgmigrate"}


def event(seq: int, event_type: str, **data: Any) -> Event:
    return Event(seq, "0" * 64, NOON, "0" * 16, event_type, RUN, ACTOR, data)


ASKED = event(3, "request.made", request_sha256=SHA, expires=None, requested_by="ada@example.org", version="9")
OPENED = event(5, "run.opened", **opened_data())
