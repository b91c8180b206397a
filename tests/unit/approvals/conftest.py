from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.unit.approvals.pending_request import PendingRequest, make_keys


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Key files by name, each with its public half beside it."""
    if shutil.which("ssh-keygen") is None:
        missing("ssh-keygen", "apt-get install openssh-client")
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def pending(tmp_path: Path, keys: Mapping[str, Path]) -> PendingRequest:
    """A request that nobody has signed yet."""
    return PendingRequest.set_up(tmp_path, keys)
