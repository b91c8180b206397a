"""Real processes and a bucket: killed, contending, and with a service that refuses now and then and loses replies.

The real fake-gcs-server keeps the preconditions. No acknowledged event is lost, none is there twice, the log verifies.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from pytest_deploy.record.bucket import Bucket, MirroredStore
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import parse
from tests.fake_gcs import asking, fake_gcs
from tests.locked_bucket import Fate, LockedBucket
from tests.unit.record.sample_record import open_log_in_bucket
from tests.unit.record.writer_processes import WriterProcesses, assert_both_verify

BUCKET = "record-of-writers"
SEED = 20261122
FAULTS = [pytest.mark.faults, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with fake_gcs(BUCKET) as url:
        yield url


@pytest.fixture
def prefix() -> str:
    return f"r-{uuid.uuid4().hex[:12]}"


@pytest.fixture(params=[False, True], ids=["", "troubled"])
def service(request: pytest.FixtureRequest, server: str) -> LockedBucket | None:
    """None, or a service on a bad day: one request of eight does not go well."""
    if not request.param:
        return None
    troubles = [fate for fate in Fate if fate is not Fate.ANSWERED]
    chance = random.Random(SEED)  # noqa: S311 - faults, not secrets
    return LockedBucket(server, fate=lambda: chance.choice(troubles) if chance.random() < 1 / 8 else Fate.ANSWERED)


@contextmanager
def writers_of(home: Path, server: str, prefix: str, service: LockedBucket | None) -> Iterator[WriterProcesses]:
    """Where writers of a new record come from, which ask the server itself or the service before it."""
    with ExitStack() as stack:
        stack.enter_context(asking(server if service is None else stack.enter_context(service.serving())))
        open_log_in_bucket(home, BUCKET, prefix, "first")
        yield stack.enter_context(WriterProcesses.open(home, BUCKET, prefix))


def assert_each_is_there_once(events: list[Event], promised: dict[str, list[tuple[int, str]]]) -> None:
    """What each writer was promised is there, in its order, with nothing of it twice; unpromised at most its last one."""
    there = {event.seq: event.id for event in events}
    assert list(there) == list(range(len(events)))
    assert len(events) == len(set(there.values()))
    for who, mine in promised.items():
        assert dict(mine).items() <= there.items()
        told = [event.data["detail"] for event in events if event.data.get("alert") == who]
        assert [str(number) for number in range(len(told))] == told
        assert len(mine) <= len(told) <= len(mine) + 1


def assert_goes_on_elsewhere(home: Path, prefix: str, size: int) -> None:
    """Another machine fetches the record, which verifies, and is the next to write."""
    log = open_log_in_bucket(home, BUCKET, prefix, "elsewhere")
    event = log.append(parse("alert.raised", {"alert": "a", "detail": "b"}), run="-", actor="system:test")
    assert size == event.seq
    assert_both_verify(home / "elsewhere")


@pytest.mark.parametrize("kills", [5, pytest.param(300, marks=FAULTS)])
def test_no_acknowledged_event_is_lost_when_writers_are_killed(
    tmp_path: Path,
    server: str,
    prefix: str,
    kills: int,
    service: LockedBucket | None,
) -> None:
    """SIGKILL at random moments, while the next one writes already; what was on its way may arrive after its writer's death."""
    chance = random.Random(SEED)  # noqa: S311 - moments, not secrets
    with writers_of(tmp_path, server, prefix, service) as processes:
        processes.let_go()
        pid = processes.writer("0", 1_000_000)
        for number in range(kills):
            following = processes.writer(f"{number + 1}", 1_000_000, ("one", "two")[number % 2])
            appended = chance.randrange(6)
            while len(processes.acknowledged(f"{number}")) < appended:
                time.sleep(0.0005)
            time.sleep(chance.uniform(0, 0.05))
            processes.kill(pid)
            pid = following
        processes.kill(pid)
        promised = {f"{number}": processes.acknowledged(f"{number}") for number in range(kills + 1)}
    with asking(server):
        events = list(open_log_in_bucket(tmp_path, BUCKET, prefix, "reader").events())

        assert sum(len(mine) for mine in promised.values()) > kills
        assert_each_is_there_once(events, promised)
        for machine in ("one", "two"):  # whose writers were killed: its copy is still one
            copy = MirroredStore(Bucket(BUCKET, prefix), tmp_path / machine)
            copy.folder()
            assert copy.compare() == []
        assert_goes_on_elsewhere(tmp_path, prefix, len(events))


@pytest.mark.parametrize("count", [3, pytest.param(50, marks=FAULTS)])
def test_eight_processes_contend_and_none_loses_or_doubles_an_event(
    tmp_path: Path,
    server: str,
    prefix: str,
    count: int,
    service: LockedBucket | None,
) -> None:
    """Each on a machine of its own. A lost reply is asked for again, and the stored bytes say whose the event is."""
    names = [f"writer-{number}" for number in range(8)]
    with writers_of(tmp_path, server, prefix, service) as processes:
        writers = [processes.writer(who, count, who) for who in names]
        processes.let_go()
        assert [processes.ask("reap", pid) for pid in writers] == ["0"] * 8
        promised = {who: processes.acknowledged(who) for who in names}
    with asking(server):
        events = list(open_log_in_bucket(tmp_path, BUCKET, prefix, "reader").events())

        assert_each_is_there_once(events, promised)
        assert [count] * 8 == [len(mine) for mine in promised.values()]
        assert len(events) == 1 + 8 * count
        assert service is None or set(Fate) == set(service.fates), "each trouble was met"
        assert_goes_on_elsewhere(tmp_path, prefix, len(events))
