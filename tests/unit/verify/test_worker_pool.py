"""Jobs are done here or by other processes, with the same answers, in the order they were given."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest

from pytest_deploy.verify.segment import LONG, WorkerPool, batched


def square(number: int) -> int:
    return number * number


def where(_: int) -> int:
    return os.getpid()


def fail(number: int) -> int:
    raise ValueError(f"job {number}")


def die_elsewhere(home: int) -> str:
    """Kill the process it runs in, unless that is the one that asked."""
    if os.getpid() != home:
        os._exit(9)
    return "done at home"


@pytest.fixture(scope="module")
def two() -> Iterator[WorkerPool]:
    with WorkerPool(0, processes=2) as pool:
        yield pool


def test_answers_come_in_the_order_of_the_jobs(two: WorkerPool) -> None:
    assert [number * number for number in range(100)] == list(two.map(square, range(100)))


def test_the_work_is_done_elsewhere(two: WorkerPool) -> None:
    assert os.getpid() not in set(two.map(where, range(8)))


def test_a_short_log_is_no_work_for_others() -> None:
    with WorkerPool(LONG - 1) as pool:
        assert {os.getpid()} == set(pool.map(where, range(3)))


def test_what_a_job_raises_reaches_who_asked(two: WorkerPool) -> None:
    with pytest.raises(ValueError, match="job 0"):
        list(two.map(fail, range(3)))


def test_what_a_killed_process_left_is_done_here() -> None:
    with WorkerPool(0, processes=1) as pool:
        assert list(pool.map(die_elsewhere, [os.getpid()] * 3)) == ["done at home"] * 3


def test_the_garbage_collector_is_as_it_was_afterwards() -> None:
    before = gc.isenabled()
    for enabled in (True, False):
        (gc.enable if enabled else gc.disable)()
        with WorkerPool(0, processes=1):
            assert not gc.isenabled()
        assert enabled == gc.isenabled()
    (gc.enable if before else gc.disable)()


@pytest.mark.parametrize("size,pieces", [(2, [[1, 2], [3]]), (3, [[1, 2, 3]]), (9, [[1, 2, 3]])])
def test_batches_hold_every_item_once_and_in_order(size: int, pieces: list[list[int]]) -> None:
    assert pieces == list(batched([1, 2, 3], size))
