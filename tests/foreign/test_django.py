"""A Django project whose own command moves its schema: deployed, led back by a step of its own, rehearsed, handed out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.foreign.django_project import PACKAGES, assert_django_goes_all_the_way
from tests.foreign.strangers_machine import Machine, built_wheel


@pytest.fixture(scope="module")
def machine(shared_folder: Path) -> Iterator[Machine]:
    with Machine.open(built_wheel(shared_folder), *PACKAGES) as opened:
        yield opened


def test_a_django_project_is_deployed_led_back_rehearsed_and_handed_out(machine: Machine) -> None:
    assert_django_goes_all_the_way(machine)
