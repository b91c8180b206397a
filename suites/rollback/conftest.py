"""The rollback expects the earlier release: the smoke tests are the same, what they expect is not."""

from __future__ import annotations

import pytest

from pytest_deploy.platform.environment import Environment
from pytest_deploy.platform.protocol import Platform
from pytest_deploy.plugin.recorder import StepRecord
from pytest_deploy.policy.policy import Policy
from pytest_deploy.record.actor import local_actor
from pytest_deploy.release.live import Baseline, Release
from pytest_deploy.rollback.execute import Undoing
from pytest_deploy.rollback.plan import baseline_of


@pytest.fixture
def baseline(record: StepRecord) -> Baseline:
    """The environment before the first change, as the run's request states it."""
    found = baseline_of(record.events())
    assert found is not None, "the run made no request, so nothing says what the environment was"
    return found


@pytest.fixture
def release(baseline: Baseline) -> Release:
    """The earlier release; steps that need one do not run where there was none."""
    assert baseline.release is not None
    return baseline.release


@pytest.fixture
def undoing(platform: Platform, policy: Policy, environment: Environment, record: StepRecord) -> Undoing:
    """What carries the acts of a rollback out."""
    return Undoing(
        platform,
        policy,
        environment.workspace.root,
        local_actor(),
        record.event,
        environment.workspace.backups(environment.run),
    )
