"""Real processes: killed at any moment, at every byte, and contending; no acknowledged event is lost, the log stays clean.

What a kill cannot show is the loss of power: for that an event is acknowledged only after fsync of file and folder.
"""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

import pytest

from pytest_deploy.record.events import parse
from pytest_deploy.record.log_entry import name
from pytest_deploy.verify.verify import verify
from tests.unit.record.forked_writers import POINTS
from tests.unit.record.sample_record import open_log
from tests.unit.record.writer_processes import WriterProcesses, assert_both_verify

SEED = 20261122
FAULTS = pytest.mark.faults


@pytest.mark.parametrize("kills", [10, pytest.param(300, marks=[FAULTS, pytest.mark.timeout(900)])])
def test_no_acknowledged_event_is_lost_when_the_writer_is_killed(tmp_path: Path, kills: int) -> None:
    """SIGKILL at random moments of random appends: every event whose append returned is there, and the log verifies."""
    chance = random.Random(SEED)  # noqa: S311 - moments, not secrets
    open_log(tmp_path)
    with WriterProcesses.open(tmp_path) as processes:
        processes.let_go()
        for number in range(kills):
            pid = processes.writer(f"{number}", 1_000_000)
            appended = chance.randrange(8)
            while len(processes.acknowledged(f"{number}")) < appended:
                time.sleep(0.0005)
            time.sleep(chance.uniform(0, 0.01))
            processes.kill(pid)
        promised = [item for number in range(kills) for item in processes.acknowledged(f"{number}")]
    there = {event.seq: event.id for event in open_log(tmp_path).events()}

    assert len(promised) > kills
    assert len(promised) == len(dict(promised))
    assert dict(promised).items() <= there.items()
    assert len(there) - 1 - len(promised) <= kills, "at most one event a kill was stored and not acknowledged any more"
    assert_both_verify(tmp_path / "reports" / "local")


OBJECT = 900
"""More bytes than an event of the test has."""
BYTES = [f"write-{size}" for size in range(OBJECT)]
INSTANTS = [f"{when}-{point}" for point in POINTS for when in ("before", "after")]
SAMPLE = [*random.Random(SEED).sample(BYTES, 10), *INSTANTS]  # noqa: S311 - a choice, no secret
NAMED = {"after-link", "before-unlink", "after-unlink", "before-sync-folder", "after-sync-folder"}
"""Here the event has its name: it is in the log."""
TIDY = {"before-open", "after-unlink", "before-sync-folder", "after-sync-folder"}
"""Here no unfinished write lies about."""


@pytest.mark.parametrize(
    "points", [SAMPLE, pytest.param(BYTES, marks=[FAULTS, pytest.mark.timeout(900)])], ids=["sample", "every byte"]
)
def test_death_at_any_byte_of_an_append_leaves_the_old_log_or_the_new(tmp_path: Path, points: list[str]) -> None:
    """And at each thing the append asks of the system; the event is there if, and only if, it had got its name."""
    open_log(tmp_path / "before")
    with WriterProcesses.open(tmp_path / "before") as processes:
        for point in points:
            home = tmp_path / point
            shutil.copytree(tmp_path / "before", home)
            assert processes.ask("die", point, home) == "died"
            assert_old_or_new(home, named=point in NAMED, tidy=point in TIDY)
            shutil.rmtree(home)


def assert_old_or_new(home: Path, *, named: bool, tidy: bool) -> None:
    store = home / "reports" / "local"
    strays = [path for path in (store / "log").iterdir() if path.name.startswith(".")]
    found = verify(store)

    assert found.ok, found.findings
    assert (2 if named else 1) == found.size
    assert tidy == (not strays)
    event = open_log(home).append(parse("alert.raised", {"alert": "c", "detail": "d"}), run="-", actor="system:test")
    assert found.size == event.seq
    assert (store / name(event.seq)).stat().st_size < OBJECT
    assert verify(store).ok


@pytest.mark.parametrize("count", [6, pytest.param(50, marks=[FAULTS, pytest.mark.timeout(600)])])
def test_eight_processes_contend_and_none_loses_or_doubles_an_event(tmp_path: Path, count: int) -> None:
    names = [f"writer-{number}" for number in range(8)]
    open_log(tmp_path)
    with WriterProcesses.open(tmp_path) as processes:
        writers = [processes.writer(who, count) for who in names]
        processes.let_go()
        assert [processes.ask("reap", pid) for pid in writers] == ["0"] * 8
        promised = {who: processes.acknowledged(who) for who in names}
    events = list(open_log(tmp_path).events(1))

    assert [(event.seq, event.id) for event in events] == sorted(item for mine in promised.values() for item in mine)
    for who in names:
        assert [str(position) for position in range(count)] == [
            event.data["detail"] for event in events if event.data["alert"] == who
        ]
    assert_both_verify(tmp_path / "reports" / "local")


def test_what_a_killed_write_left_behind_stands_in_nobodys_way(tmp_path: Path) -> None:
    """Any number of unfinished writes."""
    log = open_log(tmp_path)
    whole = (tmp_path / "reports/local" / name(0)).read_bytes()
    for size in range(0, len(whole), 37):
        (tmp_path / "reports/local/log" / f".{size}.new").write_bytes(whole[:size])
    event = log.append(parse("alert.raised", {"alert": "a", "detail": "b"}), run="-", actor="system:test")

    assert event.seq == 1
    assert open_log(tmp_path).head() == event
    assert verify(tmp_path / "reports" / "local").ok
