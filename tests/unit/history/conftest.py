from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_deploy.history.history import History
from pytest_deploy.record.event import Event, parse_line
from tests.scale.generated_record import generate

RUNS = 60


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of sixty runs of every kind. It is read, never written."""
    return generate(tmp_path_factory.mktemp("generated"), RUNS)


@pytest.fixture(scope="session")
def events(generated: Path) -> tuple[Event, ...]:
    """All that is in it, read without any index."""
    return tuple(
        parse_line(path.read_bytes().partition(b"\n")[0] + b"\n") for path in sorted((generated / "log").iterdir())
    )


@pytest.fixture
def history(generated: Path, tmp_path: Path) -> Iterator[History]:
    with History({"production": generated}, tmp_path / "state") as opened:
        yield opened
