"""One run at a time: taken, kept, given back, taken over."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from pytest_deploy.errors import IllegalEvent, LeaseHeld, ManualInterventionRequired, StoreUnavailable
from pytest_deploy.record import lease as leases
from pytest_deploy.record.clock import SystemClock
from pytest_deploy.record.events import parse
from pytest_deploy.record.key import FileSigner
from pytest_deploy.record.lease import Lease, holder_gone, take, this_process
from pytest_deploy.record.log import Log
from pytest_deploy.record.run_id import new_run_id
from pytest_deploy.verify.verify import verify
from tests.unit.record.faulty_stores import LossyStore
from tests.unit.record.sample_record import (
    ACTOR,
    ORIGIN,
    PERSON,
    HandClock,
    RunWriter,
    deployed,
    open_log,
    step_started,
)

WAIT_S = 10.0


def taken(log: Log, run: str = "", who: dict[str, Any] | None = None, **more: float | bool) -> Lease:
    run = run or new_run_id("local", log.clock)
    with pytest.MonkeyPatch.context() as patch:
        if who is not None:
            patch.setattr(leases, "this_process", lambda: who)
        return take(log, run, name="local", actor=PERSON, **more)  # type: ignore[arg-type]


@pytest.fixture
def gone() -> dict[str, Any]:
    """A process that was there and no longer is."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    started = psutil.Process(child.pid).create_time()
    child.wait()
    return {**this_process(), "pid": child.pid, "process_started": started}


def test_a_lease_says_who_has_it_and_until_when(log: Log) -> None:
    lease = taken(log)
    event = log.run(lease.run)[0]

    assert lease.fence == event.seq
    assert event.data["holder"] == PERSON
    assert event.data["until"] == "2026-11-22T12:01:00.000Z"


def test_while_it_lives_nobody_else_gets_it(log: Log) -> None:
    lease = taken(log)

    with pytest.raises(LeaseHeld, match=f"in progress: {lease.run}, by {PERSON}, until 2026-11-22T12:01:00.000Z"):
        taken(log)


def test_a_lease_that_ran_out_before_its_run_opened_is_free(log: Log, clock: HandClock) -> None:
    taken(log)
    clock.move(60)

    assert taken(log).fence == 2


def test_a_run_left_open_needs_a_person_and_names_the_command(log: Log, clock: HandClock) -> None:
    run = RunWriter(log).open()
    with pytest.raises(LeaseHeld):
        taken(log)
    clock.move(60)

    with pytest.raises(ManualInterventionRequired, match=rf"{run.run} was left open .* `pytest-deploy recover local`"):
        taken(log)


def test_a_plan_in_progress_holds_nobody_up(log: Log) -> None:
    RunWriter(log, pipeline="plan").open()

    assert taken(log).fence > 0


def test_after_its_release_it_is_free_at_once(log: Log) -> None:
    deployed(log)

    assert taken(log).fence > 0


def test_a_lease_given_back_unused_is_free_at_once(log: Log) -> None:
    taken(log).release()

    assert taken(log).fence == 3


def test_a_lease_is_not_given_back_over_an_open_run(log: Log) -> None:
    run = RunWriter(log).open()
    assert run.lease is not None

    with pytest.raises(IllegalEvent, match="the run is planned"):
        run.lease.release()


def test_renewal_prolongs_it(log: Log, clock: HandClock) -> None:
    lease = taken(log)
    clock.move(50)
    lease.renew()
    clock.move(50)

    with pytest.raises(LeaseHeld, match=r"until 2026-11-22T12:01:50\.000Z"):
        taken(log)


def test_a_thread_renews_it_until_the_block_ends(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    lease = taken(log, life_s=2.0, renew_s=0.02)
    with lease.renewing():
        while sum(event.type == "lease.renewed" for event in log.run(lease.run)) < 3:
            assert not lease.lost.wait(0.02)
    renewed = len(log.run(lease.run))
    lease.lost.wait(0.1)

    assert renewed == len(log.run(lease.run))
    assert not lease.lost.is_set()


def test_whoever_is_taken_over_notices_and_may_write_nothing_more(tmp_path: Path, gone: dict[str, Any]) -> None:
    log = open_log(tmp_path)
    run = RunWriter(log)
    run.lease = taken(log, run.run, gone, renew_s=0.02)
    run.open_under_lease()
    run.add("phase.started", {"phase": "deploy"})
    with run.lease.renewing():
        recovery = taken(log, run.run, recovering=True)

        assert run.lease.lost.wait(WAIT_S)
    assert f"taken over: {run.run}" in run.lease.cause
    with pytest.raises(LeaseHeld, match="must stop"):
        log.append(
            parse("step.started", step_started("a", "deploy", changes=True)),
            run=run.run,
            actor=ACTOR,
            condition=run.lease.still_held,
        )
    run.lease.release()
    log.append(
        parse("step.started", step_started("a", "deploy")), run=run.run, actor=ACTOR, condition=recovery.still_held
    )

    assert "lease.released" not in {event.type for event in log.run(run.run)}


def test_a_lease_released_by_others_means_is_lost(log: Log) -> None:
    lease = taken(log)
    lease.release()

    with pytest.raises(LeaseHeld, match="it was released"):
        lease.renew()
    lease.release()


@pytest.mark.parametrize("down_s", [0.0, 60.0])
def test_a_store_that_is_down_loses_the_lease_only_when_it_ran_out(tmp_path: Path, down_s: float) -> None:
    open_log(tmp_path)
    store = LossyStore(tmp_path / "reports" / "local")
    clock = HandClock(SystemClock().now())
    log = Log(store, FileSigner.open(tmp_path / "keys" / "local.pem"), ORIGIN, clock)
    lease = taken(log, renew_s=0.01)
    store.down = True
    with lease.renewing():
        clock.move(down_s + 0.5)
        lost = lease.lost.wait(WAIT_S if down_s else 0.2)

    assert (down_s > 0) == lost
    assert lost == ("could not be renewed" in lease.cause)
    with pytest.raises(StoreUnavailable):
        lease.renew()


def test_recover_waits_for_a_holder_that_may_live_and_not_for_one_that_is_gone(log: Log, gone: dict[str, Any]) -> None:
    alive, dead = RunWriter(log).open(), RunWriter(open_log(log.store.path.parent / "other", log.clock))
    with pytest.raises(LeaseHeld, match="may still be alive"):
        taken(log, alive.run, recovering=True)

    dead.lease = taken(dead.log, dead.run, gone)
    dead.open_under_lease()
    assert taken(dead.log, dead.run, recovering=True).fence == 4


def test_recover_takes_a_lease_that_ran_out(log: Log, clock: HandClock) -> None:
    run = RunWriter(log).open()
    clock.move(60)

    assert taken(log, run.run, recovering=True).fence == 4


def test_there_is_nothing_to_recover_in_a_run_that_is_not_open(log: Log) -> None:
    with pytest.raises(IllegalEvent, match="nothing to recover"):
        taken(log, deployed(log), recovering=True)


def test_a_holder_is_gone_only_where_that_is_provable(log: Log, gone: dict[str, Any], clock: HandClock) -> None:
    me = this_process()
    holders = {
        "here": (me, False),
        "gone": (gone, True),
        "number used again": ({**me, "process_started": 1.0}, True),
        "another host": ({**gone, "host": "elsewhere"}, False),
        "another boot or container": ({**gone, "machine": "elsewhere"}, False),
        "start unknown": ({**gone, "process_started": None}, False),
    }
    found = {}
    for name, (who, _) in holders.items():
        lease = taken(log, who=who)
        found[name] = holder_gone(log.run(lease.run)[0])
        clock.move(60)

    assert {name: expected for name, (_, expected) in holders.items()} == found


def test_a_process_that_ended_but_was_not_waited_for_is_gone(log: Log) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    process = psutil.Process(child.pid)
    who = {**this_process(), "pid": child.pid, "process_started": process.create_time()}
    while process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    lease = taken(log, who=who)

    assert holder_gone(log.run(lease.run)[0])
    child.wait()


def test_a_recovered_run_closes_and_the_log_verifies(tmp_path: Path, log: Log, clock: HandClock) -> None:
    run = RunWriter(log).open().ask_gates()
    run.add("phase.started", {"phase": "deploy"})
    run.add("step.started", step_started("a", "deploy", changes=True))
    clock.move(61)
    run.lease = taken(log, run.run, recovering=True)
    run.finish_left_open("a", "deploy")
    run.roll_back().close("rolled-back")
    result = verify(tmp_path / "reports" / "local")

    assert result.ok, result.findings
    assert taken(log).fence > 0


def test_a_log_that_was_altered_loses_the_lease(tmp_path: Path) -> None:
    """Whoever cannot renew for any other reason than a store that is down must stop too."""
    log = open_log(tmp_path)
    lease = taken(log, renew_s=0.02)
    (tmp_path / "reports" / "local" / "log" / "00000002.event").write_bytes(b"noise")
    with lease.renewing():
        assert lease.lost.wait(WAIT_S)

    assert "00000002.event is not as it was written" in lease.cause


def test_a_lease_of_a_clock_that_was_wrong_ends_when_the_clock_is_mended(log: Log, clock: HandClock) -> None:
    run = written_in_the_future(log, clock)
    run.step("traffic", changes=True).close("deployed")  # killed before it gave the lease back
    mended(log, clock)

    with pytest.raises(LeaseHeld, match="in progress"):
        taken(log)
    clock.move(60)
    taken(log)
    assert verify(log.store.path).ok


def test_a_run_left_open_by_a_clock_that_was_wrong_is_recovered_when_the_clock_is_mended(
    log: Log, clock: HandClock
) -> None:
    run = written_in_the_future(log, clock)
    mended(log, clock)

    with pytest.raises(LeaseHeld, match="it may still be alive"):
        taken(log, run.run, recovering=True)
    clock.move(60)
    taken(log, run.run, recovering=True)
    assert verify(log.store.path).ok


SEVEN_YEARS_S = 7 * 365 * 86_400.0


def written_in_the_future(log: Log, clock: HandClock) -> RunWriter:
    clock.move(SEVEN_YEARS_S)
    run = RunWriter(log).open().step("build")
    run.lease = None
    return run


def mended(log: Log, clock: HandClock) -> None:
    clock.move(600 - SEVEN_YEARS_S)
    log.mend_clock(actor=ACTOR)
