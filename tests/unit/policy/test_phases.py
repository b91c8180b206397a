"""The order of phases is data."""

from __future__ import annotations

import pytest

from pytest_deploy.policy.phases import OPTIONAL, ORDERED, PHASES, PIPELINES


def test_deploy_is_every_phase_in_order() -> None:
    order = [
        "build",
        "approval",
        "preflight",
        "backup",
        "migration",
        "deploy",
        "smoke",
        "traffic",
        "integration",
        "health",
    ]

    assert tuple(order) == PIPELINES["deploy"].phases
    assert PIPELINES["deploy"].on_failure == ("rollback",)


def test_only_approval_backup_and_integration_may_be_left_out() -> None:
    assert OPTIONAL == ("approval", "backup", "integration")


@pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=PIPELINES)
def test_a_pipeline_names_known_phases_once_and_in_order(pipeline: object) -> None:
    phases = getattr(pipeline, "phases")  # noqa: B009
    positions = [list(PHASES).index(phase) for phase in phases]

    assert sorted(set(positions)) == positions


def test_what_changes_stops_at_the_first_failure_and_what_looks_looks_at_all() -> None:
    assert {"backup", "migration", "deploy", "traffic", "rollback"} == ORDERED
