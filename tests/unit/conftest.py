from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import skip_or_fail_missing
from tests.unit.approvals.pending_request import PendingRequest, make_keys
from tests.unit.commands.pending_request_checkout import PendingRequestCheckout, set_up
from tests.unit.verify.third_verifier import Peer, ThirdOpinion, required_peer


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Key files by name, each with its public half beside it."""
    if shutil.which("ssh-keygen") is None:
        skip_or_fail_missing("ssh-keygen", "apt-get install openssh-client")
    return make_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def pending(tmp_path: Path, keys: Mapping[str, Path]) -> PendingRequest:
    """A request that nobody has signed yet."""
    return PendingRequest.set_up(tmp_path, keys)


@pytest.fixture
def pending_checkout(tmp_path: Path, keys: Mapping[str, Path]) -> PendingRequestCheckout:
    """A checkout in which a request waits."""
    return set_up(tmp_path / "checkout", keys)


@pytest.fixture(scope="session")
def peer(shared_folder: Path) -> Peer:
    """The third party's verifier, where the test cannot do without it."""
    return required_peer(shared_folder)


@pytest.fixture(scope="session", autouse=True)
def _third_opinion(shared_folder: Path) -> None:
    """Where it is compiled once somebody asks."""
    ThirdOpinion.shared_folder = shared_folder
