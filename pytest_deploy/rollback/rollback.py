"""How an environment is undone: a plan, which is one pure function of (log, live state), and what executes it.

The log says what the environment was before the first change; the live state says what it is; the plan is what lies
between. A plan made twice, or after half of it was executed, is the plan of what is left: nothing here remembers.

Three callers: the rollback phase, the session's end when pytest can run no more steps, and `recover`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import psycopg

from pytest_deploy.errors import ManualInterventionRequired, MigrationsRefused
from pytest_deploy.migrate import ledger, rollback, snapshot
from pytest_deploy.migrate.ledger import Applied
from pytest_deploy.migrate.migration import Migration, compatibility
from pytest_deploy.migrate.migration_folder import read_migrations
from pytest_deploy.migrate.migrations import rolled_back_events
from pytest_deploy.migrate.session import connect, with_lock_timeout
from pytest_deploy.platform.environment import Environment
from pytest_deploy.record.actor import local_actor
from pytest_deploy.record.event import Event, of_type
from pytest_deploy.record.events import EventContent, RequestMade, RollbackStarted, StepStarted, TrafficMoved, given
from pytest_deploy.release.live import Baseline, read_baseline
from pytest_deploy.rollback.infrastructure import StackRollback, alert, told_as_alert
from pytest_deploy.rollback.way_back import Between, way_back

logger = logging.getLogger(__name__)

Order = Literal["traffic-first", "database-first"]
"""Which goes back first."""


@dataclass(frozen=True)
class Live:
    shares: Mapping[str, int]
    """Percent by revision, of those above 0."""
    tags: Mapping[str, str]
    """Tag -> revision."""
    migrations: tuple[str, ...]
    """Versions applied, in order of application."""
    settled: bool
    """Whether what was asked of the platform is what serves; a revision that never became ready leaves a wish behind."""
    resources: tuple[str, ...] = ()
    """URNs of the infrastructure that is not as the request found it; none where the run updated none."""


@dataclass(frozen=True)
class MoveTraffic:
    """Give all traffic back to the revision that served before, and take the tags away."""

    revision: str


@dataclass(frozen=True)
class RollBackSchema:
    """Run the downs of what was applied since, newest first, in one transaction."""

    undo: tuple[str, ...]
    remain: tuple[str, ...]


@dataclass(frozen=True)
class RestoreInfrastructure:
    """Run the last good release's program, until these resources are as they were."""

    resources: tuple[str, ...]


Act = MoveTraffic | RollBackSchema | RestoreInfrastructure


def announced(events: Sequence[Event]) -> bool:
    """Whether a run announced a step that changes the environment, or a rollback; without one there is nothing to undo."""
    return any(step.changes for _, step in of_type(events, StepStarted)) or any(of_type(events, RollbackStarted))


def baseline_of(events: Sequence[Event]) -> Baseline | None:
    """What the run's request says the environment was before the first change; None where no request was made."""
    for _, request in of_type(events, RequestMade):
        if (stated := given(request.earlier)) is not None:
            return Baseline.of(stated)
    return None


def order_of(policy: Order, baseline: Baseline, folder: Path | None) -> Order:
    """`database-first` where the earlier revision cannot serve on the new schema (a breaking migration), else policy's.

    `folder` holds the migrations; where it has become faulty nothing is known of them, and the ledger knows the downs.
    """
    since = [migration for migration in files(folder) if migration.version not in baseline.migrations]
    return policy if compatibility(since).running_revision_survives else "database-first"


def plan(baseline: Baseline, live: Live, order: Order) -> tuple[Act, ...]:
    """The acts that lead from the live state back to the baseline, in policy's order, infrastructure last. Empty: nothing is left to do."""
    acts: list[Act] = []
    if dict(live.shares) != {baseline.revision: 100} or live.tags or not live.settled:
        acts.append(MoveTraffic(baseline.revision))
    undo = tuple(version for version in live.migrations if version not in baseline.migrations)
    if undo:
        acts.append(RollBackSchema(undo=tuple(reversed(undo)), remain=baseline.migrations))
    if order == "database-first":
        acts.reverse()
    # Last: what serves and the schema rest on it, and it takes the longest.
    if live.resources:
        acts.append(RestoreInfrastructure(live.resources))
    return tuple(acts)


def files(folder: Path | None) -> tuple[Migration, ...]:
    """The migrations in the folder; none where it is faulty."""
    try:
        return read_migrations(folder)
    except MigrationsRefused:
        return ()


def applied(environment: Environment) -> tuple[Applied, ...]:
    """What is applied now; nothing where there is no database."""
    if not environment.platform.has_database:
        return ()
    with connect(environment.platform.database.owner, autocommit=True) as connection:
        return ledger.applied(connection)


@dataclass(frozen=True)
class RollbackExecutor:
    """What carries the acts of a rollback out in an environment, each recorded by `append` when it is done."""

    environment: Environment
    append: Callable[[EventContent], Event | None]
    events: Sequence[Event] = ()
    """The run's own, as far as they tell what it did to the infrastructure."""

    def live(self) -> Live:
        """Read the environment as it is now, without its infrastructure."""
        platform = self.environment.platform
        state = platform.runtime.state()
        shares: dict[str, int] = {}
        for share in state.shares:
            if share.percent:
                shares[share.revision] = shares.get(share.revision, 0) + share.percent
        applied: tuple[str, ...] = ()
        if platform.has_database:
            with psycopg.connect(platform.database.owner, autocommit=True) as connection:
                applied = tuple(migration.version for migration in ledger.applied(connection))
        tags = {share.tag: share.revision for share in state.shares if share.tag}
        return Live(shares, tags, applied, state.settled)

    def plan(self, baseline: Baseline) -> tuple[Act, ...]:
        """What lies between the live state and the baseline."""
        live = replace(self.live(), resources=self.infrastructure.differing())
        return plan(baseline, live, self._order(baseline))

    @property
    def infrastructure(self) -> StackRollback:
        """What the run did to the stack."""
        return StackRollback(self.environment, self.events)

    def way_back(self, baseline: Baseline) -> tuple[Between, ...]:
        """The migrations that stand between now and the baseline, newest first. Raises Refused where they do not lead back."""
        return way_back(
            applied(self.environment), files(self._folder), read_baseline(self.environment.platform), baseline
        )

    def undo(self, baseline: Baseline) -> tuple[Act, ...]:
        """Execute the whole plan; what was done. Raises ManualInterventionRequired where it does not lead back."""
        # 1. What serves, and the schema: nobody waits for the infrastructure.
        acts = plan(baseline, self.live(), self._order(baseline))
        for act in acts:
            self.execute(act, baseline)
        # 2. The stack, once an update that was interrupted is made good.
        if (recovered := self.infrastructure.make_good()) and (told := told_as_alert(recovered)):
            self.append(told)
        for act in self.plan(baseline):
            self.execute(act, baseline)
            acts = (*acts, act)
        # 3. Nothing is left.
        if left := self.plan(baseline):
            raise ManualInterventionRequired(
                f"the rollback ran and these differ still: {left}; compare the environment by hand"
            )
        return acts

    def execute(self, act: Act, baseline: Baseline) -> None:
        """Do one act and record it. Doing it again is no change."""
        logger.info("rollback: %s", act)
        match act:
            case MoveTraffic(revision):
                self._move_traffic(revision)
            case RollBackSchema(remain=remain):
                self._roll_back_schema(remain, baseline)
            case RestoreInfrastructure():
                applied = self.infrastructure.restore(baseline)
                self.append(alert("the infrastructure was led back", [str(change) for change in applied.changes]))

    def _order(self, baseline: Baseline) -> Order:
        return order_of(self.environment.policy.rollback.order, baseline, self._folder)

    @property
    def _folder(self) -> Path | None:
        return self.environment.migrations_folder

    def _move_traffic(self, revision: str) -> None:
        runtime = self.environment.platform.runtime
        before = self.live().shares
        runtime.move({revision: 100}, tags={}, deadline_s=self.environment.policy.rollback.budget_s)
        after = self.live().shares
        digest = runtime.revision(revision).digest
        self.append(TrafficMoved(before=dict(before), after=dict(after), digest=digest))

    def _roll_back_schema(self, remain: tuple[str, ...], baseline: Baseline) -> None:
        environment, access = self.environment, self.environment.platform.database
        assert environment.policy.database is not None  # noqa: S101 -- what has applied migrations has a database
        before = snapshot.snapshot(access.owner, access.programs)
        # What a down takes with it lies beside the backup, never in the record.
        undone = rollback.roll_back(
            with_lock_timeout(access.owner, environment.policy.database.lock_timeout_s),
            files(self._folder),
            to=remain,
            actor=local_actor(),
            expected_schema=baseline.catalog_sha256,
            save_into=environment.workspace.backups(environment.run),
        )
        after = snapshot.snapshot(access.owner, access.programs)
        for content in rolled_back_events(undone, before, after):
            self.append(content)
