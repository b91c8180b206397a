"""A service whose schema Alembic moves: what `init` writes deploys it, and leads it back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.foreign.alembic_project import (
    PACKAGES,
    assert_alembic_deploys_and_leads_back,
    assert_recover_says_what_it_cannot_lead_back,
)
from tests.foreign.strangers_machine import Machine, built_wheel


@pytest.fixture(scope="module")
def machine(shared_folder: Path) -> Iterator[Machine]:
    with Machine.open(built_wheel(shared_folder), *PACKAGES) as opened:
        yield opened


def test_a_service_that_alembic_migrates_is_deployed_and_led_back(machine: Machine) -> None:
    assert_alembic_deploys_and_leads_back(machine)


def test_recover_never_says_that_a_schema_was_led_back_that_was_not(machine: Machine) -> None:
    assert_recover_says_what_it_cannot_lead_back(machine)
