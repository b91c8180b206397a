"""The request of a rollback by hand: what is gone back to, from what, and over which migrations.

Its `earlier` is the state that it returns to, as that of a deployment is: all that leads back leads there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from pytest_deploy.errors import Refused
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.run_context import RunContext
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event, canonical, of_type
from pytest_deploy.record.events import RequestMade, RunOpened, given
from pytest_deploy.release.live import Baseline, Release, read_baseline, refuse_newest_secrets
from pytest_deploy.release.request import Plan, Request, stored_request
from pytest_deploy.release.source import Source
from pytest_deploy.rollback.rollback import applied, files
from pytest_deploy.rollback.target import EARLIER, find_target, require_served
from pytest_deploy.rollback.way_back import Between, way_back

PIPELINE: Final = "rollback"


@dataclass(frozen=True)
class AskedRollback:
    """What a rollback that somebody asks for would do."""

    now: Baseline
    target: Baseline
    release: Release
    """The target's."""
    between: tuple[Between, ...]
    """The migrations that are undone, newest first."""

    @property
    def leaves(self) -> str:
        return self.now.revision if self.now.release is None else self.now.release.version


def who_asked(events: Sequence[Event]) -> str:
    """Who asked for the rollback that a run is, and why, in words."""
    _, opened = next(of_type(events, RunOpened))
    reason = reason_of(events)
    return f"asked for by {opened.deployer}" + (f": {reason}" if reason else "")


def reason_of(events: Sequence[Event]) -> str:
    """Why a rollback was asked for, as its request states it; empty where it does not."""
    return next((given(made.reason, None) or "" for _, made in of_type(events, RequestMade)), "")


def serving_of(request: Request) -> Baseline:
    """What served when a rollback was asked for."""
    return Baseline.of(request.parsed["serving"])


def plan_rollback(environment: Environment, to: str) -> AskedRollback:
    """What a rollback to a version, a run or the release before would do now.

    Raises:
        UsageError: there is no such release.
        Refused: it cannot be gone back to; with the migrations that stand between.
        PlatformUnavailable: what is live cannot be read.
        ManualInterventionRequired: traffic is split.
    """
    history = environment.log.history()
    now = read_baseline(environment.platform)
    target = find_target(history, now, to or EARLIER, more=_left(environment.workspace.store, history))
    return rollback_to(environment, target)


def rollback_to(environment: Environment, target: Baseline) -> AskedRollback:
    """What a rollback to a state would do now. Raises as `plan_rollback` does."""
    platform = environment.platform
    now = read_baseline(platform)
    release = require_served(platform.runtime, target)
    refuse_newest_secrets(platform, target.revision)
    between = way_back(applied(environment), files(environment.migrations_folder), now, target)
    return AskedRollback(now, target, release, between)


def _left(store: Path, history: Sequence[Event]) -> list[Baseline]:
    """The states that rollbacks by hand left, oldest first; of a request that cannot be read nothing is taken."""
    left = []
    for event, made in of_type(history, RequestMade):
        if given(made.pipeline) == PIPELINE:
            try:
                left.append(serving_of(stored_request(store, event.run, [event])))
            except Refused:
                continue
    return left


def ways_back(environment: Environment, asked: AskedRollback) -> str:
    """What is undone, as people read it before they sign: each migration and the SQL that undoes it, newest first."""
    known = {row.version: row for row in applied(environment)}
    texts = {migration.version: migration.down.sql for migration in files(environment.migrations_folder)}
    lines = [
        f"-- undoes {one}\n{(known[one.version].way_down or texts.get(one.version, '')).strip()}\n"
        for one in asked.between
    ]
    return "".join(lines) or "-- no migration is undone: the schema stays as it is\n"


def build_request(
    environment: Environment,
    context: RunContext,
    source_: Source,
    asked: AskedRollback,
    *,
    steps_sha256: str,
    run: str = "",
    plan: Plan | None = None,
) -> Request:
    """The request to do that, for the run `run`, by default the one that asks.

    Args:
        environment: read for its policy and its ledger.
        context: the run that makes the request: its reason and ticket.
        source_: the checkout whose steps and policy it goes by.
        asked: what is gone back to, and over what.
        steps_sha256: digest of the steps that such a run takes, hex.
        run: id of the run that shall execute it.
        plan: what people are shown beside it; None where a run makes its request itself, which then waits for nobody.
    """
    expires = environment.clock.now() + timedelta(hours=environment.policy.approval.expires_h)
    known = {row.version: row for row in applied(environment)}
    remain = [known[version] for version in asked.target.migrations]
    request = {
        "artefact": {"image": asked.release.image},
        "authors": [],  # it brings nothing that somebody wrote since
        "branch": None,
        "checkout": {"commit": source_.commit, "version": source_.version},
        "commit": asked.release.commit,
        "dirty": source_.dirty,
        "earlier": asked.target.to_json(),
        "environment": environment.policy.environment,
        "expires": None if plan is None else stamp(expires),
        "infrastructure": None,
        "migrations": [{"version": m.version, "name": m.name, "sha256": m.sha256} for m in remain],
        "pipeline": PIPELINE,
        "plan": None if plan is None else asdict(plan),
        "policy_sha256": environment.policy.digest(),
        "reason": context.reason,
        "run": run or context.run,
        "serving": asked.now.to_json(),
        "steps_sha256": steps_sha256,
        "ticket": context.ticket,
        "undo": [asdict(one) for one in asked.between],
        "version": asked.release.version,
    }
    return Request(canonical(request))
