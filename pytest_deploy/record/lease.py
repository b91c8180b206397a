"""The environment's lease: one run at a time, claimed in the log itself.

Taking it is an event whose predicate is evaluated on the head it is chained to, so two can never both have it. It lasts
60 s and a thread renews it every 20 s; its fencing token is the seq of the event. Whoever finds it taken over is no
longer the run's writer and must stop.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import psutil
from msgspec import UNSET

from pytest_deploy.errors import (
    IllegalEvent,
    Interrupted,
    LeaseHeld,
    ManualInterventionRequired,
    RecordError,
    StoreUnavailable,
)
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import LeaseReleased, LeaseRenewed, LeaseTaken, given
from pytest_deploy.record.log import AppendCondition, Log, LogView
from pytest_deploy.record.run_id import recover_command
from pytest_deploy.record.run_state import LEASE_LIFE_S, LeaseState, LogState

logger = logging.getLogger(__name__)

RENEW_S: Final = 20.0
WAIT_POLL_S: Final = 2.0
"""Seconds between two looks at a lease that is waited for."""
_SAME_START_S: Final = 1.0  # the system counts a process's start in ticks; no number is reused within a second


class Lease:
    """A lease this process took. `lost` is set as soon as it is known to be another's."""

    def __init__(self, log: Log, run: str, name: str, fence: int, actor: str, *, life_s: float, renew_s: float) -> None:
        self.run = run
        self.name = name
        self.fence = fence
        self.lost = threading.Event()
        self.cause = ""  # why it was lost
        self._log = log
        self._actor = actor
        self._life_s = life_s
        self._renew_s = renew_s
        self._renewed = log.clock.monotonic()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def still_held(self, view: LogView) -> None:
        """A condition for any event of the run: refuses once another took over. Raises LeaseHeld."""
        lease = view.state.lease
        if lease is None or lease.fence != self.fence:
            now = "released" if lease is None else f"taken over: {_in_progress(lease)}"
            raise LeaseHeld(f"the lease of event {self.fence} is no longer ours, it was {now}; this process must stop")

    def renew(self) -> None:
        """Prolong it by its life from now. Raises LeaseHeld where it was taken over, StoreUnavailable."""
        until = self._log.clock.now() + timedelta(seconds=self._life_s)
        renewed = LeaseRenewed(name=self.name, until=until, fence=self.fence)
        asked_at = self._log.clock.monotonic()
        self._log.append(renewed, run=self.run, actor=self._actor, condition=self.still_held)
        self._renewed = asked_at

    @contextmanager
    def renewing(self) -> Iterator[Lease]:
        """Renew it from a thread until the block ends; the lease itself stays until `release`."""
        self.start_renewing()
        try:
            yield self
        finally:
            self.stop_renewing()

    def start_renewing(self) -> None:
        """Renew it from a thread until `stop_renewing`."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._renew_until_stopped, name="lease", daemon=True)
        self._thread.start()

    def stop_renewing(self) -> None:
        """Let it run out unless it is released; the thread has ended when this returns."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def release(self) -> None:
        """Give it back, after run.closed or before run.opened. A lost lease is no longer ours to give.

        Raises IllegalEvent where the run is still open: then it runs out, and recover is what may follow.
        """
        self._stop.set()
        if self.lost.is_set():
            return
        released = LeaseReleased(name=self.name, fence=self.fence)
        with suppress(LeaseHeld):
            self._log.append(released, run=self.run, actor=self._actor, condition=self.still_held)

    def _renew_until_stopped(self) -> None:
        while not self._stop.wait(self._renew_s):
            try:
                self.renew()
            except StoreUnavailable as error:  # until its end the lease is ours; try again
                if self._log.clock.monotonic() - self._renewed > self._life_s:
                    self._lose(f"it could not be renewed: {error}")
            except (RecordError, LeaseHeld) as error:
                self._lose(str(error))

    def _lose(self, cause: str) -> None:
        logger.info("the lease of %s is lost: %s", self.name, cause)
        self.cause = cause
        self._stop.set()
        self.lost.set()


def take(
    log: Log,
    run: str,
    *,
    name: str,
    actor: str,
    recovering: bool = False,
    extra_condition: AppendCondition | None = None,
    waited_s: float = 0.0,
    life_s: float = LEASE_LIFE_S,
    renew_s: float = RENEW_S,
) -> Lease:
    """Claim the lease `name` (the environment's) for a run; `recovering` takes over the run's own, left behind.

    `extra_condition` is asked with it on every try, e.g. the rate limit: what it raises leaves the lease untaken. `waited_s`: what
    the run waited for it, which the event says.

    Raises LeaseHeld (who has it, until when) where another lease lives, ManualInterventionRequired where a run was left open, naming
    the command; with `recovering`, LeaseHeld while the holder may still be alive. Times in seconds.
    """
    content = LeaseTaken(
        name=name,
        holder=actor,
        until=log.clock.now() + timedelta(seconds=life_s),
        recovers=recovering,
        waited_s=round(waited_s, 1) if waited_s else UNSET,
        **this_process(),
    )

    def condition(view: LogView) -> None:
        if recovering:
            _require_left_behind(view, run)
        else:
            _require_free(view)
        if extra_condition is not None:
            extra_condition(view)

    event = log.append(content, run=run, actor=actor, condition=condition)
    return Lease(log, run, name, event.seq, actor, life_s=life_s, renew_s=renew_s)


def wait_until_free(
    log: Log,
    wait_s: float,
    *,
    say: Callable[[str], None],
    stopped: Callable[[], int | None] = lambda: None,
    poll_s: float = WAIT_POLL_S,
) -> float:
    """Wait while another run's lease lives, at most so many seconds; the seconds that it took.

    What no waiting mends is not waited for, and `take` refuses it: a run that was left open, a holder that is provably gone.
    `stopped` gives the signal that ends the waiting; then it raises Interrupted. Two that wait come in no order.
    """
    began, holder = log.clock.monotonic(), ""
    while (lease := _living(log)) is not None:
        waited = log.clock.monotonic() - began
        if waited >= wait_s:
            if wait_s:
                say(f"waited {waited:.0f} s for the lease, as long as policy allows (lease.wait_s)")
            return waited if wait_s else 0.0
        if lease.run != holder:
            holder = lease.run
            say(f"waiting for the lease, {wait_s - waited:.0f} s at most: in progress: {_in_progress(lease)}")
        if (signum := stopped()) is not None:
            raise Interrupted(signum, "it waited for the lease; nothing was started")
        time.sleep(min(poll_s, wait_s - waited))
    return log.clock.monotonic() - began if holder else 0.0


def is_held_by_the_living(log: Log) -> bool:
    """Whether a lease lives whose holder is not provably gone."""
    return _living(log) is not None


def _living(log: Log) -> LeaseState | None:
    """The lease of another that is worth waiting for."""
    lease = LogState.of(log.history()).lease
    return lease if lease is not None and lease.until > log.clock.now() and not holder_gone(lease.taken) else None


def this_process() -> dict[str, Any]:
    """What others can tell by whether the holder still exists."""
    process: Any = psutil.Process()
    started = process.create_time()
    return {"host": socket.gethostname(), "machine": _machine(), "pid": process.pid, "process_started": started}


def holder_gone(taken: Event) -> bool:
    """Whether the process that wrote this lease.taken provably no longer exists: asked on its own machine only."""
    lease = taken.read(LeaseTaken)
    if lease.host != socket.gethostname() or given(lease.machine) != _machine() or lease.process_started is None:
        return False
    try:
        process: Any = psutil.Process(lease.pid)
        started: float = process.create_time()
        dead = process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False
    return dead or bool(abs(started - lease.process_started) > _SAME_START_S)


def _require_free(view: LogView) -> None:
    lease = view.state.lease
    if lease is not None and lease.until > view.time:
        raise LeaseHeld(f"in progress: {_in_progress(lease)}")
    if left := view.state.open_runs(leased=True):
        raise ManualInterventionRequired(
            f"{left[0]} was left open and its lease has run out: `{recover_command(left[0])}`"
        )


def _require_left_behind(view: LogView, run: str) -> None:
    lease = view.state.lease
    if not view.state.run(run).is_open:
        raise IllegalEvent(f"{run} is not open; there is nothing to recover")
    if lease is not None and lease.until > view.time and not (lease.run == run and holder_gone(lease.taken)):
        raise LeaseHeld(f"in progress: {_in_progress(lease)}; it may still be alive")


def _in_progress(lease: LeaseState) -> str:
    content = lease.taken.read(LeaseTaken)
    running = f"{lease.run}, by {content.holder}, until {stamp(lease.until)}"
    if holder_gone(lease.taken):
        running += f"; the process that held it is gone: `{recover_command(lease.run)}`"
    return running


def _machine() -> str | None:
    """Boot id and process namespace where the system tells them: they tell machines, or containers, of one name apart."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None
