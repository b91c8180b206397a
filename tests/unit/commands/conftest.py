from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_deploy.record.log import Log
from tests.required_programs import needs
from tests.unit.approvals.pending_request import make_keys
from tests.unit.commands.pending_request_checkout import PendingRequestCheckout, set_up
from tests.unit.record.sample_record import HandClock, open_log


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
def pending_checkout(tmp_path: Path, signing_keys: Mapping[str, Path]) -> PendingRequestCheckout:
    """A request that waits."""
    return set_up(tmp_path / "checkout", signing_keys)
