"""`approvals`: every role that policy asks for has signed this very request, each by a person of its own (REQ-o00043-B, C).

Signatures are verified and matched to people by `approvals/`; this gate judges what came of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from pytest_deploy.approvals.evaluate import quorum_possible
from pytest_deploy.gates.facts import GateFacts
from pytest_deploy.gates.verdict import Judge, Verdict, moment, needs_action, not_asked_for, passes
from pytest_deploy.gates.zone import utc
from pytest_deploy.record.clock import stamp

NAME = "approvals"


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
    unstated: tuple[str, ...] = ()
    """What policy asks to be stated and was not: `reason`, `ticket` (a rollback by hand)."""


def gather(facts: GateFacts) -> Judge:
    """The signatures under the request, else whether the roster could fill the roles at all."""
    needed, run, evaluation, unstated = facts.needed_roles, facts.candidate.request, facts.evaluation, _unstated(facts)
    if evaluation is None:
        possible, why_not = quorum_possible(facts.approval_context)
        return lambda at: judge(
            Quorum(needed, at, missing=needed, possible=possible, why_not=why_not, unstated=unstated)
        )
    quorum = Quorum(
        needed,
        facts.environment.clock.now(),
        filled=evaluation.filled,
        missing=evaluation.missing,
        refused=[f"{file.file.rpartition('/')[2]}: {file.reason}" for file in evaluation.refused],
        possible=evaluation.possible,
        why_not=evaluation.why_not,
        expires=evaluation.expires,
        run=run or "",
        unstated=unstated,
    )
    return lambda at: judge(replace(quorum, at=at))


def _unstated(facts: GateFacts) -> tuple[str, ...]:
    """What a rollback by hand must state and does not."""
    candidate = facts.candidate
    if candidate.pipeline != "rollback" or not facts.policy.rollback.ticket:
        return ()
    given = {"reason": candidate.reason, "ticket": candidate.ticket}
    return tuple(what for what, text in given.items() if not text.strip())


def judge(quorum: Quorum) -> Verdict:
    """Whether the quorum is complete and the request still lives."""
    if not quorum.needed and not quorum.unstated:
        return not_asked_for(NAME)
    at = utc(quorum.at)
    missing = quorum.missing or tuple(role for role in quorum.needed if role not in quorum.filled)
    inputs = {
        "at": stamp(at),
        "needed": list(quorum.needed),
        "filled": dict(quorum.filled),
        "missing": list(missing),
        "refused": list(quorum.refused),
        "possible": quorum.possible,
        "expires": None if quorum.expires is None else stamp(quorum.expires),
        "run": quorum.run or None,
        "unsaid": list(quorum.unstated),
    }
    if fault := _unfit(quorum, at):
        return needs_action(NAME, inputs, *fault)
    if missing:
        not_counted = f" (not counted: {'; '.join(quorum.refused)})" if quorum.refused else ""
        return Verdict(
            NAME,
            False,
            inputs,
            f"approval missing: {', '.join(missing)}{not_counted}",
            "approval",
            remedy=f"python deploy.py approve {quorum.run or 'RUN'}",
        )
    signed = ", ".join(f"{role} {person}" for role, person in quorum.filled.items())
    until = f"; the request lapses {moment(quorum.expires)}" if quorum.expires else ""
    return passes(NAME, inputs, f"approved by {signed}{until}")


def _unfit(quorum: Quorum, at: datetime) -> tuple[str, str] | None:
    """What no further signature mends, and what does; None where signatures are all that can be missing."""
    if quorum.unstated:
        how = " ".join(f"--deploy-{what}=…" for what in quorum.unstated)
        return f"policy asks for a {' and a '.join(quorum.unstated)}", f"plan anew with {how}"
    if quorum.expires is not None and at >= quorum.expires:
        return f"the request lapsed {moment(quorum.expires)}", "plan anew and have it approved"
    if not quorum.possible:
        why = quorum.why_not or "the roster can never fill every role"
        return f"the quorum is impossible: {why}", "give the roles to people in the roster"
    people = [person.casefold() for person in quorum.filled.values()]
    if len(set(people)) < len(people):
        remedy = f"have another person sign: python deploy.py approve {quorum.run or 'RUN'}"
        return "one person fills two roles", remedy
    return None
