"""Why not now, and when then: the next instant at which all gates that only wait for time pass together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pytest_deploy.gates.verdict import Judge, Verdict, moment
from pytest_deploy.gates.zone import utc

HORIZON = timedelta(days=400)


@dataclass(frozen=True)
class Earliest:
    """When it can go, and what people must do until then."""

    at: datetime | None
    """UTC; None where time alone opens no instant within the horizon."""
    still_needed: tuple[str, ...]
    """A sentence for each gate that would refuse then until people act."""
    verdicts: Mapping[str, Verdict]
    """Every gate's answer at that instant, or at the last one asked about."""


def earliest(gates: Mapping[str, Judge], now: datetime, horizon: timedelta = HORIZON) -> Earliest:
    """The fixed point: every gate is asked anew at the latest instant any of them names, until none names a later one.

    A gate names the *first* instant from the one it was asked at, so nothing earlier is skipped. What it says is what would be
    so if nobody did anything: evidence ages, requests lapse.
    """
    at = now = utc(now)
    first = verdicts = {name: gate(at) for name, gate in gates.items()}
    while later := [start for it in verdicts.values() if (start := it.earliest_start) is not None and start > at]:
        ahead = max(later)
        if ahead > now + horizon:
            return Earliest(None, _still_needed(first, verdicts, at), verdicts)
        at = ahead
        verdicts = {name: gate(at) for name, gate in gates.items()}
    return Earliest(at, _still_needed(first, verdicts, at), verdicts)


def _still_needed(first: Mapping[str, Verdict], then: Mapping[str, Verdict], at: datetime) -> tuple[str, ...]:
    """What people must do; what becomes due only because time passes says so."""
    return tuple(
        verdict.sentence if first[name].still_needed == verdict.still_needed else f"by {moment(at)}: {verdict.sentence}"
        for name, verdict in then.items()
        if verdict.still_needed in ("approval", "mend")
    )
