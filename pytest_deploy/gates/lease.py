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
class Held:
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
    held, system = held_lease(facts.state), facts.environment.system
    return lambda _: judge(system.now(), held, own=own)


def held_lease(state: LogState) -> Held | None:
    """The lease that a run holds, or left behind open; None where it is free."""
    lease = state.lease
    if lease is None:
        return None
    taken = lease.taken.content
    holder = taken.holder if isinstance(taken, LeaseTaken) else ""
    open_run = lease.run if lease.run in state.open_runs(leased=True) else None
    return Held(lease.run, holder, lease.until, open_run)


def judge(at: datetime, held: Held | None, *, own: str = "") -> Verdict:
    """Whether the environment is free at `at`; with `own`, whether that run holds it, and still does.

    A live lease of another passes by itself; one that ended under an open run is a run that died, and wants `recover`.
    """
    at = utc(at)
    inputs: dict[str, Any] = {"at": stamp(at), "own": own or None, "held": None}
    if held is not None:
        inputs["held"] = {
            "run": held.run,
            "holder": held.holder,
            "until": stamp(held.until),
            "open_run": held.open_run,
        }
    if own:
        return _kept(at, held, own, inputs)
    if held is None:
        return passes(NAME, inputs, "no run holds the environment")
    if at < held.until:
        return waits(
            NAME,
            inputs,
            f"run {held.run} of {held.holder} holds the environment until {moment(held.until)}",
            held.until,
        )
    if held.open_run is not None:
        return needs_action(
            NAME,
            inputs,
            f"the lease of run {held.run} of {held.holder} ended {moment(held.until)}, and run {held.open_run} is open",
            "python deploy.py recover ENV",
        )
    return passes(NAME, inputs, f"the lease of run {held.run} ended {moment(held.until)}, and left no run open")


def _kept(at: datetime, held: Held | None, own: str, inputs: dict[str, Any]) -> Verdict:
    if held is not None and held.run == own and at < held.until:
        return passes(NAME, inputs, f"this run holds the environment until {moment(held.until)}")
    if held is None:
        problem = "this run holds the environment no more"
    elif held.run != own:
        problem = f"run {held.run} of {held.holder} has taken the environment over"
    else:
        problem = f"this run's lease ended {moment(held.until)}"
    return needs_action(NAME, inputs, problem, "start anew; nothing may be changed without the lease")
