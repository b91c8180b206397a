from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.unit.approvals.desk import Desk, make_keys


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Key files by name, each with its public half beside it."""
    if shutil.which("ssh-keygen") is None:
        missing("ssh-keygen", "apt-get install openssh-client")
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def desk(tmp_path: Path, keys: Mapping[str, Path]) -> Desk:
    """A request that nobody has signed yet."""
    return Desk.set_up(tmp_path, keys)
