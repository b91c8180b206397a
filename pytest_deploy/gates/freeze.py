"""`freeze`: the commit, or one it descends from, was not rolled back here and left unmended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from pytest_deploy.approvals.after_run import why_not_thawed
from pytest_deploy.gates.facts import GateFacts
from pytest_deploy.gates.verdict import Judge, Verdict, moment, needs_action, passes
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import EnvironmentFrozen
from pytest_deploy.record.run_state import LogState

NAME = "freeze"


@dataclass(frozen=True)
class Frozen:
    """What holds this commit back."""

    since: datetime
    """UTC."""
    reason: str
    run: str
    """The run that froze it."""


def gather(facts: GateFacts) -> Judge:
    """The freeze that stands, whatever was signed to lift it."""
    frozen = standing_freeze(facts.state, partial(_why_not_lifted, facts))
    return lambda _: judge(frozen)


def standing_freeze(state: LogState, why_not_lifted: Callable[[Event, Event], str]) -> Frozen | None:
    """The newest freeze, unless something lifted it. `why_not_lifted` says why a release does not lift it; empty where it does."""
    if state.freeze is None:
        return None
    event, doubt = state.freeze.event, ""
    for released in state.freeze.releases:
        why = why_not_lifted(released, event)
        if not why:
            return None
        doubt = f"; event {released.seq} does not lift it: {why}"
    content = event.content
    reason = content.reason if isinstance(content, EnvironmentFrozen) else ""
    return Frozen(event.instant, f"{reason}{doubt}", event.run)


def _why_not_lifted(facts: GateFacts, released: Event, frozen: Event) -> str:
    return why_not_thawed(facts.environment.log.store, facts.roster, facts.policy.thaw.roles, released, frozen)


def judge(frozen: Frozen | None) -> Verdict:
    """Whether nothing froze what is to be deployed. Only a signed release of the environment, or a fix, lifts it."""
    if frozen is None:
        return passes(NAME, {"frozen": None}, "nothing froze this commit")
    return needs_action(
        NAME,
        {"frozen": {"since": stamp(frozen.since), "reason": frozen.reason, "run": frozen.run}},
        f"frozen by run {frozen.run} since {moment(frozen.since)}: {frozen.reason}",
        "deploy a commit that reverts or mends it, or have the freeze lifted by a signed release",
    )
