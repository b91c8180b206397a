"""The log: chained, clamped, conditional, and read back."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count, pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_deploy.errors import IllegalEvent, RecordError, RecordTampered, Refused, StoreUnavailable
from pytest_deploy.record import log_entry
from pytest_deploy.record.event import line_hash
from pytest_deploy.record.events import parse
from pytest_deploy.record.key import FileSigner
from pytest_deploy.record.log import Log, LogView
from pytest_deploy.record.store import FolderStore
from pytest_deploy.verify.verify import verify
from tests.unit.record.faulty_stores import LossyStore, WatchedStore
from tests.unit.record.sample_record import (
    ORIGIN,
    HandClock,
    RunWriter,
    deployed,
    open_log,
    opened_data,
    phase_finished,
)

NOTE = {"alert": "test", "detail": "-"}


def note(log: Log, detail: str = "-", **more: Any) -> int:
    return log.append(
        parse("alert.raised", {"alert": "test", "detail": detail}), run="-", actor="system:test", **more
    ).seq


def reopened(home: Path, clock: HandClock, store: FolderStore | None = None) -> Log:
    """Another writer of the same log."""
    signer = FileSigner.open(home / "keys" / "local.pem")
    return Log(store or FolderStore(home / "reports" / "local"), signer, ORIGIN, clock)


def test_events_are_numbered_chained_and_read_back_as_written(log: Log) -> None:
    written = [log.append(parse("alert.raised", NOTE), run="-", actor="system:test") for _ in range(9)]
    read = list(log.events())

    assert written == read[1:]
    assert list(range(10)) == [event.seq for event in read]
    assert [line_hash(before.line()) for before in read[:-1]] == [event.prev for event in read[1:]]
    assert written[4:] == list(log.events(5))
    assert written[-1] == log.head()


def test_an_append_costs_the_same_at_any_length_and_never_lists(tmp_path: Path, clock: HandClock, log: Log) -> None:
    store = WatchedStore(tmp_path / "reports" / "local")
    writer = reopened(tmp_path, clock, store)
    note(writer)
    costs = []
    for _ in range(40):
        store.asked.clear()
        note(writer)
        costs.append(tuple(store.asked))

    assert {("get", "create")} == set(costs)


def test_a_long_log_is_opened_by_few_reads(tmp_path: Path, clock: HandClock, log: Log) -> None:
    for _ in range(120):
        note(log)
    store = WatchedStore(tmp_path / "reports" / "local")
    note(reopened(tmp_path, clock, store))

    assert store.asked.count("get") <= 2 * 7 + 3
    assert "names" not in store.asked


def test_two_writers_of_one_log_see_each_other(tmp_path: Path, clock: HandClock, log: Log) -> None:
    other = reopened(tmp_path, clock)

    assert [note(log), note(other), note(other), note(log)] == [1, 2, 3, 4]


def test_the_checkpoint_names_origin_size_and_root(log: Log) -> None:
    note(log)
    word, origin, size, root = log.checkpoint().split(" ")

    assert (word, origin, size) == ("tlog", ORIGIN, "2")
    assert len(root) == 44


def test_an_empty_log_has_no_head_and_nothing_to_anchor(tmp_path: Path, clock: HandClock) -> None:
    log = Log(FolderStore(tmp_path), FileSigner.open_or_create(tmp_path / "key"), ORIGIN, clock)

    assert log.head() is None
    assert list(log.events()) == []
    with pytest.raises(RecordError, match="nothing to anchor"):
        log.checkpoint()


def test_a_lost_reply_is_a_success_not_a_second_event(tmp_path: Path, clock: HandClock, log: Log) -> None:
    store = LossyStore(tmp_path / "reports" / "local")
    writer = reopened(tmp_path, clock, store)
    store.losses = 1

    assert [note(writer, "lost"), note(writer, "kept")] == [1, 2]
    assert [event.data["detail"] for event in writer.events(1)] == ["lost", "kept"]


def test_a_store_that_is_down_is_an_error_and_nothing_is_added(tmp_path: Path, clock: HandClock, log: Log) -> None:
    store = LossyStore(tmp_path / "reports" / "local")
    writer = reopened(tmp_path, clock, store)
    store.down = True
    with pytest.raises(StoreUnavailable):
        note(writer)
    store.down = False

    assert note(writer) == 1


def test_where_another_writer_won_all_is_rebuilt_on_its_event(tmp_path: Path, clock: HandClock, log: Log) -> None:
    store = WatchedStore(tmp_path / "reports" / "local")
    writer = reopened(tmp_path, clock, store)
    winners = ["first", "second"]

    def another_wins(_: str) -> None:
        if winners:
            note(log, winners.pop(0))

    store.before_create = another_wins

    assert note(writer, "mine") == 3
    assert [event.data["detail"] for event in log.events(1)] == ["first", "second", "mine"]
    assert verify(tmp_path / "reports" / "local").ok


def test_a_condition_is_evaluated_again_on_every_rebuild(tmp_path: Path, clock: HandClock, log: Log) -> None:
    """What was free when the append began is taken when another's event came first: the condition must see it."""
    store = WatchedStore(tmp_path / "reports" / "local")
    writer = reopened(tmp_path, clock, store)
    seen = []

    def nobody_said_stop(view: LogView) -> None:
        newest = next(view.log.backwards())
        seen.append(newest.seq)
        if newest.data.get("detail") == "stop":
            raise Refused("stop was said")

    def say_stop(_: str) -> None:
        store.before_create = lambda _: None
        note(log, "stop")

    store.before_create = say_stop
    with pytest.raises(Refused, match="stop was said"):
        note(writer, condition=nobody_said_stop)

    assert seen == [0, 1]
    assert log.head() == next(log.events(1))
    assert note(log, condition=lambda _: None) == 2


def test_a_condition_looks_back_as_far_as_it_asks_and_knows_the_time_it_would_get(log: Log) -> None:
    for _ in range(5):
        note(log)
    seen: list[Any] = []
    log.append(
        parse("alert.raised", NOTE),
        run="-",
        actor="system:test",
        condition=lambda s: seen.append((s.time, [*s.log.backwards()])),
    )

    assert log.clock.now() == seen[0][0]
    assert [event.seq for event in seen[0][1]] == [5, 4, 3, 2, 1, 0]


def test_what_is_not_legal_or_does_not_fit_is_refused_and_not_written(log: Log) -> None:
    with pytest.raises(IllegalEvent, match="lacks"):
        log.append(parse("alert.raised", {}), run="-", actor="system:test")
    with pytest.raises(IllegalEvent, match="under the lease"):
        log.append(parse("run.opened", opened_data()), run="local-20261122T120000Z-aaaa", actor="system:test")
    with pytest.raises(IllegalEvent, match="is no run"):
        log.append(parse("run.opened", opened_data()), run="../escape", actor="system:test")
    with pytest.raises(IllegalEvent, match="actor"):
        log.append(parse("alert.raised", NOTE), run="-", actor="me")

    assert [event.seq for event in log.events()] == [0]


def test_a_run_is_read_back_without_the_others(log: Log, clock: HandClock) -> None:
    first = deployed(log)
    clock.move(3600)
    second = deployed(log)
    types = [event.type for event in log.run(second)]

    assert types == [event.type for event in log.run(first)]
    assert (types[0], types[-1]) == ("lease.taken", "lease.released")


def test_a_new_writer_knows_a_run_from_its_birth_but_reads_no_further(
    tmp_path: Path, clock: HandClock, log: Log
) -> None:
    for _ in range(50):
        note(log)
    clock.move(3600)
    run = RunWriter(log).open()
    store = WatchedStore(tmp_path / "reports" / "local")
    worker = reopened(tmp_path, clock, store)
    data = {"nodeid": "a", "phase": "build", "changes": False}
    with pytest.raises(IllegalEvent, match="phase is not open"):
        worker.append(parse("step.started", data), run=run.run, actor="system:worker")
    worker.append(parse("phase.started", {"phase": "build"}), run=run.run, actor="system:worker")

    assert store.asked.count("get") < 30


def test_a_run_named_by_a_clock_that_ran_ahead_is_still_known_whole(tmp_path: Path, clock: HandClock, log: Log) -> None:
    run = RunWriter(log, "local-20991231T000000Z-aaaa").open()
    clock.move(3600)

    assert [event.type for event in reopened(tmp_path, clock).run(run.run)] == [
        "lease.taken",
        "run.opened",
        "run.planned",
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(steps=st.lists(st.integers(min_value=-59_000, max_value=100_000), max_size=8))
def test_time_in_the_log_never_goes_back_whatever_the_clock_does(tmp_path_factory: Any, steps: list[int]) -> None:
    home = tmp_path_factory.mktemp("clock")
    clock = HandClock()
    log = open_log(home, clock)
    highest = clock.now()
    for milliseconds in steps:
        highest = max(highest, clock.now())
        clock.instant = max(highest - timedelta(seconds=59), clock.now() + timedelta(milliseconds=milliseconds))
        note(log)
    times = [event.time for event in log.events()]

    assert sorted(times) == times
    assert verify(home / "reports" / "local").ok


def test_a_clock_a_little_behind_is_clamped_and_noted_once(log: Log, clock: HandClock) -> None:
    before = clock.now()
    clock.move(-1.5)
    note(log)
    note(log)
    events = list(log.events(1))

    assert [(event.type, event.data.get("skew_s")) for event in events] == [
        ("clock.skewed", 1.5),
        ("alert.raised", None),
        ("alert.raised", None),
    ]
    assert {before} == {event.time for event in events}


def test_a_clock_over_two_seconds_behind_raises_an_alert_too(log: Log, clock: HandClock) -> None:
    clock.move(-2.5)
    note(log)

    assert [event.data.get("alert", event.type) for event in log.events(1)] == ["clock.skewed", "clock", "test"]


def test_a_skew_inside_a_run_is_noted_in_the_run(log: Log, clock: HandClock) -> None:
    run = RunWriter(log).open()
    clock.move(-1)
    run.add("phase.started", {"phase": "build"})

    assert [event.type for event in log.run(run.run)][-2:] == ["clock.skewed", "phase.started"]


def test_a_clock_over_a_minute_behind_is_refused_until_it_is_mended(tmp_path: Path, log: Log, clock: HandClock) -> None:
    clock.move(-61)
    with pytest.raises(RecordError, match=r"61 s behind .*`pytest-deploy recover local --clock"):
        note(log)
    mended = log.mend_clock(actor="local:0:ada@desk")
    seq = note(log)
    events = list(log.events(seq))

    assert mended.type == "clock.skewed"
    assert clock.now() == events[0].time
    assert events[0].time < mended.time
    assert verify(tmp_path / "reports" / "local").ok
    with pytest.raises(RecordError, match="nothing to mend"):
        log.mend_clock(actor="local:0:ada@desk")


def damaged(home: Path, seq: int, old: bytes, new: bytes) -> None:
    """Alter an event on disk."""
    path = home / "reports" / "local" / log_entry.name(seq)
    path.write_bytes(path.read_bytes().replace(old, new, 1))


@pytest.mark.parametrize(
    "old,new,says",
    [
        (b'"detail":"-"', b'"detail":"+"', "does not lead to the root"),
        (b"\n2\n", b"\n3\n", "does not lead to the root"),
        (b'"type"', b'"kind"', "not as it was written"),
    ],
)
def test_nothing_is_built_on_a_head_that_was_altered(
    tmp_path: Path, log: Log, old: bytes, new: bytes, says: str
) -> None:
    note(log)
    damaged(tmp_path, 1, old, new)

    with pytest.raises(RecordTampered, match=says):
        note(reopened(tmp_path, HandClock()))


def test_nothing_is_built_on_a_head_another_key_signed(tmp_path: Path, log: Log, clock: HandClock) -> None:
    stranger = Log(log.store, FileSigner.open_or_create(tmp_path / "other.pem"), ORIGIN, clock)

    with pytest.raises(RecordTampered, match="not signed by this log's key"):
        note(stranger)


def test_nothing_is_built_on_a_renamed_or_a_missing_event(tmp_path: Path, log: Log, clock: HandClock) -> None:
    note(log)
    run = RunWriter(log).open()
    folder = tmp_path / "reports" / "local"
    (folder / log_entry.name(1)).replace(folder / log_entry.name(9))
    with pytest.raises(RecordTampered, match=r"00000001\.event is missing"):
        reopened(tmp_path, clock).run(run.run)
    (folder / log_entry.name(9)).replace(folder / log_entry.name(5))
    with pytest.raises(RecordTampered, match="renamed or swapped"):
        note(reopened(tmp_path, clock))


def test_a_foreign_event_that_does_not_follow_is_noticed_by_a_running_writer(
    tmp_path: Path, log: Log, clock: HandClock
) -> None:
    """Whoever swaps the log under a running writer does not get its signature."""
    other = open_log(tmp_path / "other", clock)
    for _ in range(2):
        note(other)
    (tmp_path / "other/reports/local" / log_entry.name(1)).replace(tmp_path / "reports/local" / log_entry.name(1))

    with pytest.raises(RecordTampered):
        note(log)


def test_reading_stops_at_an_event_that_does_not_follow(tmp_path: Path, log: Log) -> None:
    for _ in range(3):
        note(log)
    damaged(tmp_path, 2, b'"detail":"-"', b'"detail":"+"')
    read = []
    with pytest.raises(RecordTampered, match=r"00000003\.event: its prev"):  # noqa: PT012 - what was given out before
        for event in log.events():
            read.append(event.seq)  # noqa: PERF401 - a comprehension would give out nothing

    assert read == [0, 1]


def test_an_inclusion_path_that_does_not_continue_is_noticed(tmp_path: Path, log: Log) -> None:
    for _ in range(3):
        note(log)
    path = (tmp_path / "reports/local" / log_entry.name(2)).read_bytes().split(b"\n")[3]
    damaged(tmp_path, 2, path, b"A" * 43 + b"=")

    with pytest.raises(RecordTampered, match=r"00000002\.event: its inclusion path"):
        list(log.events())


def test_threads_share_one_log(log: Log) -> None:
    threads = [threading.Thread(target=lambda: [note(log) for _ in range(10)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(before.seq + 1 == after.seq for before, after in pairwise(log.events()))
    assert len(list(log.events())) == 41


def test_an_interruption_anywhere_in_an_append_leaves_a_log_that_goes_on(
    tmp_path: Path, clock: HandClock, log: Log
) -> None:
    """A signal's exception may come after the event is stored and before the writer took note of it."""
    run = RunWriter(reopened(tmp_path, clock)).open()
    stored = 0
    for lines in count(1):
        phase = f"phase-{lines}"
        try:
            with interrupted_after(lines):
                run.add("phase.started", {"phase": phase})
        except Interruption:
            if log.run(run.run)[-1].data.get("phase") != phase:
                continue
            stored += 1
            run.add("phase.finished", phase_finished(phase, "not-run"))
        else:
            break

    assert stored > 0
    assert verify(tmp_path / "reports" / "local").ok


class Interruption(Exception):
    """What a signal handler raises."""


@contextmanager
def interrupted_after(lines: int) -> Iterator[None]:
    """Raise in the log's own code once it has run so many lines."""
    left = lines

    def trace(frame: FrameType, event: str, _: object) -> object:
        nonlocal left
        if not frame.f_code.co_filename.endswith("record/log.py"):
            return None
        if event == "line":
            left -= 1
            if left == 0:
                raise Interruption
        return trace

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        yield
    finally:
        sys.settrace(before)


def test_the_history_grows_with_the_log_whoever_appends(tmp_path: Path) -> None:
    mine, theirs = open_log(tmp_path), open_log(tmp_path)
    assert [event.type for event in mine.history()] == ["key.enrolled"]

    deployed(theirs)
    halfway = mine.history()
    deployed(theirs)

    assert list(halfway) == list(mine.history())[: len(halfway)]
    assert list(mine.history()) == list(theirs.events())
    assert mine.history() == mine.history()
