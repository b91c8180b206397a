"""Long records, in memory where it has the room, built once and gone afterwards."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.memory import in_memory
from tests.scale.generated_record import generate

_BYTES_A_RUN = 160_000
"""A file takes a page and an inode in memory: ten events and some five files and folders a run."""


@dataclass(frozen=True)
class Long:
    """A long record."""

    home: Path
    """For `open_generated`."""
    store: Path
    runs: int
    events: int
    built_s: float

    @property
    def built(self) -> str:
        """How it came to be, as a figure to print."""
        return f"{self.runs} runs, {self.events} events written in {self.built_s:.0f} s, in {self.home.parent}"


Say = Callable[[str], None]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Prints a figure, whatever pytest captures."""

    def speak(figure: str) -> None:
        with capsys.disabled():
            print(f"\n  {figure}", end="", flush=True)  # noqa: T201 -- the figures are what these tests are run for

    return speak


def long_record(runs: int) -> Iterator[Long]:
    """A record of `runs` runs."""
    home = Path(tempfile.mkdtemp(prefix="deploy-scale-", dir=in_memory(room=runs * _BYTES_A_RUN)))
    try:
        began = time.perf_counter()
        store = generate(home, runs)
        events = len(os.listdir(store / "log"))  # noqa: PTH208 -- a million names
        yield Long(home, store, runs, events, time.perf_counter() - began)
    finally:
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def hundred_thousand_runs() -> Iterator[Long]:
    """100,000 runs: some 1,700,000 events."""
    yield from long_record(100_000)


@pytest.fixture(scope="session")
def twenty_thousand_runs() -> Iterator[Long]:
    """20,000 runs: some 340,000 events."""
    yield from long_record(20_000)
