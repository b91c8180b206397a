"""The plug-ins of pytest that most projects use are installed, and a service is deployed without them: all at once, and each by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.foreign.most_used_plugins import MOST_USED, assert_deployed_without, machine_with, prices
from tests.foreign.strangers_machine import Repository, built_wheel


@pytest.fixture(scope="module")
def repository(shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    with machine_with(built_wheel(shared_folder), tmp_path_factory.mktemp("plugins"), *MOST_USED) as machine:
        yield prices(machine)


@pytest.mark.parametrize("words", [(), ("-n2",)], ids=["serial", "n2"])
def test_a_service_is_deployed_with_all_of_them_installed(repository: Repository, words: tuple[str, ...]) -> None:
    assert_deployed_without(repository, MOST_USED, *words)


@pytest.mark.faults
@pytest.mark.parametrize("plugin", MOST_USED)
def test_a_service_is_deployed_with_one_of_them_installed(shared_folder: Path, tmp_path: Path, plugin: str) -> None:
    """By itself: what another one brings along hides nothing."""
    with machine_with(built_wheel(shared_folder), tmp_path, plugin) as machine:
        alone = prices(machine)
        for words in ((), ("-n2",)):
            assert_deployed_without(alone, (plugin,), *words)
