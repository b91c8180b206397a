"""What a plan takes for a gate is what the recorder marked, whatever a suite wrote of its step."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from pytest_deploy.pipeline.plan import _failed_checks, _waiting_gates
from pytest_deploy.pipeline.run import Run
from pytest_deploy.record.event import Event
from tests.unit.record.sample_record import step_finished

WINDOW, SCHEMA = "suites/preflight/test_gates.py::test_window", "suites/preflight/test_a.py::test_schema"
SAYS_GATE = {"gate": "window", "verdict": "refused"}


def event(type_: str, **content: Any) -> Event:
    return Event(1, "0" * 64, datetime(2026, 1, 1, tzinfo=UTC), "0" * 16, type_, "run", "system:test", content)


def refused(gate: str, verdict: str) -> Event:
    return event(
        "gate.refused", gate=gate, point="plan", inputs={}, verdict=verdict, reason="closed", earliest_start=None
    )


def run(*events: Event, gates_asked: dict[str, tuple[str, ...]]) -> Run:
    return cast(
        "Run",
        SimpleNamespace(events=lambda: list(events), gates_asked=gates_asked, context=SimpleNamespace(pipeline="plan")),
    )


def test_a_failed_step_that_asked_a_gate_stands_in_no_requests_way() -> None:
    failed = event("step.finished", **step_finished(WINDOW, "preflight", "failed"))

    assert _failed_checks(run(failed, gates_asked={WINDOW: ("window",)})) == []


def test_a_failed_step_that_only_says_it_is_a_gate_does() -> None:
    failed = event("step.finished", **{**step_finished(SCHEMA, "preflight", "failed"), "actual": SAYS_GATE})

    assert [line.partition(":")[0] for line in _failed_checks(run(failed, gates_asked={SCHEMA: ()}))] == [
        "suites/preflight/test_a.py"
    ]


def test_a_step_that_is_still_needed_or_not_applicable_failed_nothing() -> None:
    waits = event("step.finished", **step_finished(WINDOW, "preflight", "still-needed"))
    nothing = event("step.finished", **step_finished(SCHEMA, "preflight", "not-applicable"))

    assert _failed_checks(run(waits, nothing, gates_asked={})) == []


def test_what_waits_are_the_gates_that_time_or_signatures_will_lift() -> None:
    log = (refused("window", "still-needed"), refused("blackout", "refused"))

    assert _waiting_gates(run(*log, gates_asked={})) == ["window: closed"]
