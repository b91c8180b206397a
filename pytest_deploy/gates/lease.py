"""`lease`: no other run holds the environment, and none was left open in it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from pytest_deploy.gates.facts import GateFacts
from pytest_deploy.gates.verdict import Grounds, Judge, Verdict, moment
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.events import LeaseTaken
from pytest_deploy.record.run_id import recover_command
from pytest_deploy.record.run_state import LogState

NAME = "lease"


@dataclass(frozen=True)
class HeldLease:
    """The environment's lease as the log has it: taken, and not given back."""

    run: str
    holder: str
    until: datetime
    """UTC; a lease that is renewed moves this on."""
    open_run: str | None = None
    """The run that was opened under it and has not ended; None where none was."""


def gather(facts: GateFacts) -> Judge:
    """The lease as the log has it, by the real clock; the run that asks is its own where it took it before it asked."""
    own = facts.candidate.run if facts.candidate.holds_lease else ""
    lease, system = held_lease(facts.state), facts.environment.system_clock
    return lambda _: judge(system.now(), lease, own=own)


def held_lease(state: LogState) -> HeldLease | None:
    """The lease that a run holds, or left behind open; None where it is free."""
    lease = state.lease
    if lease is None:
        return None
    open_run = lease.run if lease.run in state.open_runs(leased=True) else None
    return HeldLease(lease.run, lease.taken.read(LeaseTaken).holder, lease.until, open_run)


def judge(at: datetime, lease: HeldLease | None, *, own: str = "") -> Verdict:
    """Whether the environment is free at `at`; with `own`, whether that run holds it, and still does.

    A live lease of another passes by itself; one that ended under an open run is a run that died, and wants `recover`.
    """
    held = None if lease is None else {**asdict(lease), "until": stamp(lease.until)}
    grounds = Grounds(NAME, {"at": stamp(at), "own": own or None, "held": held})
    if own:
        return _kept(at, lease, own, grounds)
    if lease is None:
        return grounds.passes("no run holds the environment")
    whose, until = f"run {lease.run} of {lease.holder}", moment(lease.until)
    if at < lease.until:
        return grounds.waits(f"{whose} holds the environment until {until}", lease.until)
    if lease.open_run is not None:
        return grounds.needs_action(
            f"the lease of {whose} ended {until}, and run {lease.open_run} is open",
            f"`{recover_command(lease.open_run)}`",
        )
    return grounds.passes(f"the lease of run {lease.run} ended {until}, and left no run open")


def _kept(at: datetime, lease: HeldLease | None, own: str, grounds: Grounds) -> Verdict:
    if lease is None:
        problem = "this run holds the environment no more"
    elif lease.run != own:
        problem = f"run {lease.run} of {lease.holder} has taken the environment over"
    elif at < lease.until:
        return grounds.passes(f"this run holds the environment until {moment(lease.until)}")
    else:
        problem = f"this run's lease ended {moment(lease.until)}"
    return grounds.needs_action(problem, "start anew; nothing may be changed without the lease")
