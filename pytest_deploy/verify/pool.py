"""Who does the work of an audit: this process, or, where a log is long, one process a core. The answers are the same."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Final, Self, TypeVar

MANY: Final = 20_000
"""Events from which on starting processes (half a second) pays."""
_AHEAD: Final = 3
"""Jobs a process is given before their answers are fetched: it never waits, and few answers lie in memory."""

Job = TypeVar("Job")
Answer = TypeVar("Answer")


class Hands:
    """Carries out jobs that need nothing of each other; answers come in the order of the jobs."""

    def __init__(self, events: int, *, processes: int | None = None) -> None:
        """`events`: how long the log is. `processes`: how many to start, else one a core for a long log, none for a short."""
        cores = len(os.sched_getaffinity(0))
        self._processes = processes if processes is not None else cores if events >= MANY and cores > 1 else 0
        self._pool: ProcessPoolExecutor | None = None
        self._collecting = False

    def __enter__(self) -> Self:
        if self._processes:
            # Events hold no cycles: what is read and forgotten a million times need not be searched for them.
            self._collecting = gc.isenabled()
            gc.disable()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes; what was not begun is not done."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        if self._collecting:
            gc.enable()

    def each(self, do: Callable[[Job], Answer], jobs: Iterable[Job]) -> Iterator[Answer]:
        """`do(job)` for each. `do` stands at the top of a module; jobs, answers and exceptions can be pickled."""
        if self._processes == 0:
            yield from map(do, jobs)
            return
        waiting: deque[tuple[Job, Future[Answer]]] = deque()
        for job in jobs:
            waiting.append((job, self._started().submit(do, job)))
            if len(waiting) > _AHEAD * self._processes:
                yield _answer(do, *waiting.popleft())
        while waiting:
            yield _answer(do, *waiting.popleft())

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # Spawned, not forked: who audits may have threads (a lease, a client of the platform) whose locks a fork copies.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._processes, mp_context=context, initializer=gc.disable)
        return self._pool


def batched(items: Sequence[Job], size: int = 256) -> Iterator[Sequence[Job]]:
    """Pieces of a sequence, in order: one is a job worth handing over."""
    return (items[start : start + size] for start in range(0, len(items), size))


def _answer(do: Callable[[Job], Answer], job: Job, future: Future[Answer]) -> Answer:
    try:
        return future.result()
    except BrokenProcessPool:  # a process was killed: nothing of the work is lost, and it is done here
        return do(job)
