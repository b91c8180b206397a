"""The record of a rollback that somebody asked for: three verifiers read it alike, done, refused, or not led back."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.record.event import of_type
from pytest_deploy.record.events import RequestMade
from tests.unit.record.sample_record import (
    MOVED,
    RunWriter,
    deployed,
    open_log,
    phase_finished,
    step_finished,
    step_started,
)
from tests.unit.verify.third_verifier import all_three

BACK = "suites/rollback/t.py::test_it"
STARTED = {"cause": "asked for", "order": ["traffic"], "target": "1.1.0"}


def asked(home: Path) -> RunWriter:
    """A rollback whose request was made right before its lease, and that is open."""
    log = open_log(home)
    deployed(log)
    run = RunWriter(log, pipeline="rollback").request(pipeline="rollback", expires=None)
    made = [content.request_sha256 for event, content in of_type(log.history(), RequestMade) if event.run == run.run]
    return run.open(request_sha256=made[0]).ask_gates().step("preflight")


def go_back(run: RunWriter, outcome: str) -> RunWriter:
    """The phase rollback as an ordinary one, in which traffic moves to a release that the request does not name."""
    end = "passed" if outcome == "rolled-back" else "failed"
    run.add("rollback.started", STARTED)
    run.add("phase.started", {"phase": "rollback"})
    run.add("step.started", step_started(BACK, "rollback", changes=True))
    run.add("traffic.moved", MOVED)
    run.add("step.finished", step_finished(BACK, "rollback", end))
    run.add("phase.finished", phase_finished("rollback", end))
    run.add("rollback.finished", {"outcome": outcome, "duration_s": 1.0, "target": "1.1.0"})
    return run


@pytest.mark.parametrize("outcome", ["rolled-back", "rollback-failed"])
def test_a_rollback_that_was_asked_for_verifies_however_it_ended(tmp_path: Path, outcome: str) -> None:
    run = go_back(asked(tmp_path), outcome)
    run.close(outcome)

    assert all_three(run.log.store.folder()) == (True, "")


def test_one_that_was_refused_before_it_began_verifies(tmp_path: Path) -> None:
    run = asked(tmp_path)
    run.close("refused")

    assert all_three(run.log.store.folder()) == (True, "")
