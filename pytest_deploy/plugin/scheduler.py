"""xdist's scheduler for a deployment: the barrier between phases, and which worker runs which step.

- Steps of ordered phases, and all others that may not spread, run on one worker, in order; steps of parallel phases spread.
- A worker starts an item only when it holds a next one, or is told to shut down. So a step is handed out (held) before it
  may start, and started by handing out the next one; a step that comes to be held and then never may start is left out
  by the worker itself, which finds its `step.not-run` in the log.
- `schedule()` may be called at any time, any number of times: it hands out what the sequence allows now, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from pytest_deploy.pipeline.sequence import PhaseSequence
from pytest_deploy.pipeline.steps_lock import Step
from pytest_deploy.policy.phases import PARALLEL

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController


class SchedulerController(Protocol):
    """What the scheduler needs of the controller."""

    def accept(self, collections: Sequence[tuple[str, Sequence[str]]]) -> PhaseSequence:
        """Compare these workers' collections, open the run. Raises pytest.UsageError or exits where it may not be."""

    def lost(self, nodeid: str) -> None:
        """A step was begun and came to an end of which nothing was written."""


@dataclass(eq=False)
class _Worker:
    node: WorkerController
    place: dict[str, int] = field(default_factory=dict)
    """Index of each node id in the worker's own collection."""
    queue: list[str] = field(default_factory=list)
    """What it was handed and has not finished, first to last."""
    last: bool = False
    """Told to shut down after what it has."""

    @property
    def ready(self) -> bool:
        return bool(self.place) and not self.last


class PhaseScheduler:
    """xdist's `Scheduling` protocol over a PhaseSequence."""

    def __init__(self, controller: SchedulerController, workers: int) -> None:
        self._controller = controller
        self._expected_workers = workers
        self._workers: dict[WorkerController, _Worker] = {}
        self._sequence = PhaseSequence(())
        """The run's own once a collection is accepted."""
        self._collections: list[tuple[str, Sequence[str]]] = []
        self._accepted = 0
        """How many of the collections were accepted."""
        self._handed: set[str] = set()
        self._main: _Worker | None = None

    # --- what xdist asks

    @property
    def nodes(self) -> list[WorkerController]:
        return list(self._workers)

    @property
    def collection_is_completed(self) -> bool:
        """Whether every worker that was there at the start has collected."""
        return self._accepted > 0 or len(self._collections) >= self._expected_workers

    @property
    def tests_finished(self) -> bool:
        """True when nothing may start any more: the workers are shut down, what they hold is left out."""
        return self._accepted > 0 and self._sequence.phase is None and not self._sequence.running()

    @property
    def has_pending(self) -> bool:
        return not self.tests_finished

    def add_node(self, node: WorkerController) -> None:
        """A worker is there; it has not collected yet."""
        self._workers[node] = _Worker(node)

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        self._workers[node].place = {nodeid: at for at, nodeid in enumerate(collection)}
        self._collections.append((node.gateway.id, collection))

    def schedule(self) -> None:
        """Open the run when all have collected; hand out what may start."""
        new = self._collections[self._accepted :]
        if new:
            self._sequence = self._controller.accept(new)
            self._accepted += len(new)
        self.feed()

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:  # noqa: ARG002 -- xdist's signature
        """A worker has ended an item, run or left out."""
        worker = self._workers[node]
        ended = next(nodeid for nodeid, at in worker.place.items() if at == item_index)
        worker.queue.remove(ended)
        if any(step.nodeid == ended for step in self._sequence.running()):
            self._controller.lost(ended)
        self.feed()

    def mark_test_pending(self, item: str) -> None:
        """A step is never run twice: xdist asks for this only when a plug-in wants a crashed item again."""
        raise NotImplementedError(f"{item}: a step of a deployment is not run again")

    def remove_pending_tests_from_node(self, node: WorkerController, indices: Sequence[int]) -> None:
        """Nothing is ever taken back from a worker."""

    def remove_node(self, node: WorkerController) -> str | None:
        """Forget a worker; the step it was running when it died, or None. What it only held is handed out again."""
        worker = self._workers.pop(node)
        running = {step.nodeid for step in self._sequence.running()}
        self._handed -= set(worker.queue) - running
        return next((nodeid for nodeid in worker.queue if nodeid in running), None)

    # --- handing out

    def feed(self) -> None:
        # 1. The first that holds nothing runs the steps that do not spread; when it is gone, the next that holds nothing.
        #    One that holds a step cannot: it would first have to run that. The clone of the one that died holds nothing.
        if self._main is None or not self._main.ready or self._main.node not in self._workers:
            self._main = next((worker for worker in self._workers.values() if worker.ready and not worker.queue), None)
        # 2. Each step that is handed out may let a held one start, and the other way round.
        while any([self._start_held(), self._hold_ready()]):
            pass

    def _start_held(self) -> bool:
        """Start each held step that may start: hand its worker the next one, or shut it down after this."""
        moved = False
        for worker in self._workers.values():
            if not worker.ready or len(worker.queue) != 1:
                continue
            held, ready = worker.queue[0], self._sequence.ready()
            if held in {step.nodeid for step in ready}:
                self._sequence.start(held)
            elif held not in {step.nodeid for step in self._sequence.not_run()} or not self._for(worker, ready):
                continue  # It waits. One that will never start is left out when the worker is handed what it could run now.
            following = self._for(worker, (*self._sequence.ready(), *self._sequence.waiting()))
            if following:
                self._hand_out(worker, following[0])
            else:
                worker.last = True
                worker.node.shutdown()
            moved = True
        return moved

    def _hold_ready(self) -> bool:
        """Give each idle worker one step that may start now, to hold."""
        held = False
        for worker in self._workers.values():
            if worker.ready and not worker.queue and (steps := self._for(worker, self._sequence.ready())):
                self._hand_out(worker, steps[0])
                held = True
        return held

    def _for(self, worker: _Worker, steps: Sequence[Step]) -> list[Step]:
        """Those of the steps that this worker may be handed; those of phases that do not spread belong to one worker."""
        return [
            step
            for step in steps
            if step.nodeid not in self._handed and (step.phase in PARALLEL or worker is self._main)
        ]

    def _hand_out(self, worker: _Worker, step: Step) -> None:
        self._handed.add(step.nodeid)
        worker.queue.append(step.nodeid)
        with suppress(OSError):  # It has just died; xdist will say so, and what it had is handed out again.
            worker.node.send_runtest_some([worker.place[step.nodeid]])
