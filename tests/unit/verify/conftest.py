from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.unit.record.sample_record import HandClock, RunWriter, deployed, open_log


@dataclass(frozen=True)
class Record:
    """A record to be altered: two runs that deployed, one that rolled back, one that was abandoned."""

    store: Path
    first: str
    second: str
    rolled_back: str
    abandoned: str
    size: int
    anchor: str
    early_anchor: str


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """Written once; tests get copies."""
    home = tmp_path_factory.mktemp("record")
    clock = HandClock()
    log = open_log(home, clock)
    first = deployed(log)
    early = log.checkpoint()
    clock.move(600)
    second = deployed(log)
    clock.move(600)
    failing = RunWriter(log).open().step("build").step("traffic", changes=True, outcome="failed")
    rolled_back = failing.roll_back().close("rolled-back")
    clock.move(600)
    gone = RunWriter(log).open().step("build")
    gone.folder.create("junit.xml", b"<testsuites/>\n")
    gone.add("run.abandoned", {"cause": "killed", "found_sha256": gone.folder.seal(sums="FOUND.SHA256SUMS")})
    head = log.head()
    assert head is not None
    return Record(
        home / "reports" / "local", first, second, rolled_back, gone.run, head.seq + 1, log.checkpoint(), early
    )


@pytest.fixture
def record(written: Record, tmp_path: Path) -> Record:
    """A copy of the record, to be altered."""
    store = tmp_path / "inspected"
    shutil.copytree(written.store, store, symlinks=True)
    return Record(**{**vars(written), "store": store})
