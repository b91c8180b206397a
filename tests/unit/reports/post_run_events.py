"""What people sign after a run, as events behind its own."""

from __future__ import annotations

from typing import Any

from pytest_deploy.record.event import Event
from tests.unit.reports.sample_runs import RunBuilder

FAILED = "suites/smoke/test_features.py::test_valid_credentials_are_accepted"
LEFT = "suites/traffic/test_shift.py::test_traffic_moves_in_steps"
REPEATED = "suites/smoke/test_features.py::test_audit_rows_appear"
QUINN = {"signer": "quinn@example.org", "printed_name": "Quinn <b>Assured</b>", "role": "QA Lead"}
FILE: dict[str, Any] = {"file": "signoffs/x.json", "sha256": "c1" * 32, "signature_sha256": "c2" * 32}


def after(events: list[Event], *said: tuple[str, dict[str, Any]]) -> list[Event]:
    """What people signed of a run, continuing its events."""
    builder = RunBuilder(run=events[0].run, now=events[-1].time, events=list(events))
    for type_, data in said:
        builder.add(type_, "quinn@example.org", **FILE, **QUINN, **data)
    return builder.events[len(events) :]


def acceptance(nodeid: str, reason: str = "known, harmless") -> tuple[str, dict[str, Any]]:
    return "deviation.accepted", {"nodeid": nodeid, "deviation": "failed: 500", "reason": reason}


def amendment(event: Event, key: str, new: Any, old: Any = ...) -> tuple[str, dict[str, Any]]:
    stood = event.data[key] if old is ... else old
    return "record.amended", {"amends": event.seq, "key": key, "old": stood, "new": new, "reason": "was mistyped"}
