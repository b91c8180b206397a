"""Every hook this plug-in offers. A misspelt `pytest_deploy_*` in a conftest stops the run.

A hook that raises before the seal is an internal error of the run: what was changed is rolled back, exit 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_deploy.pipeline.outcome import Judgement
    from pytest_deploy.record.events import PhaseOutcome


@pytest.hookspec
def pytest_deploy_run_opened(run: str, environment: str) -> None:
    """The run is open: its id, and the environment it is for."""


@pytest.hookspec
def pytest_deploy_phase_started(phase: str) -> None:
    """A phase has begun."""


@pytest.hookspec
def pytest_deploy_phase_finished(phase: str, outcome: PhaseOutcome, seconds: float) -> None:
    """A phase has ended: passed, failed, still-needed, not-applicable or not-run."""


@pytest.hookspec
def pytest_deploy_run_decided(run: str, judgement: Judgement) -> None:
    """Called once the run is sealed, with its outcome, cause and exit code. What it raises is printed and changes nothing."""
