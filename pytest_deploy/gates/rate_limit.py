"""`rate-limit`: no more than so many deployments in any so many hours (REQ-o00043-K).

A run counts from the instant at which it announced its first changing step, and while it is open: what may still change
something counts as if it had. So the claim, an event in the log, is what makes the limit race-free; `limited` is asked again
each time the log moved before the claim was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from pytest_deploy.gates.facts import GateFacts
from pytest_deploy.gates.verdict import Grounds, Judge, Verdict, moment, not_applicable, span
from pytest_deploy.policy.policy import RateLimit
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.run_id import recover_command
from pytest_deploy.record.run_state import RunClaim

NAME = "rate-limit"


def gather(facts: GateFacts) -> Judge:
    """The deployments that count: open, or having announced a change."""
    return partial(judge, facts.policy.rate_limit, claims=facts.state.claims(), own=facts.candidate.run)


def judge(rule: RateLimit | None, at: datetime, claims: Sequence[RunClaim], *, own: str = "") -> Verdict:
    """Whether one more deployment at `at` keeps the limit. `own` is the run that asks; it does not count against itself.

    A claim of exactly `per_h` hours ago no longer counts, one of the future does. An open run of another blocks however many
    the limit allows, and however old it is.
    """
    if rule is None:
        return not_applicable(NAME)
    length = timedelta(hours=rule.per_h)
    others = sorted((claim for claim in claims if claim.run != own), key=lambda claim: claim.at)
    counted = [claim for claim in others if claim.at + length > at]
    running = [claim for claim in others if claim.is_open]
    shown = [
        {"run": claim.run, "at": stamp(claim.at), "open": claim.is_open}
        for claim in others
        if claim in counted or claim.is_open
    ]
    grounds = Grounds(NAME, {"at": stamp(at), "runs": rule.runs, "per_h": rule.per_h, "claims": shown})
    limit = f"{rule.runs} in {span(length)}"
    if stale := [claim for claim in running if claim not in counted]:
        return grounds.needs_action(
            f"run {stale[0].run} has been open since {moment(stale[0].at)}",
            f"let it end; if it died: `{recover_command(stale[0].run)}`",
        )
    # What must age first: every open one, and as many of the oldest as are too many.
    too_many = max(0, len(counted) - rule.runs + 1)
    in_the_way = [claim for index, claim in enumerate(counted) if index < too_many or claim.is_open]
    if not in_the_way:
        return grounds.passes(f"{len(counted)} of {limit} used" if counted else f"none of {limit} used")
    if running:
        reason = f"run {running[0].run} is open since {moment(running[0].at)}, and counts; {limit}"
    else:
        reason = f"{limit}: {', '.join(f'run {claim.run} changed it {moment(claim.at)}' for claim in counted)}"
    free = max(claim.at + length for claim in in_the_way)
    return grounds.waits(f"{reason}; the next may start {moment(free)}", free)


def limited(rule: RateLimit | None, at: datetime, claims: Sequence[RunClaim], *, own: str = "") -> str:
    """Why the limit forbids a claim at `at`; empty where it does not."""
    verdict = judge(rule, at, claims, own=own)
    return verdict.sentence if verdict.blocks else ""
