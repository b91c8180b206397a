"""The rollback expects the release before this run: the smoke tests are the same, what they expect is not."""

from __future__ import annotations

import pytest

from pytest_deploy import Baseline, Release


@pytest.fixture
def release(baseline: Baseline | None) -> Release:
    """The release before this run; steps that need one do not run where there was none."""
    assert baseline is not None, "the run made no request, so nothing says what the environment was"
    assert baseline.release is not None
    return baseline.release
