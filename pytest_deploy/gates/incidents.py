"""`incidents`: no critical incident is open, and none was opened lately."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pytest_deploy.gates.formatting import moment, span
from pytest_deploy.gates.verdict import Unavailable, Verdict, not_asked_for, passes, to_mend, waits
from pytest_deploy.gates.zone import utc
from pytest_deploy.policy.gate_rules import Incidents
from pytest_deploy.record.clock import stamp

GATE = "incidents"
_COUNTS = frozenset({"critical", ""})
"""A severity nobody has given yet counts as the worst."""


@dataclass(frozen=True)
class Incident:
    """One incident as its source tells it."""

    id: str
    severity: str
    """`critical` counts, in any case; other words do not."""
    opened: datetime
    """UTC."""
    closed: datetime | None = None
    """UTC; None while it is open."""
    url: str | None = None


def incidents(rule: Incidents | None, at: datetime, known: Sequence[Incident] | Unavailable) -> Verdict:
    """Whether no critical incident is open at `at`, nor was opened less than `within_h` hours before.

    A closed one passes by itself when those hours are over; a source that does not answer blocks.
    """
    if rule is None:
        return not_asked_for(GATE)
    at, length = utc(at), timedelta(hours=rule.within_h)
    inputs: dict[str, Any] = {"at": stamp(at), "within_h": rule.within_h}
    if isinstance(known, Unavailable):
        inputs["source"] = known.problem
        return to_mend(
            GATE,
            inputs,
            f"incidents cannot be asked about: {known.problem}",
            "make the incident source answer, then ask again",
        )
    critical = sorted((it for it in known if it.severity.strip().casefold() in _COUNTS), key=lambda it: it.opened)
    count = [it for it in critical if it.closed is None or max(it.closed, it.opened + length) > at]
    inputs["known"] = len(known)
    inputs["critical"] = [
        {
            "id": it.id,
            "opened": stamp(it.opened),
            "closed": None if it.closed is None else stamp(it.closed),
            "url": it.url,
        }
        for it in count
    ]
    if still := [it for it in count if it.closed is None]:
        named = ", ".join(f"{_shown(it)} since {moment(it.opened)}" for it in still)
        return to_mend(GATE, inputs, f"critical and open: {named}", "resolve and close it")
    if count:
        free = max(max(it.closed, it.opened + length) for it in count if it.closed is not None)
        named = ", ".join(f"{_shown(it)}, {moment(it.opened)}" for it in count)
        return waits(GATE, inputs, f"critical, opened within {span(length)}: {named}; over {moment(free)}", free)
    return passes(GATE, inputs, f"no critical incident is open, and none was opened within {span(length)}")


def _shown(it: Incident) -> str:
    return f"{it.id} ({it.url})" if it.url else it.id
