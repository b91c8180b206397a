"""Waiting for another run's lease: as long as policy allows, recorded, and never for what no waiting mends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from pytest_deploy.errors import Interrupted, LeaseHeld, ManualInterventionRequired
from pytest_deploy.record import lease as leases
from pytest_deploy.record.lease import Lease, take, this_process, wait_until_free
from pytest_deploy.record.log import Log
from pytest_deploy.record.run_id import new_run_id
from pytest_deploy.record.run_state import LEASE_LIFE_S
from pytest_deploy.verify.verify import verify
from tests.unit.record.sample_record import ACTOR, PERSON, HandClock, RunWriter, open_log


def taken(log: Log, **more: float) -> Lease:
    return take(log, new_run_id("local", log.clock), name="local", actor=PERSON, **more)  # type: ignore[arg-type]


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch, clock: HandClock) -> Callable[[Callable[[int], None]], None]:
    """What happens in each pause of the one that waits, which the clock does not stand still for."""

    def happens(what: Callable[[int], None]) -> None:
        pauses: list[float] = []

        def sleep(seconds: float) -> None:
            pauses.append(seconds)
            clock.move(seconds)
            what(len(pauses))

        monkeypatch.setattr(time, "sleep", sleep)

    return happens


def test_it_waits_until_the_other_run_has_ended_and_the_record_says_how_long(
    tmp_path: Path, clock: HandClock, meanwhile: Callable[[Callable[[int], None]], None]
) -> None:
    log = open_log(tmp_path, clock)
    other = taken(log)
    meanwhile(lambda pause: other.release() if pause == 3 else None)
    said: list[str] = []

    waited_s = wait_until_free(log, 60, say=said.append)
    lease = taken(log, waited_s=waited_s)

    assert waited_s == 6.0
    assert log.run(lease.run)[0].data["waited_s"] == 6.0
    assert len(said) == 1
    assert said[0].startswith(f"waiting for the lease, 60 s at most: in progress: {other.run}, by {PERSON}, until ")
    assert verify(tmp_path / "reports" / "local").ok


def test_it_waits_no_longer_than_it_may(log: Log, meanwhile: Callable[[Callable[[int], None]], None]) -> None:
    other = taken(log)
    meanwhile(lambda _: other.renew())
    said: list[str] = []

    assert wait_until_free(log, 91, say=said.append) == 91.0
    assert said[-1] == "waited 91 s for the lease, as long as policy allows (lease.wait_s)"
    with pytest.raises(LeaseHeld, match="in progress"):
        taken(log)


def test_where_nobody_holds_it_nothing_is_waited_for_nor_recorded(log: Log) -> None:
    said: list[str] = []

    assert wait_until_free(log, 60, say=said.append) == 0.0
    assert "waited_s" not in log.run(taken(log, waited_s=0.0).run)[0].data
    assert said == []


def test_without_a_rule_a_start_is_refused_at_once(log: Log) -> None:
    taken(log)
    said: list[str] = []

    assert wait_until_free(log, 0, say=said.append) == 0.0
    assert said == []


def test_a_holder_that_is_gone_is_not_waited_for(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    gone: dict[str, Any] = {
        **this_process(),
        "pid": child.pid,
        "process_started": psutil.Process(child.pid).create_time(),
    }
    child.wait()
    with monkeypatch.context() as patch:
        patch.setattr(leases, "this_process", lambda: gone)
        taken(log)

    assert wait_until_free(log, 60, say=pytest.fail) == 0.0
    assert not leases.is_held_by_the_living(log)
    with pytest.raises(LeaseHeld, match="the process that held it is gone: `pytest-deploy recover local`"):
        taken(log)


def test_a_run_left_open_is_not_waited_for_past_its_lease(
    log: Log, meanwhile: Callable[[Callable[[int], None]], None]
) -> None:
    RunWriter(log).open()
    meanwhile(lambda _: None)

    assert wait_until_free(log, 900, say=lambda _: None) == LEASE_LIFE_S
    with pytest.raises(ManualInterventionRequired, match="was left open"):
        taken(log)


def test_a_signal_ends_the_waiting(log: Log, meanwhile: Callable[[Callable[[int], None]], None]) -> None:
    taken(log, life_s=600)
    signals: list[int] = []
    meanwhile(lambda pause: signals.append(signal.SIGTERM) if pause == 2 else None)

    with pytest.raises(Interrupted, match="SIGTERM received: it waited for the lease; nothing was started") as ended:
        wait_until_free(log, 60, say=lambda _: None, stopped=lambda: signals[0] if signals else None)

    assert ended.value.exit_code == 2
    assert [event.actor for event in log.events()][-1] in {PERSON, ACTOR}
