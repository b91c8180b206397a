"""Real processes: killed at any moment, and contending; no acknowledged event is lost."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_deploy.audit.verify import verify
from pytest_deploy.record.entry import name
from tests.unit.record.samples import open_log

ROOT = Path(__file__).parents[3]
WRITER = """
import sys
from pathlib import Path
from tests.unit.record.samples import open_log
home, who, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
log = open_log(home)
print("ready", flush=True)
sys.stdin.readline()
for number in range(count):
    event = log.append("alert.raised", {"alert": who, "detail": str(number)}, run="-", actor="system:test")
    print(event.seq, event.id, flush=True)
"""


def writer(home: Path, who: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(home), who, str(count)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def let_go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.close()


def acknowledged(process: subprocess.Popen[str]) -> list[tuple[int, str]]:
    """Whole lines only: a torn one was not received."""
    assert process.stdout is not None
    lines = process.stdout.read().split("\n")[:-1]
    process.stdout.close()
    return [(int(seq), identity) for seq, identity in (line.split() for line in lines)]


@pytest.mark.timeout(120)
def test_no_acknowledged_event_is_lost_when_the_writer_is_killed(tmp_path: Path) -> None:
    """SIGKILL at seeded random moments: every event whose append returned is there, and the log verifies."""
    chance = random.Random(20261122)  # noqa: S311 - moments, not secrets
    promised: list[tuple[int, str]] = []
    open_log(tmp_path)
    for _ in range(6):
        process = writer(tmp_path, "killed", 10_000)
        let_go(process)
        time.sleep(chance.uniform(0.005, 0.25))
        process.kill()
        promised += acknowledged(process)
        process.wait()
    log = open_log(tmp_path)
    stored = {event.seq: event.id for event in log.events()}

    assert len(promised) > 6
    assert dict(promised).items() <= stored.items()
    assert len(stored) - 1 - len(promised) <= 6
    assert verify(tmp_path / "reports" / "local").ok


@pytest.mark.timeout(120)
def test_four_processes_contend_and_none_loses_or_doubles_an_event(tmp_path: Path) -> None:
    open_log(tmp_path)
    count = 15
    processes = [writer(tmp_path, f"writer {number}", count) for number in range(4)]
    for process in processes:
        let_go(process)
    promised = [acknowledged(process) for process in processes]
    codes = [process.wait() for process in processes]
    events = list(open_log(tmp_path).events(1))

    assert codes == [0] * 4
    assert [(event.seq, event.id) for event in events] == sorted(item for mine in promised for item in mine)
    for number in range(4):
        mine = [event.data["detail"] for event in events if event.data["alert"] == f"writer {number}"]
        assert [str(position) for position in range(count)] == mine
    assert verify(tmp_path / "reports" / "local", signatures="all").ok


def test_what_a_killed_write_left_behind_stands_in_nobodys_way(tmp_path: Path) -> None:
    """Death after any byte of the temporary file, before it got its name."""
    log = open_log(tmp_path)
    whole = (tmp_path / "reports/local" / name(0)).read_bytes()
    for size in range(0, len(whole), 37):
        (tmp_path / "reports/local/log" / f".{size}.new").write_bytes(whole[:size])
    event = log.append("alert.raised", {"alert": "a", "detail": "b"}, run="-", actor="system:test")

    assert event.seq == 1
    assert open_log(tmp_path).head() == event
    assert verify(tmp_path / "reports" / "local").ok
