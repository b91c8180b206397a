"""xdist in small: workers that start an item only when they hold a next one or were shut down, and its controller's loop.

Modelled on xdist 3.8 (`remote.WorkerInteractor`, `dsession.DSession`). Whatever may happen next is one move; whoever
drives chooses among the moves, so that every order of events can come about.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from pytest_deploy.pipeline.sequence import Cause, PhaseSequence
from pytest_deploy.pipeline.steps_lock import Step
from pytest_deploy.plugin.scheduler import PhaseScheduler

SHUTDOWN = -1

Move = tuple[str, "Node | None"]


class Node:
    """One worker: a queue of indices, at most one item running, and what it sends to the controller."""

    def __init__(self, name: str, model: XdistModel) -> None:
        self.gateway = SimpleNamespace(id=name)
        self._world = model
        self._queue: deque[int] = deque()
        self._running: int | None = None
        self._announced = False
        self._collected = False
        self.gone = False

    # --- what the scheduler calls

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        """Raises OSError where the worker is gone and the controller has not been told yet, as an execnet channel does."""
        if self.gone:
            raise OSError("cannot send to a closed channel")
        self._queue.extend(indices)

    def shutdown(self) -> None:
        if not self.gone:
            self._queue.append(SHUTDOWN)

    # --- what it does by itself

    def moves(self) -> list[str]:
        """What may come next. `unrecorded`: a step ends, but its events could not be written. It may die at any time."""
        if self.gone:
            return []
        if not self._collected:
            return ["collect", "die"]
        if self._running is not None:
            return ["pass", "fail", "unrecorded", "die"] if self._announced else ["leave out", "die"]
        if self._queue and self._queue[0] == SHUTDOWN:
            return ["leave", "die"]
        return ["begin", "die"] if len(self._queue) > 1 else ["die"]

    def act(self, move: str) -> None:
        match move:
            case "collect":
                self._collected = True
                self._world.tell(lambda: self._world.collected(self))
            case "begin":
                self._running = self._queue.popleft()
                self._announced = self._world.begins(self._step, self.gateway.id)
            case "pass" | "fail" | "unrecorded" | "leave out":
                self._end(move)
            case "leave":
                self.gone = True
                self._world.tell(lambda: self._world.left(self))
            case "die":
                self.gone = True
                if self._announced:
                    self._world.ends(self._step, self.gateway.id)
                self._world.tell(lambda: self._world.died(self))

    @property
    def _step(self) -> Step:
        assert self._running is not None
        return self._world.steps[self._running]

    def _end(self, move: str) -> None:
        step, index = self._step, self._running
        if self._announced:
            self._world.ends(step, self.gateway.id)
        if move in {"pass", "fail"}:
            self._world.tell(lambda: self._world.reported(step, passed=move == "pass"))
        self._world.tell(lambda: self._world.completed(self, index))
        self._running, self._announced = None, False


@dataclass
class XdistModel:
    """The controller with its workers, and the log as far as it matters: which steps began, ended, are never to run."""

    steps: tuple[Step, ...]
    workers: int
    deaths: int
    """How many workers may die."""
    left_out: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sequence = PhaseSequence(self.steps, left_out=self.left_out)
        self.scheduler = PhaseScheduler(self, self.workers)
        self.log: list[tuple[str, Step, str]] = []
        """What happened (began, ended), to which step, on which worker."""
        self._events: deque[Callable[[], None]] = deque()
        self._living: list[Node] = []
        self._made = 0
        self._shutting_down = False
        self.interrupted = False
        """Whether a signal came."""
        self.accepted: list[str] = []
        """The workers whose collections were held against the lock."""
        for _ in range(self.workers):
            self._add()

    # --- moves

    def moves(self) -> list[Move]:
        """Everything that may happen next. Deaths are offered last, and only as many as may be."""
        found: list[Move] = [("controller", None)] if self._events else []
        found += [(move, node) for node in self._living for move in node.moves() if move != "die"]
        if self.deaths:
            found += [("die", node) for node in self._living if "die" in node.moves()]
        return found

    def act(self, move: Move) -> None:
        name, node = move
        if node is None:
            self._events.popleft()()
            if self.scheduler.tests_finished:
                self._trigger_shutdown()
        else:
            self.deaths -= name == "die"
            node.act(name)

    @property
    def over(self) -> bool:
        """As xdist's loop ends: nothing to do, and no worker left."""
        return self._shutting_down and not self._living

    # --- the controller's events

    def tell(self, event: Callable[[], None]) -> None:
        self._events.append(event)

    def collected(self, node: Any) -> None:
        if self._shutting_down:
            return
        self.scheduler.add_node_collection(node, [step.nodeid for step in self.steps])
        if self.scheduler.collection_is_completed:
            self.scheduler.schedule()

    def reported(self, step: Step, *, passed: bool) -> None:
        self._notice()
        self.sequence.finish(step.nodeid, "passed" if passed else "failed")

    def completed(self, node: Any, index: int | None) -> None:
        assert index is not None
        self.scheduler.mark_test_complete(node, index)

    def left(self, node: Any) -> None:
        if node in self.scheduler.nodes:
            assert self.scheduler.remove_node(node) is None, "a worker that left had a step running"
        self._living.remove(node)

    def died(self, node: Any) -> None:
        if node in self.scheduler.nodes and (lost := self.scheduler.remove_node(node)):
            self.lost(lost)
        self._shutting_down = False
        self._add()
        self._living.remove(node)

    def lost(self, nodeid: str) -> None:
        """What the controller does with a step that ended without a record."""
        self._notice()
        self.sequence.finish(nodeid, "error", cause="lost")

    def accept(self, collections: Sequence[tuple[str, Sequence[str]]]) -> PhaseSequence:
        self.accepted += [name for name, _ in collections]
        return self.sequence

    def _notice(self) -> None:
        """A signal is noticed when a step has ended."""
        if self.interrupted:
            self.sequence.close(Cause("signal", "SIGTERM"))

    # --- the log

    def begins(self, step: Step, worker: str) -> bool:
        """A worker asks the log: a step named there as not to be run is left out; any other is announced."""
        if step.nodeid in {never.nodeid for never in self.sequence.not_run()}:
            return False
        assert step in self.sequence.running(), f"{step.nodeid} began, and the controller never let it"
        self.log.append(("began", step, worker))
        return True

    def ends(self, step: Step, worker: str) -> None:
        self.log.append(("ended", step, worker))

    # --- xdist's own

    def _add(self) -> None:
        node: Any = Node(f"gw{self._made}", self)
        self._made += 1
        self._living.append(node)
        self.tell(lambda: self._ready(node))

    def _ready(self, node: Any) -> None:
        if self._shutting_down:
            node.shutdown()
        else:
            self.scheduler.add_node(node)

    def _trigger_shutdown(self) -> None:
        if not self._shutting_down:
            self._shutting_down = True
            for node in self.scheduler.nodes:
                node.shutdown()
