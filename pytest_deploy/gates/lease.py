"""`lease`: no other run holds the environment, and none was left open in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pytest_deploy.gates.facts import GateFacts
from pytest_deploy.gates.verdict import Judge, Verdict, moment, needs_action, passes, waits
from pytest_deploy.gates.zone import utc
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.events import LeaseTaken
from pytest_deploy.record.run_state import LogState

NAME = "lease"


@dataclass(frozen=True)
class HeldLease:
    """The environment's lease as the log has it: taken, and not given back."""

    run: str
    holder: str
    """Who runs it."""
    until: datetime
    """UTC; a lease that is renewed moves this on."""
    open_run: str | None = None
    """The run that was opened under it and has not ended; None where none was."""


def gather(facts: GateFacts) -> Judge:
    """The lease as the log has it, by the real clock; the run that asks is its own where it took it before it asked."""
    own = facts.candidate.run if facts.candidate.holds_lease else ""
    lease, system = held_lease(facts.state), facts.environment.system
    return lambda _: judge(system.now(), lease, own=own)


def held_lease(state: LogState) -> HeldLease | None:
    """The lease that a run holds, or left behind open; None where it is free."""
    lease = state.lease
    if lease is None:
        return None
    taken = lease.taken.content
    holder = taken.holder if isinstance(taken, LeaseTaken) else ""
    open_run = lease.run if lease.run in state.open_runs(leased=True) else None
    return HeldLease(lease.run, holder, lease.until, open_run)


def judge(at: datetime, lease: HeldLease | None, *, own: str = "") -> Verdict:
    """Whether the environment is free at `at`; with `own`, whether that run holds it, and still does.

    A live lease of another passes by itself; one that ended under an open run is a run that died, and wants `recover`.
    """
    at = utc(at)
    inputs: dict[str, Any] = {"at": stamp(at), "own": own or None, "held": None}
    if lease is not None:
        inputs["held"] = {
            "run": lease.run,
            "holder": lease.holder,
            "until": stamp(lease.until),
            "open_run": lease.open_run,
        }
    if own:
        return _kept(at, lease, own, inputs)
    if lease is None:
        return passes(NAME, inputs, "no run holds the environment")
    if at < lease.until:
        return waits(
            NAME,
            inputs,
            f"run {lease.run} of {lease.holder} holds the environment until {moment(lease.until)}",
            lease.until,
        )
    if lease.open_run is not None:
        return needs_action(
            NAME,
            inputs,
            f"the lease of run {lease.run} of {lease.holder} ended {moment(lease.until)}, and run {lease.open_run} is open",
            "python deploy.py recover ENV",
        )
    return passes(NAME, inputs, f"the lease of run {lease.run} ended {moment(lease.until)}, and left no run open")


def _kept(at: datetime, lease: HeldLease | None, own: str, inputs: dict[str, Any]) -> Verdict:
    if lease is not None and lease.run == own and at < lease.until:
        return passes(NAME, inputs, f"this run holds the environment until {moment(lease.until)}")
    if lease is None:
        problem = "this run holds the environment no more"
    elif lease.run != own:
        problem = f"run {lease.run} of {lease.holder} has taken the environment over"
    else:
        problem = f"this run's lease ended {moment(lease.until)}"
    return needs_action(NAME, inputs, problem, "start anew; nothing may be changed without the lease")
