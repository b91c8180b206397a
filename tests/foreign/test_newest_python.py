"""The same three repositories on the newest Python that this machine has, everything installed by pip alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.foreign import django_project, flask_project
from tests.foreign.django_project import assert_django_goes_all_the_way
from tests.foreign.flask_project import assert_flask_goes_all_the_way
from tests.foreign.node_project import assert_node_goes_all_the_way
from tests.foreign.strangers_machine import Machine, built_wheel, newest_python


@pytest.fixture(scope="module")
def machine(shared_folder: Path) -> Iterator[Machine]:
    python = newest_python()
    if python is None:
        pytest.skip("this machine has no Python newer than the one that runs the tests")
    packages = {*flask_project.PACKAGES, *django_project.PACKAGES}
    with Machine.open(built_wheel(shared_folder), *packages, python=python) as opened:
        yield opened


def test_a_flask_service_goes_all_the_way(machine: Machine) -> None:
    assert_flask_goes_all_the_way(machine)


def test_a_django_project_goes_all_the_way(machine: Machine) -> None:
    assert_django_goes_all_the_way(machine)


def test_a_node_service_goes_all_the_way(machine: Machine) -> None:
    assert_node_goes_all_the_way(machine)
