from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.record.log import Log
from tests.unit.record.sample_record import HandClock, open_log


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def log(tmp_path: Path, clock: HandClock) -> Log:
    """A log just born, on a clock set by hand."""
    return open_log(tmp_path, clock)
