"""Executing a rollback, act by act, each recorded when it is done.

Three callers: the rollback phase, the session's end when pytest can run no more steps, and `recover`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from pytest_deploy.errors import ManualInterventionRequired, MigrationsRefused
from pytest_deploy.migrate import ledger, rollback, snapshot
from pytest_deploy.migrate.migration import Migration, read_migrations
from pytest_deploy.migrate.migrations import rolled_back_events
from pytest_deploy.migrate.session import with_lock_timeout
from pytest_deploy.platform.protocol import Platform
from pytest_deploy.policy.policy import Policy
from pytest_deploy.record.event import Event
from pytest_deploy.record.events import EventContent, TrafficMoved
from pytest_deploy.release.live import Baseline
from pytest_deploy.rollback.plan import Act, Live, MoveTraffic, RollBackSchema, order_of, plan

logger = logging.getLogger(__name__)

Append = Callable[[EventContent], Event | None]
"""Called as append(content)."""


@dataclass(frozen=True)
class RollbackExecutor:
    """What an act needs: the platform to act on, where the downs lie, who acts, and how to record it."""

    platform: Platform
    policy: Policy
    root: Path
    actor: str
    append: Append
    saved: Path
    """Where rows go that a down takes with it: beside the backup, never in the record."""

    def live(self) -> Live:
        """Read the environment as it is now."""
        state = self.platform.runtime.state()
        shares: dict[str, int] = {}
        for share in state.shares:
            if share.percent:
                shares[share.revision] = shares.get(share.revision, 0) + share.percent
        with psycopg.connect(self.platform.database.owner, autocommit=True) as connection:
            applied = tuple(migration.version for migration in ledger.applied(connection))
        tags = {share.tag: share.revision for share in state.shares if share.tag}
        return Live(shares, tags, applied, state.settled)

    def plan(self, baseline: Baseline) -> tuple[Act, ...]:
        """What lies between the live state and the baseline."""
        order = order_of(self.policy.rollback.order, since(baseline, self._folder))
        return plan(baseline, self.live(), order)

    @property
    def _folder(self) -> Path:
        return self.root / self.policy.database.migrations

    def undo(self, baseline: Baseline) -> tuple[Act, ...]:
        """Execute the whole plan; what was done. Raises ManualInterventionRequired where it does not lead back."""
        acts = self.plan(baseline)
        for act in acts:
            self.execute(act, baseline)
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
            case RollBackSchema():
                self._roll_back_schema(act, baseline)

    def _move_traffic(self, revision: str) -> None:
        runtime = self.platform.runtime
        before = self.live().shares
        runtime.move({revision: 100}, tags={}, deadline_s=self.policy.rollback.budget_s)
        after = self.live().shares
        digest = runtime.revision(revision).digest
        self.append(TrafficMoved(before=dict(before), after=dict(after), digest=digest))

    def _roll_back_schema(self, act: RollBackSchema, baseline: Baseline) -> None:
        access = self.platform.database
        before = snapshot.snapshot(access.owner, access.programs)
        undone = rollback.roll_back(
            with_lock_timeout(access.owner, self.policy.database.lock_timeout_s),
            files(self._folder),
            to=act.remain,
            actor=self.actor,
            expected_schema=baseline.catalog_sha256,
            save_into=self.saved,
        )
        after = snapshot.snapshot(access.owner, access.programs)
        for content in rolled_back_events(undone, before, after):
            self.append(content)


def since(baseline: Baseline, folder: Path) -> tuple[Migration, ...]:
    """The files of what may have been applied since; none where the folder has become faulty: the ledger knows the downs."""
    return tuple(migration for migration in files(folder) if migration.version not in baseline.migrations)


def files(folder: Path) -> tuple[Migration, ...]:
    """The migrations in the folder; none where it is faulty."""
    try:
        return read_migrations(folder)
    except MigrationsRefused:
        return ()
