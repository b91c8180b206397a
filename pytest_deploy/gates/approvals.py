"""`approvals`: every role that policy asks for has signed this very request, each by a person of its own (REQ-o00043-B, C).

Signatures are verified and matched to people by `approvals/`; this gate judges what came of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from pytest_deploy.gates.facts import GateFacts
from pytest_deploy.gates.verdict import Grounds, Judge, Verdict, moment, not_applicable
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.planned import plan_fault
from pytest_deploy.workspace import program_command

NAME = "approvals"


@dataclass(frozen=True)
class Quorum:
    needed: tuple[str, ...]
    filled: Mapping[str, str] = field(default_factory=dict)
    """Role: the person whose signature fills it."""
    missing: tuple[str, ...] = ()
    refused: Sequence[str] = ()
    """Signatures that do not count, a sentence each."""
    why_impossible: str = ""
    """Why the people of the roster cannot fill all roles; empty where they can."""
    expires: datetime | None = None
    """UTC: when the request lapses; None where it does not."""
    run: str = ""
    """The request, as `pytest-deploy approve` takes it."""
    unstated: tuple[str, ...] = ()
    """What policy asks to be stated and was not: `reason`, `ticket` (a rollback by hand)."""
    rejected: tuple[str, ...] = ()
    """Who rejects the request, and why."""
    unasked: tuple[str, ...] = ()
    """Roles that approve by the roster that administrators signed, and that policy does not ask."""
    unplanned: str = ""
    """Why its plan did not let the request go; empty where it did."""


def gather(facts: GateFacts) -> Judge:
    """The signatures under the request; without one, whether the roster could fill the roles at all."""
    evaluation = facts.evaluation
    quorum = Quorum(
        facts.needed_roles,
        evaluation.filled,
        evaluation.missing,
        [f"{file.file.rpartition('/')[2]}: {file.reason}" for file in evaluation.refused],
        evaluation.why_impossible,
        evaluation.expires,
        facts.candidate.request or "",
        _unstated(facts),
        evaluation.rejected,
        facts.unasked_roles,
        _unplanned(facts),
    )
    return partial(judge, quorum)


def _unplanned(facts: GateFacts) -> str:
    """Why the plan behind the request did not pass; empty where it did, still goes on, or no request lives."""
    run = facts.candidate.request
    return "" if run is None or facts.candidate.planning else plan_fault(facts.history, run)


def _unstated(facts: GateFacts) -> tuple[str, ...]:
    """What a rollback by hand must state and does not."""
    candidate = facts.candidate
    if candidate.pipeline != "rollback" or not facts.policy.rollback.ticket:
        return ()
    given = {"reason": candidate.reason, "ticket": candidate.ticket}
    return tuple(what for what, text in given.items() if not text.strip())


def judge(quorum: Quorum, at: datetime) -> Verdict:
    """Whether the quorum is complete and the request still lives."""
    if not quorum.needed and not quorum.unstated and not quorum.unasked:
        return not_applicable(NAME)
    inputs = {
        "at": stamp(at),
        "needed": list(quorum.needed),
        "filled": dict(quorum.filled),
        "missing": list(quorum.missing),
        "refused": list(quorum.refused),
        "possible": not quorum.why_impossible,
        "expires": None if quorum.expires is None else stamp(quorum.expires),
        "run": quorum.run or None,
        "unsaid": list(quorum.unstated),
        "rejected": list(quorum.rejected),
        "unasked": list(quorum.unasked),
        "unplanned": quorum.unplanned or None,
    }
    grounds = Grounds(NAME, inputs)
    not_counted = f" (not counted: {'; '.join(quorum.refused)})" if quorum.refused else ""
    approve = f"`{program_command('approve', quorum.run)}`" if quorum.run else "sign the request that the plan makes"
    if quorum.unasked:
        return grounds.needs_action(
            f"administrators signed that {' and '.join(quorum.unasked)} approve here, and policy does not ask them",
            "name them in approval.roles of deploy.yaml, or have a roster signed without them (`keys renew`)",
        )
    if quorum.unplanned:
        return grounds.needs_action(
            f"nobody may sign the request: {quorum.unplanned}", "mend what failed, and plan anew"
        )
    if unfit := _unfit(quorum, at, approve, not_counted):
        return grounds.needs_action(*unfit)
    if quorum.missing:
        return grounds.needs_approval(f"approval missing: {', '.join(quorum.missing)}{not_counted}", approve)
    signed = ", ".join(f"{role} {person}" for role, person in quorum.filled.items())
    until = f"; the request lapses {moment(quorum.expires)}" if quorum.expires else ""
    return grounds.passes(f"approved by {signed}{until}")


def _unfit(quorum: Quorum, at: datetime, approve: str, not_counted: str) -> tuple[str, str] | None:
    """What no further signature mends, and what does; None where signatures are all that can be missing."""
    if quorum.unstated:
        how = " ".join(f"--deploy-{what}=…" for what in quorum.unstated)
        return f"policy asks for a {' and a '.join(quorum.unstated)}", f"plan anew with {how}"
    if quorum.rejected:
        how = f"plan anew what they ask for; who rejected it withdraws that by approving: {approve}"
        return f"rejected by {'; by '.join(quorum.rejected)}", how
    if quorum.expires is not None and at >= quorum.expires:
        return f"the request lapsed {moment(quorum.expires)}", "plan anew and have it approved"
    if quorum.why_impossible:
        return (
            f"the quorum is impossible: {quorum.why_impossible}{not_counted}",
            "give the roles to people in the roster",
        )
    if len({person.casefold() for person in quorum.filled.values()}) < len(quorum.filled):
        return "one person fills two roles", f"have another person sign: {approve}"
    return None
