"""`freeze`: nothing was rolled back here since somebody last signed that it may be deployed to again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime

from pytest_deploy.approvals.after_run import why_not_thawed
from pytest_deploy.gates.facts import GateFacts
from pytest_deploy.gates.verdict import Grounds, Judge, Verdict, moment, not_applicable
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import EnvironmentFrozen
from pytest_deploy.record.run_state import LogState
from pytest_deploy.workspace import NOT_SAID

NAME = "freeze"


@dataclass(frozen=True)
class Frozen:
    since: datetime
    """UTC."""
    reason: str
    run: str


def gather(facts: GateFacts) -> Judge:
    """The freeze that stands, whatever was signed to lift it."""

    def why_not_lifted(released: Event, frozen: Event) -> str:
        asked = facts.policy.approval.user_verification
        store, roles = facts.environment.log.store, facts.policy.thaw.roles
        return why_not_thawed(store, facts.roster, roles, released, frozen, user_verification=asked)

    frozen = standing_freeze(facts.state, why_not_lifted)
    thaw = facts.workspace.command_line("thaw", "--reason", NOT_SAID)
    rule = facts.policy.freeze_after_rollback
    return lambda _: judge(frozen, rule=rule, thaw=thaw)


def standing_freeze(state: LogState, why_not_lifted: Callable[[Event, Event], str]) -> Frozen | None:
    """The newest freeze, unless something lifted it. `why_not_lifted` says why a release does not lift it; empty where it does."""
    if state.freeze is None:
        return None
    event, doubt = state.freeze.event, ""
    for released in state.freeze.thaws:
        why = why_not_lifted(released, event)
        if not why:
            return None
        doubt = f"; event {released.seq} does not lift it: {why}"
    return Frozen(event.instant, f"{event.read(EnvironmentFrozen).reason}{doubt}", event.run)


def judge(frozen: Frozen | None, *, rule: bool, thaw: str) -> Verdict:
    """Whether nothing froze the environment. Only a signed release of it lifts that, by the command `thaw`.

    `rule`: whether a rollback freezes here at all. Where none does, a freeze that stands refuses all the same.
    """
    if frozen is None and not rule:
        return not_applicable(NAME)
    if frozen is None:
        return Grounds(NAME, {"frozen": None}).passes("nothing froze this environment")
    return Grounds(NAME, {"frozen": {**asdict(frozen), "since": stamp(frozen.since)}}).needs_action(
        f"frozen by run {frozen.run} since {moment(frozen.since)}: {frozen.reason}",
        f"see why, then have it lifted: `{thaw}`",
    )
