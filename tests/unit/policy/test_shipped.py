"""The deploy.yaml of this repository states the specification's policies."""

from __future__ import annotations

from datetime import time
from pathlib import Path

import pytest

from pytest_deploy.policy.load import load
from pytest_deploy.policy.policy import Policy

ROOT = Path(__file__).parents[3]


def policy(environment: str) -> Policy:
    return load(ROOT / "deploy.yaml", environment)


@pytest.mark.parametrize(
    "environment,minutes", [("local", 10), ("development", 10), ("staging", 15), ("production", 20)]
)
def test_each_environment_has_its_sla(environment: str, minutes: int) -> None:
    assert minutes * 60 == policy(environment).sla_s


@pytest.mark.parametrize(
    "environment,roles",
    [("local", ()), ("development", ()), ("staging", ("QA Lead",)), ("production", ("Tech Lead", "QA Lead"))],
)
def test_each_environment_has_its_approvers(environment: str, roles: tuple[str, ...]) -> None:
    assert roles == policy(environment).approval.roles
    assert bool(roles) != ("approval" in policy(environment).phases.leave_out)


def test_production_has_the_specified_window() -> None:
    window = policy("production").window

    assert window is not None
    assert ("America/New_York", ("Monday", "Tuesday", "Wednesday", "Thursday"), time(9), time(15)) == (
        window.zone, window.days, window.opens, window.closes
    )  # fmt: skip


def test_production_has_the_specified_gates() -> None:
    production = policy("production")

    assert production.rate_limit is not None
    assert (production.rate_limit.runs, production.rate_limit.per_h) == (1, 4)
    assert production.staging_smoke is not None
    assert (production.staging_smoke.environment, production.staging_smoke.within_h) == ("staging", 24)
    assert production.incidents is not None
    assert production.incidents.within_h == 24
    assert production.deployer is not None
    assert production.deployer.role == "Deployment Manager"
    assert production.rollback.roles == ("Tech Lead",)
    assert production.health.watch_s == 900


@pytest.mark.parametrize("environment", ["local", "development", "staging"])
def test_the_other_environments_have_no_window_and_no_limit(environment: str) -> None:
    assert (policy(environment).window, policy(environment).rate_limit) == (None, None)


def test_records_are_kept_seven_years() -> None:
    assert (policy("production").retention.days, policy("production").retention.storage_class) == (2557, "ARCHIVE")


def test_only_local_deploys_a_dirty_tree() -> None:
    assert [name for name in ("local", "development", "staging", "production") if policy(name).dirty_tree] == ["local"]


def test_a_sponsor_is_a_few_lines_over_production() -> None:
    sponsor, production = policy("sponsor-example"), policy("production")

    assert production.approval == sponsor.approval
    assert production.platform != sponsor.platform
