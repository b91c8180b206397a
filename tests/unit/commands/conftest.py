from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_deploy.record.log import Log
from tests.tools import needs
from tests.unit.approvals.desk import make_keys
from tests.unit.commands.asked import Asked, set_up
from tests.unit.record.samples import HandClock, open_log


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def log(tmp_path: Path, clock: HandClock) -> Log:
    """A log just born, on a clock set by hand."""
    return open_log(tmp_path, clock)


@pytest.fixture(scope="session")
def signing_keys(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Key files by name, made by ssh-keygen."""
    needs("ssh-keygen")
    return make_keys(tmp_path_factory.mktemp("signing"))


@pytest.fixture
def asked(tmp_path: Path, signing_keys: Mapping[str, Path]) -> Asked:
    """A request that waits."""
    return set_up(tmp_path / "checkout", signing_keys)
