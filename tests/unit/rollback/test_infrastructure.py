"""Whether a rollback looks at the stack, and what it takes for an interrupted update: the record alone says."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.errors import RecordError
from pytest_deploy.platform.infrastructure import NoInfrastructure, Preview, StackState
from pytest_deploy.record.event import Event, canonical
from pytest_deploy.release.infrastructure import PlannedInfrastructure
from pytest_deploy.release.infrastructure_update import keep_begun
from pytest_deploy.release.request import digest
from pytest_deploy.rollback.infrastructure import StackRollback
from tests.unit.record.sample_record import step_finished, step_started
from tests.unit.sample_environment import environment

RUN = "local-20261123T140000Z-0001"
NOW = datetime(2026, 11, 23, 14, tzinfo=UTC)
STEP = "pytest_deploy/suites/deploy/test_deploy.py::test_infrastructure_is_as_approved"
PLANNED = PlannedInfrastructure(Preview(()), StackState({"urn:a": "ab"}))
STARTED = ("step.started", step_started(STEP, "deploy", changes=True))


def undone(root: Path, *told: tuple[str, dict[str, Any]], planned: Any = PLANNED, begun: bool = True) -> StackRollback:
    """The rollback of a run whose request plans infrastructure, and of which the log tells this."""
    held = environment(root, "local", run=RUN)
    folder = held.workspace.store / "runs" / RUN
    folder.mkdir(parents=True)
    told_plan = planned.to_json() if isinstance(planned, PlannedInfrastructure) else planned
    request = canonical({"infrastructure": told_plan})
    (folder / "request.json").write_bytes(request)
    if begun:
        (folder / "infrastructure").mkdir()
        keep_begun(lambda name, content: (folder / name).write_bytes(content), PLANNED)
    made = {"request_sha256": digest(request), "expires": None, "requested_by": "user:tina@example.org"}
    events = [
        Event(seq, "0" * 64, NOW, "0" * 16, type_, RUN, "system:pipeline", data)
        for seq, (type_, data) in enumerate([("request.made", made), *told], start=1)
    ]
    return StackRollback(held, events)


@pytest.mark.parametrize(
    "told, planned, begun",
    [
        ((), PLANNED, True),
        ((("step.started", step_started("suites/migration/test_a.py::test_b", "migration", changes=True)),), PLANNED, True),
        ((STARTED,), None, True),
        ((STARTED,), PLANNED, False),
    ],
    ids=["no step", "a step before it", "nothing planned", "refused before anything was changed"],
)  # fmt: skip
def test_a_stack_that_the_run_did_not_touch_is_not_asked(
    tmp_path: Path, told: tuple[tuple[str, dict[str, Any]], ...], planned: Any, *, begun: bool
) -> None:
    rollback = undone(tmp_path, *told, planned=planned, begun=begun)

    assert rollback.planned is None
    assert rollback.differing() == ()
    assert rollback.make_good() is None
    assert isinstance(rollback.compared(), NoInfrastructure)


@pytest.mark.parametrize(
    "ends, interrupted",
    [((), True), (("failed",), True), (("error",), True), (("passed",), False), (("not-applicable",), False)],
)
def test_an_update_whose_step_did_not_end_well_is_taken_for_interrupted(
    tmp_path: Path, ends: tuple[str, ...], *, interrupted: bool
) -> None:
    rollback = undone(tmp_path, STARTED, *(("step.finished", step_finished(STEP, "deploy", end)) for end in ends))

    assert rollback.planned == PLANNED
    assert rollback.interrupted is interrupted


def test_a_later_step_of_the_phase_is_not_the_one_that_updates_the_stack(tmp_path: Path) -> None:
    later = "pytest_deploy/suites/deploy/test_deploy.py::test_new_revision_is_ready_at_0_percent"
    rollback = undone(
        tmp_path,
        STARTED,
        ("step.finished", step_finished(STEP, "deploy", "passed")),
        ("step.started", step_started(later, "deploy", changes=True)),
        ("step.finished", step_finished(later, "deploy", "failed")),
    )

    assert rollback.interrupted is False


def test_a_request_whose_infrastructure_is_not_whole_is_no_ground_for_a_rollback(tmp_path: Path) -> None:
    rollback = undone(tmp_path, STARTED, planned={**PLANNED.to_json(), "digest": "0" * 64})

    with pytest.raises(RecordError, match="is not whole"):
        rollback.differing()
