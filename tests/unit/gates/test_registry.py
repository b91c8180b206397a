"""Which gates a pipeline asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.gates.registry import NAMES, OVERRIDABLE, PIPELINES, gates_of
from pytest_deploy.policy import phases
from pytest_deploy.policy.load import load
from pytest_deploy.policy.policy import Policy

YAML = Path(__file__).parents[3] / "deploy.yaml"


@pytest.fixture(scope="module")
def production() -> Policy:
    return load(YAML, "production")


@pytest.mark.parametrize("pipeline", ["deploy", "plan"])
def test_a_deployment_and_its_plan_ask_every_gate(production: Policy, pipeline: str) -> None:
    assert gates_of(pipeline, production) == NAMES


def test_the_way_back_is_open_at_any_hour_and_signed_for(production: Policy) -> None:
    assert gates_of("rollback", production) == ("deployer", "approvals", "lease", "freeze", "clock")


def test_smoke_alone_asks_that_nothing_else_runs_and_what_time_it_is(production: Policy) -> None:
    assert gates_of("smoke", production) == ("lease", "clock")


@pytest.mark.parametrize("pipeline", ["iq", "oq", "pq"])
def test_qualification_asks_none(production: Policy, pipeline: str) -> None:
    assert gates_of(pipeline, production) == ()


def test_no_approval_is_asked_where_policy_has_no_approval_phase() -> None:
    assert tuple(name for name in NAMES if name != "approvals") == gates_of("deploy", load(YAML, "local"))


def test_every_pipeline_has_its_gates_and_no_gate_is_unknown() -> None:
    assert set(phases.PIPELINES) == set(PIPELINES)
    assert set(NAMES) >= {name for names in PIPELINES.values() for name in names} | set(OVERRIDABLE)
