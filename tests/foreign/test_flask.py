"""A Flask service whose migrations have dbmate's own names, one of them outside a transaction: from `git init` to what is handed out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.foreign.flask_project import PACKAGES, assert_flask_goes_all_the_way
from tests.foreign.strangers_machine import Machine, built_wheel


@pytest.fixture(scope="module")
def machine(shared_folder: Path) -> Iterator[Machine]:
    with Machine.open(built_wheel(shared_folder), *PACKAGES) as opened:
        yield opened


def test_a_flask_service_with_dbmates_timestamps_is_deployed_rolled_back_rehearsed_and_handed_out(
    machine: Machine,
) -> None:
    assert_flask_goes_all_the_way(machine)
