from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.record.log import Log
from tests.unit.commands.finished_runs import FinishedRuns, build, copy
from tests.unit.record.sample_record import HandClock, open_log


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def log(tmp_path: Path, clock: HandClock) -> Log:
    """A log just born, on a clock set by hand."""
    return open_log(tmp_path, clock)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> FinishedRuns:
    """Runs that are over, made once for a file of tests."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "keys").mkdir()
    return build(folder / "root", folder / "keys")


@pytest.fixture
def finished(built: FinishedRuns, tmp_path: Path) -> FinishedRuns:
    """A copy of them to sign in."""
    return copy(built, tmp_path / "root")
