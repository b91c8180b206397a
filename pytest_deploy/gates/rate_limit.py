"""`rate-limit`: no more than so many deployments in any so many hours (REQ-o00043-K).

A run counts from the instant at which it announced its first changing step, and while it is open: what may still change
something counts as if it had. So the limit is a condition of the lease's event, which makes it race-free: `limited` is asked again
each time the log moved before that was written.
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
from pytest_deploy.record.run_state import CountedRun

NAME = "rate-limit"


def gather(facts: GateFacts) -> Judge:
    """The deployments that count: open, or having announced a change."""
    return partial(judge, facts.policy.rate_limit, counted_runs=facts.state.counted_runs(), own=facts.candidate.run)


def judge(rule: RateLimit | None, at: datetime, counted_runs: Sequence[CountedRun], *, own: str = "") -> Verdict:
    """Whether one more deployment at `at` keeps the limit. `own` is the run that asks; it does not count against itself.

    A run of exactly `per_h` hours ago no longer counts, one of the future does. An open run of another blocks however many
    the limit allows, and however old it is.
    """
    if rule is None:
        return not_applicable(NAME)
    length = timedelta(hours=rule.per_h)
    others = sorted((one for one in counted_runs if one.run != own), key=lambda one: one.at)
    counted = [one for one in others if one.at + length > at]
    running = [one for one in others if one.is_open]
    shown = [
        {"run": one.run, "at": stamp(one.at), "open": one.is_open} for one in others if one in counted or one.is_open
    ]
    grounds = Grounds(NAME, {"at": stamp(at), "runs": rule.runs, "per_h": rule.per_h, "counted_runs": shown})
    limit = f"{rule.runs} in {span(length)}"
    if stale := [one for one in running if one not in counted]:
        return grounds.needs_action(
            f"run {stale[0].run} has been open since {moment(stale[0].at)}",
            f"let it end; if it died: `{recover_command(stale[0].run)}`",
        )
    # What must age first: every open one, and as many of the oldest as are too many.
    too_many = max(0, len(counted) - rule.runs + 1)
    in_the_way = [one for index, one in enumerate(counted) if index < too_many or one.is_open]
    if not in_the_way:
        return grounds.passes(f"{len(counted)} of {limit} used" if counted else f"none of {limit} used")
    if running:
        reason = f"run {running[0].run} is open since {moment(running[0].at)}, and counts; {limit}"
    else:
        reason = f"{limit}: {', '.join(f'run {one.run} changed it {moment(one.at)}' for one in counted)}"
    free = max(one.at + length for one in in_the_way)
    return grounds.waits(f"{reason}; the next may start {moment(free)}", free)


def limited(rule: RateLimit | None, at: datetime, counted_runs: Sequence[CountedRun], *, own: str = "") -> str:
    """Why the limit forbids a deployment at `at`; empty where it does not."""
    verdict = judge(rule, at, counted_runs, own=own)
    return verdict.sentence if verdict.blocks else ""
