"""`lease`: no other run holds the environment, and none was left open in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pytest_deploy.gates.formatting import moment
from pytest_deploy.gates.verdict import Verdict, passes, to_mend, waits
from pytest_deploy.gates.zone import utc
from pytest_deploy.record.clock import stamp

GATE = "lease"


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


def lease(at: datetime, held: Held | None, *, own: str = "") -> Verdict:
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
        return passes(GATE, inputs, "no run holds the environment")
    if at < held.until:
        return waits(
            GATE,
            inputs,
            f"run {held.run} of {held.holder} holds the environment until {moment(held.until)}",
            held.until,
        )
    if held.open_run is not None:
        return to_mend(
            GATE,
            inputs,
            f"the lease of run {held.run} of {held.holder} ended {moment(held.until)}, and run {held.open_run} is open",
            "python deploy.py recover ENV",
        )
    return passes(GATE, inputs, f"the lease of run {held.run} ended {moment(held.until)}, and left no run open")


def _kept(at: datetime, held: Held | None, own: str, inputs: dict[str, Any]) -> Verdict:
    if held is not None and held.run == own and at < held.until:
        return passes(GATE, inputs, f"this run holds the environment until {moment(held.until)}")
    if held is None:
        problem = "this run holds the environment no more"
    elif held.run != own:
        problem = f"run {held.run} of {held.holder} has taken the environment over"
    else:
        problem = f"this run's lease ended {moment(held.until)}"
    return to_mend(GATE, inputs, problem, "start anew; nothing may be changed without the lease")
