"""`approvals`: every role that policy asks for has signed this very request, each by a person of its own (REQ-o00043-B, C).

Signatures are verified and matched to people by `approval/`; this gate judges what came of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pytest_deploy.gates.formatting import moment
from pytest_deploy.gates.verdict import Verdict, not_asked_for, passes, to_mend
from pytest_deploy.gates.zone import utc
from pytest_deploy.record.clock import stamp

GATE = "approvals"


@dataclass(frozen=True)
class Quorum:
    """Who has signed a request, and who has yet to."""

    needed: tuple[str, ...]
    """The roles that policy asks for."""
    at: datetime
    """UTC: the instant asked about."""
    filled: Mapping[str, str] = field(default_factory=dict)
    """Role: the person whose signature fills it."""
    missing: tuple[str, ...] = ()
    """The roles nobody has filled yet."""
    refused: Sequence[str] = ()
    """Signatures that do not count, a sentence each."""
    possible: bool = True
    """Whether the people of the roster can fill all roles at all."""
    why_not: str = ""
    """Where they cannot: who is missing."""
    expires: datetime | None = None
    """UTC: when the request lapses; None where it does not."""
    run: str = ""
    """The request, as `deploy.py approve` takes it."""
    unsaid: tuple[str, ...] = ()
    """What policy asks to be said and was not: `reason`, `ticket` (a rollback by hand)."""


def approvals(facts: Quorum) -> Verdict:
    """Whether the quorum is complete and the request still lives."""
    if not facts.needed and not facts.unsaid:
        return not_asked_for(GATE)
    at = utc(facts.at)
    missing = facts.missing or tuple(role for role in facts.needed if role not in facts.filled)
    inputs = {
        "at": stamp(at),
        "needed": list(facts.needed),
        "filled": dict(facts.filled),
        "missing": list(missing),
        "refused": list(facts.refused),
        "possible": facts.possible,
        "expires": None if facts.expires is None else stamp(facts.expires),
        "run": facts.run or None,
        "unsaid": list(facts.unsaid),
    }
    if fault := _unfit(facts, at):
        return to_mend(GATE, inputs, *fault)
    if missing:
        not_counted = f" (not counted: {'; '.join(facts.refused)})" if facts.refused else ""
        return Verdict(
            GATE,
            False,
            inputs,
            f"approval missing: {', '.join(missing)}{not_counted}",
            "approval",
            remedy=f"python deploy.py approve {facts.run or 'RUN'}",
        )
    signed = ", ".join(f"{role} {person}" for role, person in facts.filled.items())
    until = f"; the request lapses {moment(facts.expires)}" if facts.expires else ""
    return passes(GATE, inputs, f"approved by {signed}{until}")


def _unfit(facts: Quorum, at: datetime) -> tuple[str, str] | None:
    """What no further signature mends, and what does; None where signatures are all that can be owed."""
    if facts.unsaid:
        how = " ".join(f"--deploy-{what}=…" for what in facts.unsaid)
        return f"policy asks for a {' and a '.join(facts.unsaid)}", f"plan anew with {how}"
    if facts.expires is not None and at >= facts.expires:
        return f"the request lapsed {moment(facts.expires)}", "plan anew and have it approved"
    if not facts.possible:
        why = facts.why_not or "the roster can never fill every role"
        return f"the quorum is impossible: {why}", "give the roles to people in the roster"
    people = [person.casefold() for person in facts.filled.values()]
    if len(set(people)) < len(people):
        remedy = f"have another person sign: python deploy.py approve {facts.run or 'RUN'}"
        return "one person fills two roles", remedy
    return None
