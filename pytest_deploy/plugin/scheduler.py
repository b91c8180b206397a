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


class _Worker:
    """One worker: what it was handed and has not finished, first to last."""

    def __init__(self, node: WorkerController) -> None:
        self.node = node
        self.place: dict[str, int] = {}
        """Index of each node id in the worker's own collection."""
        self.queue: list[str] = []
        self.last = False
        """Told to shut down after what it has."""

    @property
    def ready(self) -> bool:
        return bool(self.place) and not self.last

    def hand_out(self, nodeid: str) -> None:
        self.queue.append(nodeid)
        with suppress(OSError):  # It has just died; xdist will say so, and what it had is handed out again.
            self.node.send_runtest_some([self.place[nodeid]])

    def shut_down(self) -> None:
        self.last = True
        self.node.shutdown()


class PhaseScheduler:
    """xdist's `Scheduling` protocol over a PhaseSequence."""

    def __init__(self, controller: SchedulerController, workers: int) -> None:
        self._controller = controller
        self._expected_workers = workers
        self._workers: dict[WorkerController, _Worker] = {}
        self._sequence: PhaseSequence | None = None
        self._collections: list[tuple[str, Sequence[str]]] = []
        self._accepted = 0
        self._handed: set[str] = set()
        self._main: _Worker | None = None

    # --- what xdist asks

    @property
    def nodes(self) -> list[WorkerController]:
        """The workers that live."""
        return list(self._workers)

    @property
    def collection_is_completed(self) -> bool:
        """Whether every worker that was there at the start has collected."""
        return self._sequence is not None or len(self._collections) >= self._expected_workers

    @property
    def tests_finished(self) -> bool:
        """True when nothing may start any more: the workers are shut down, what they hold is left out."""
        if self._sequence is None or self._sequence.phase is not None:
            return False
        return not self._sequence.running()

    @property
    def has_pending(self) -> bool:
        """Whether anything may still start or is running."""
        return not self.tests_finished

    def add_node(self, node: WorkerController) -> None:
        """A worker is there; it has not collected yet."""
        self._workers[node] = _Worker(node)

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        """What a worker collected."""
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
        if self._sequence is not None and any(step.nodeid == ended for step in self._sequence.running()):
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
        running = {step.nodeid for step in self._sequence.running()} if self._sequence is not None else set()
        self._handed -= set(worker.queue) - running
        return next((nodeid for nodeid in worker.queue if nodeid in running), None)

    # --- handing out

    def feed(self) -> None:
        """Hand out what may start now."""
        sequence = self._sequence
        if sequence is None:
            return
        self._choose_main()
        progress = True
        while progress:
            progress = any([self._start_held(sequence), self._hold_ready(sequence)])

    def _start_held(self, sequence: PhaseSequence) -> bool:
        """Start each held step that may start: hand its worker the next one, or shut it down after this."""
        moved = False
        for worker in self._workers.values():
            if not worker.ready or len(worker.queue) != 1:
                continue
            held = worker.queue[0]
            if held in {step.nodeid for step in sequence.ready()}:
                sequence.start(held)
                self._hand_next(sequence, worker)
                moved = True
            elif held in {step.nodeid for step in sequence.not_run()} and self._wanted(sequence, worker):
                # It will never start; the worker leaves it out when it is handed the next one.
                self._hand_next(sequence, worker)
                moved = True
        return moved

    def _hand_next(self, sequence: PhaseSequence, worker: _Worker) -> None:
        following = self._following(sequence, worker)
        if following is None:
            worker.shut_down()
        else:
            self._hand_out(worker, following)

    def _wanted(self, sequence: PhaseSequence, worker: _Worker) -> bool:
        """Whether a step may start now that this worker could run, were it not holding one that never will."""
        return any(step.nodeid not in self._handed and self._may_run(worker, step) for step in sequence.ready())

    def _hold_ready(self, sequence: PhaseSequence) -> bool:
        """Give each idle worker one step that may start now, to hold."""
        held = False
        for step in sequence.ready():
            worker = self._idle_for(step)
            if step.nodeid not in self._handed and worker is not None:
                self._hand_out(worker, step)
                held = True
        return held

    def _hand_out(self, worker: _Worker, step: Step) -> None:
        self._handed.add(step.nodeid)
        worker.hand_out(step.nodeid)

    def _following(self, sequence: PhaseSequence, worker: _Worker) -> Step | None:
        """What a worker is to hold next: a step that may start now, else the first one it could run later."""
        may_now = [step for step in sequence.ready() if self._may_run(worker, step)]
        later = [step for step in sequence.waiting() if self._may_run(worker, step)]
        return next((step for step in [*may_now, *later] if step.nodeid not in self._handed), None)

    def _idle_for(self, step: Step) -> _Worker | None:
        idle = [w for w in self._workers.values() if w.ready and not w.queue and self._may_run(w, step)]
        return idle[0] if idle else None

    def _may_run(self, worker: _Worker, step: Step) -> bool:
        """Steps of phases that do not spread belong to one worker."""
        return step.phase in PARALLEL or worker is self._main

    def _choose_main(self) -> None:
        """The first that holds nothing runs the steps that do not spread; when it is gone, the next that holds nothing.

        One that holds a step cannot: it would first have to run that. The clone of the one that died holds nothing.
        """
        if self._main is None or not self._main.ready or self._main.node not in self._workers:
            self._main = next((worker for worker in self._workers.values() if worker.ready and not worker.queue), None)
