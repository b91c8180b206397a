"""`clock`: the machine's time is right, as others tell it. Windows, ages and expiries are worth no more than the clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

import psycopg
import requests

from pytest_deploy.gates.facts import GateFacts
from pytest_deploy.gates.verdict import Grounds, Judge, Verdict, moment
from pytest_deploy.record.clock import stamp

NAME = "clock"
NOTICED_S = 2.0
"""Seconds apart above which the verdict names the skew."""
REFUSED_S = 60.0
"""Seconds apart above which nothing is deployed."""
_ANSWER_S = 10.0


@dataclass(frozen=True)
class Reference:
    name: str
    """Whose, as a reader knows it: `database`, `record`."""
    at: datetime | None
    """UTC, at the instant the system's clock was read; None where it did not answer."""
    problem: str = ""
    lower_bound: bool = False
    """An instant that has passed, such as the record's newest event: it can show that the clock is behind, no more."""


def gather(facts: GateFacts) -> Judge:
    """The real clock, whatever a rehearsal's is; against it the newest event of another run and the database's own time.

    Where there is no database: the time that the serving address says in its answers.
    """
    environment = facts.environment
    # What this run wrote itself was stamped by the very clock that is asked about.
    newest = next((event for event in reversed(facts.history) if event.run != environment.run), None)
    references = []
    if newest is not None:
        references.append(Reference("the record's newest event of another run", newest.time, lower_bound=True))
    if environment.policy.database is not None:
        references.append(_of_database(environment.platform.database.owner))
    else:
        references.append(_of_platform(environment.platform.runtime.state().url))
    now = environment.system_clock.now()
    return lambda _: judge(now, references)


def _of_database(owner: str) -> Reference:
    try:
        with psycopg.connect(owner, autocommit=True) as connection:
            row = connection.execute("select clock_timestamp()").fetchone()
    except psycopg.Error as error:
        return Reference("the database", None, str(error))
    return Reference("the database", None if row is None else row[0])


def _of_platform(url: str) -> Reference:
    """What the serving address says of the time when it answers, whatever its answer is (RFC 9110, 6.6.1): whole seconds."""
    try:
        said = requests.head(url, timeout=_ANSWER_S).headers.get("Date", "")
        return Reference("the platform", parsedate_to_datetime(said))
    except requests.RequestException as error:
        return Reference("the platform", None, str(error))
    except ValueError:
        return Reference("the platform", None, "its answer has no Date")


def judge(at: datetime, references: Sequence[Reference]) -> Verdict:
    """Whether the system's clock, `at`, agrees with every reference that answered, and one that tells the time did.

    Up to NOTICED_S apart is agreement, up to REFUSED_S passes and is named.
    """
    skews = {reference.name: _behind(at, reference.at, reference) for reference in references if reference.at}
    told = [
        {
            **asdict(reference),
            "at": None if reference.at is None else stamp(reference.at),
            "skew_s": skews.get(reference.name),
        }
        for reference in references
    ]
    grounds = Grounds(NAME, {"at": stamp(at), "references": told})
    if far := _apart(skews, REFUSED_S):
        return grounds.needs_action(f"this machine's clock, {moment(at)}, is {far}", "set the machine's clock by NTP")
    if all(reference.at is None or reference.lower_bound for reference in references):
        asked = "; ".join(
            f"{reference.name}: {reference.problem or 'no answer'}" for reference in references if reference.at is None
        )
        return grounds.needs_action(
            f"no other clock told the time{f' ({asked})' if asked else ''}", "make one answer, e.g. the database's"
        )
    if apart := _apart(skews, NOTICED_S):
        return grounds.passes(f"this machine's clock is {apart}; {REFUSED_S:g} s are tolerated")
    return grounds.passes(f"this machine's clock agrees with {', '.join(skews)} within {NOTICED_S:g} s")


def _behind(at: datetime, other: datetime, reference: Reference) -> float:
    """Seconds the reference is ahead of the system's clock; negative where it is behind."""
    ahead = (other - at) / timedelta(seconds=1)
    return max(0.0, ahead) if reference.lower_bound else ahead


def _apart(skews: Mapping[str, float], more_than_s: float) -> str:
    """Where the machine's clock stands, by each reference that is further away; empty where none is."""
    return ", ".join(
        f"{abs(skew):.1f} s {'behind' if skew > 0 else 'ahead of'} {name}"
        for name, skew in skews.items()
        if abs(skew) > more_than_s
    )
