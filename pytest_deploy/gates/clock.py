"""`clock`: the machine's time is right, as others tell it. Windows, ages and expiries are worth no more than the clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg

from pytest_deploy.gates.facts import GateFacts
from pytest_deploy.gates.verdict import Judge, Verdict, moment, needs_action, passes
from pytest_deploy.gates.zone import utc
from pytest_deploy.record.clock import stamp

NAME = "clock"
NOTICED_S = 2.0
"""Seconds apart above which the verdict names the skew."""
REFUSED_S = 60.0
"""Seconds apart above which nothing is deployed."""


@dataclass(frozen=True)
class Reference:
    """Another clock's answer."""

    name: str
    """Whose, as a reader knows it: `database`, `record`."""
    at: datetime | None
    """UTC, at the instant the system's clock was read; None where it did not answer."""
    problem: str = ""
    """Why it did not."""
    lower_bound: bool = False
    """An instant that has passed, such as the record's newest event: it can show that the clock is behind, no more."""


def gather(facts: GateFacts) -> Judge:
    """The real clock, whatever a rehearsal's is; against it the log's newest event and the database's own time."""
    environment = facts.environment
    head = environment.log.head()
    references = [Reference("the record's newest event", None if head is None else head.time, lower_bound=True)]
    try:
        with psycopg.connect(environment.platform.database.owner, autocommit=True) as connection:
            row = connection.execute("select clock_timestamp()").fetchone()
        references.append(Reference("the database", None if row is None else row[0], ""))
    except psycopg.Error as error:
        references.append(Reference("the database", None, str(error)))
    now = environment.system.now()
    return lambda _: judge(now, references)


def judge(at_system: datetime, references: Sequence[Reference]) -> Verdict:
    """Whether the system's clock agrees with every reference that answered, and one that tells the time did.

    Up to NOTICED_S apart is agreement, up to REFUSED_S passes and is named.
    """
    at = utc(at_system)
    skews = {reference.name: _behind(at, reference) for reference in references if reference.at is not None}
    inputs: dict[str, Any] = {
        "at": stamp(at),
        "references": [
            {
                "name": reference.name,
                "at": None if reference.at is None else stamp(reference.at),
                "lower_bound": reference.lower_bound,
                "skew_s": skews.get(reference.name),
                "problem": reference.problem,
            }
            for reference in references
        ],
    }
    if far := [reference for reference in references if abs(skews.get(reference.name, 0.0)) > REFUSED_S]:
        return needs_action(
            NAME,
            inputs,
            f"this machine's clock, {moment(at)}, is {_describe(far, skews)}",
            "set the machine's clock by NTP",
        )
    if not any(reference.at is not None and not reference.lower_bound for reference in references):
        asked = "; ".join(
            f"{reference.name}: {reference.problem or 'no answer'}" for reference in references if reference.at is None
        )
        return needs_action(
            NAME,
            inputs,
            f"no other clock told the time{f' ({asked})' if asked else ''}",
            "make one answer, e.g. the database's",
        )
    apart = [reference for reference in references if abs(skews.get(reference.name, 0.0)) > NOTICED_S]
    if apart:
        return passes(NAME, inputs, f"this machine's clock is {_describe(apart, skews)}; {REFUSED_S:g} s are tolerated")
    agreeing = ", ".join(reference.name for reference in references if reference.at is not None)
    return passes(NAME, inputs, f"this machine's clock agrees with {agreeing} within {NOTICED_S:g} s")


def _behind(at: datetime, reference: Reference) -> float:
    """Seconds the reference is ahead of the system's clock; negative where it is behind."""
    ahead = ((reference.at or at) - at) / timedelta(seconds=1)
    return max(0.0, ahead) if reference.lower_bound else ahead


def _describe(references: Sequence[Reference], skews: dict[str, float]) -> str:
    return ", ".join(
        f"{abs(skews[reference.name]):.1f} s {'behind' if skews[reference.name] > 0 else 'ahead of'} {reference.name}"
        for reference in references
    )
