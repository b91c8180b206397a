"""What stands in a request's way, gates and other steps alike; what a plan prints to type next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

from pytest_deploy.gates.registry import Earliest
from pytest_deploy.pipeline.plan import _failed_checks, _next_commands, _waiting_gates
from pytest_deploy.pipeline.run import Run
from pytest_deploy.platform.environment import Environment
from pytest_deploy.record.event import Event
from pytest_deploy.release.request import PendingRequest
from tests.unit.record.sample_record import step_finished

WINDOW, SCHEMA = "suites/preflight/test_gates.py::test_window", "suites/preflight/test_a.py::test_schema"


def event(type_: str, **content: Any) -> Event:
    return Event(1, "0" * 64, datetime(2026, 1, 1, tzinfo=UTC), "0" * 16, type_, "run", "system:test", content)


def refused(gate: str, verdict: str) -> Event:
    return event(
        "gate.refused", gate=gate, point="plan", inputs={}, verdict=verdict, reason="closed", earliest_start=None
    )


def run(*events: Event) -> Run:
    return cast("Run", SimpleNamespace(events=lambda: list(events), context=SimpleNamespace(pipeline="plan")))


def test_a_failed_step_stands_in_the_requests_way_also_where_it_asked_a_gate() -> None:
    failed = [
        event("step.finished", **step_finished(WINDOW, "preflight", "failed")),
        event("step.finished", **step_finished(SCHEMA, "preflight", "error")),
    ]

    assert [line.partition("::")[0] for line in _failed_checks(run(*failed))] == [
        "suites/preflight/test_gates.py", "suites/preflight/test_a.py",
    ]  # fmt: skip


def test_a_step_that_is_still_needed_or_not_applicable_failed_nothing() -> None:
    waits = event("step.finished", **step_finished(WINDOW, "preflight", "still-needed"))
    nothing = event("step.finished", **step_finished(SCHEMA, "preflight", "not-applicable"))

    assert _failed_checks(run(waits, nothing)) == []


def test_what_waits_are_the_gates_that_time_or_signatures_will_lift() -> None:
    log = (refused("window", "still-needed"), refused("blackout", "refused"))

    assert _waiting_gates(run(*log)) == ["window: closed"]


NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def next_commands(start: datetime | None, *, roles: tuple[str, ...] = ("QA Lead",)) -> list[str]:
    """What a plan made at noon prints last, of a request that lives four hours and can start at `start`."""
    policy = SimpleNamespace(window=None, approval=SimpleNamespace(roles=roles))
    made = SimpleNamespace(instant=NOON)
    pending = SimpleNamespace(run="production-1", pipeline="deploy", made=made, expires=NOON + timedelta(hours=4))
    return _next_commands(
        cast("Environment", SimpleNamespace(policy=policy)),
        cast("PendingRequest", pending),
        Earliest(start, (), {}),
        "pytest",
    )


def test_a_request_that_can_start_while_it_lives_is_approved_and_run() -> None:
    lines = next_commands(NOON + timedelta(hours=3, minutes=59))

    assert [line.split()[0] for line in lines] == ["approve", "run"]


def test_where_nobody_is_to_approve_no_approval_is_asked_for() -> None:
    assert next_commands(NOON, roles=()) == ["run       pytest"]


def test_a_request_that_expires_before_it_can_start_says_when_to_plan_again() -> None:
    (line,) = next_commands(NOON + timedelta(hours=4))

    assert "nothing to sign or to run" in line
    assert line.endswith("plan again after 2026-11-23T12:00:00.000Z")


def test_a_request_that_time_alone_never_lets_start_names_no_command() -> None:
    (line,) = next_commands(None)

    assert line == "next      nothing to sign or to run: plan again when what is needed is there"
