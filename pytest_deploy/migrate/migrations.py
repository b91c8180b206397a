"""The migrations of one environment, whole: files, history, findings, trial, schema; what steps and commands use, and its events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from msgspec import structs

from pytest_deploy.errors import UsageError
from pytest_deploy.migrate import adoption, backup, ledger, lint, restore, rollback, service_group, snapshot
from pytest_deploy.migrate.adopted import Adoption, read_adopted
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.backup import Backup
from pytest_deploy.migrate.dry_run import DryRun, dry_run
from pytest_deploy.migrate.ledger import Applied, Status
from pytest_deploy.migrate.lint import Finding
from pytest_deploy.migrate.migration import Compatibility, Migration, compatibility
from pytest_deploy.migrate.migration_folder import read_migrations
from pytest_deploy.migrate.names import named_files
from pytest_deploy.migrate.restore import Restored
from pytest_deploy.migrate.rollback import ENGINE, RolledBack
from pytest_deploy.migrate.service_group import Membership
from pytest_deploy.migrate.session import Connection, connect, sole_runner, with_lock_timeout
from pytest_deploy.migrate.snapshot import Snapshot
from pytest_deploy.migrate.trial import require_seeds, run_trial
from pytest_deploy.migrate.trial_result import Trial
from pytest_deploy.platform.environment import Environment
from pytest_deploy.platform.protocol import DatabaseAccess
from pytest_deploy.policy.rollout import Database
from pytest_deploy.record.actor import local_actor
from pytest_deploy.record.events import BackupCreated, MigrationApplied, MigrationRolledBack
from pytest_deploy.record.events import Migration as MigrationContent


@dataclass(frozen=True)
class Migrations:
    """The folder of migrations held against one database. Each question is asked of the database: nothing is remembered.

    Example:
        >>> [migration.version for migration in migrations.pending()]
        ['0008']
    """

    access: DatabaseAccess
    folder: Path | None
    """Where the files lie; None where a step of the project's own moves the schema."""
    policy: Database
    """Time limits and budgets, in seconds."""
    actor: str
    """Who applies or rolls back, as the history and the record name them."""
    environment: str = ""
    """Whose database it is: `adopted.json` names it where its history is to be taken over."""
    seeds: Path | None = None
    """The folder of the project's own rows for the trial; None where there are none."""

    @classmethod
    def of(cls, environment: Environment) -> Migrations:
        """Those of an environment, as policy names them, moved by whoever runs this process. Opens its platform.

        Raises UsageError where the environment has no database.
        """
        policy = environment.policy.database
        name = environment.policy.environment
        if policy is None:
            raise UsageError(f"{name} has no database: deploy.yaml says database: null")
        seeds = None if policy.seeds is None else environment.workspace.root / policy.seeds
        return cls(environment.platform.database, environment.migrations_folder, policy, local_actor(), name, seeds)

    @property
    def _owner(self) -> str:
        return with_lock_timeout(self.access.owner, self.policy.lock_timeout_s)

    def _session(self) -> AbstractContextManager[Connection]:
        return connect(self._owner)

    def files(self) -> tuple[Migration, ...]:
        """Every migration of the folder, in order. Raises MigrationsRefused with every fault, file and line."""
        return read_migrations(self.folder)

    def applied(self) -> tuple[Applied, ...]:
        """What is applied now, in the order in which it was."""
        with self._session() as connection:
            return ledger.applied(connection)

    def pending(self) -> tuple[Migration, ...]:
        """What of the folder is not applied yet, in order. Raises MigrationsRefused where history and files disagree."""
        with self._session() as connection:
            return ledger.pending(self.files(), ledger.applied(connection))

    def status(self) -> tuple[Status, ...]:
        """Every migration of the folder or of the history: applied, pending, edited since, or its file gone."""
        with self._session() as connection:
            return ledger.status(connection, () if self.folder is None else named_files(self.folder))

    def findings(self) -> tuple[Finding, ...]:
        """What squawk finds in what is pending, accepted findings included."""
        pending = self.pending()
        with self._session() as connection:
            server = connection.info.server_version // 10000
        return lint.lint(pending, server_version=server)

    def compatibility(self) -> Compatibility:
        """Whether the revision that serves now survives what is pending."""
        return compatibility(self.pending())

    def trial(self, wanted: Sequence[Migration] | None = None) -> Trial:
        """What is pending tried, up and down and up again: in a throw-away server, or beside the target, as policy says.

        Raises MigrationsRefused with every fault that the trial finds, PlatformUnavailable where it cannot run there.
        """
        files = self.files()
        if self.seeds is not None:
            require_seeds(self.seeds, files)
        return run_trial(
            self._owner,
            files if wanted is None else wanted,
            actor=self.actor,
            seeds=self.seeds,
            budget_s=self.policy.budget_s,
            several=self._several,
            where=self.policy.trial,
            programs=self.access.programs,
        )

    def dry_run(self) -> DryRun:
        """What is pending executed on the real database and taken back (REQ-o00044-I)."""
        return dry_run(self._owner, self.files(), actor=self.actor)

    def apply(
        self,
        wanted: Sequence[Migration] | None = None,
        *,
        trial: Trial,
        on_event: Callable[[MigrationApplied], object] | None = None,
        on_alert: Callable[[str], None] = lambda _: None,
        on_lock_timeout: Callable[[float], None] = lambda _: None,
    ) -> tuple[Applied, ...]:
        """Apply what is pending, each batch all or nothing; commit only the schemas that the trial went through.

        Raises MigrationFailed, MigrationsRefused. `on_event` gets the record's event of each migration once its batch is committed
        (all are one batch, unless something runs outside a transaction); `on_alert` hears, while it runs, that the budget is passed; `on_lock_timeout` the seconds after which
        the migrations' own session gives up on a lock, as the server says.
        """
        schemas = [self.schema()] if on_event is not None else []

        def committed(batch: tuple[Applied, ...]) -> None:
            if on_event is not None:  # told at once: where a later batch fails, the record has what this one changed
                schemas.append(self.schema())
                for event in applied_events(batch, *schemas[-2:]):
                    on_event(event)

        return apply(
            self._owner,
            self.files() if wanted is None else wanted,
            actor=self.actor,
            budget_s=self.policy.budget_s,
            expected=trial.schemas(),
            several=self._several,
            take_over=self._take_over,
            on_batch=committed,
            on_alert=on_alert,
            on_lock_timeout=on_lock_timeout,
        )

    def _take_over(self, connection: Connection) -> None:
        """What the commit says was adopted becomes ours; any other history is refused."""
        found = None if self.folder is None else read_adopted(self.folder).databases.get(self.environment)
        if found is None or ledger.installed(connection) or not ledger.history_of_others(connection)[1]:
            ledger.refuse_others(connection)
        else:
            adoption.take_over(connection, found, self.files())

    def adopt(self, *, baseline: str | None, now: bool) -> Adoption:
        """Look at a database that was there before, and write it down beside the migrations; with `now` take its history over.

        `baseline`: the version whose schema it holds, where no tool kept a history. Raises MigrationsRefused, UsageError.
        """
        if self.folder is None:
            raise UsageError("deploy.yaml says database.migrations: null: there are no migrations to adopt")
        found, files = adoption.examine(
            self._owner,
            self.folder,
            actor=self.actor,
            baseline=baseline,
            where=self.policy.trial,
            programs=self.access.programs,
        )
        adoption.write_down(self.folder, self.environment, found, files)
        if now:
            with sole_runner(self._owner) as connection:
                adoption.take_over(connection, found, self.files())
        return found

    @property
    def _several(self) -> bool:
        return self.policy.outside_transaction == "several"

    def roll_back(self, *, to: Sequence[str], save_into: Path) -> tuple[RolledBack, ...]:
        """Undo all that is applied but the versions `to`, latest first; rows that a down loses are saved first."""
        return rollback.roll_back(self._owner, self.files(), to=to, actor=self.actor, save_into=save_into)

    def restore_saved(self, file: Path, *, table: str, sha256: str | None, equal_rows: bool = False) -> Restored:
        """Put rows that a rollback saved back into their table, all or none. Raises UsageError, Refused."""
        return restore.restore_saved(self._owner, file, table=table, sha256=sha256, equal_rows=equal_rows)

    def admit_service(self) -> Membership | None:
        """Give the role that the service runs under the rights of policy's `database.service_group`; None where it names none.

        Raises Refused, Failed: what is missing, and who can give it.
        """
        if self.policy.service_group is None:
            return None
        with self._session() as connection:
            return service_group.admit(connection, self.access.role, self.policy.service_group)

    @staticmethod
    def trial_of(attached: str) -> Trial:
        """A trial from its JSON, as it was attached to the record. Raises MigrationsRefused where it is something else."""
        return Trial.from_json(attached)

    def schema(self) -> Snapshot:
        """The schema as pg_dump tells it, with its version and SHA-256."""
        return snapshot.snapshot(self.access.owner, self.access.programs)

    def proof_due(self, run: str) -> bool:
        """Whether this run's backup is to be proven by a restore, by policy's rate: the same answer each time it is asked."""
        return backup.proof_due(self.policy.restore_rate, run)

    def back_up(self, into: Path, *, prove: bool) -> Backup:
        """A backup (`pg_dump -Fc`, mode 0600) in the folder `into`; with `prove` restored and compared."""
        return backup.back_up(self.access.owner, into, self.access.programs, prove=prove)


# --- what the record says of migrations

_EventT = TypeVar("_EventT", bound=MigrationContent)
_NO_DIGEST = "0" * 64
"""In place of a file's digest that nobody kept."""


def applied_events(applied: Sequence[Applied], before: Snapshot, after: Snapshot) -> list[MigrationApplied]:
    """One event a migration, in order of application.

    They are one batch, which commits together: the schema is seen before the first and after the last; between them it is null.
    """
    events = [MigrationApplied(**_common(migration), engine=migration.engine) for migration in applied]
    return _with_schemas(events, before, after)


def rolled_back_events(undone: Sequence[RolledBack], before: Snapshot, after: Snapshot) -> list[MigrationRolledBack]:
    """One event a migration, in order of undoing, with where the rows lie that its way down took."""
    events = []
    for migration in undone:
        event = MigrationRolledBack(**_common(migration), engine=ENGINE)
        if migration.lost:
            told = ("place", "table", "count", "sha256")
            saved = [{name: getattr(rows, name) for name in told} for rows in migration.lost]
            event = structs.replace(event, saved=saved)
        events.append(event)
    return _with_schemas(events, before, after)


def backup_event(backup: Backup) -> BackupCreated:
    """The event of a backup that was made."""
    return BackupCreated(**asdict(backup))


def _common(migration: Applied | RolledBack) -> dict[str, Any]:
    return {
        "version": migration.version,
        "name": migration.name,
        "sha256": migration.sha256 or _NO_DIGEST,
        "duration_s": migration.duration_s or 0.0,
        "schema_before": None,
        "schema_after": None,
    }


def _with_schemas(events: list[_EventT], before: Snapshot, after: Snapshot) -> list[_EventT]:
    if events:
        events[0] = structs.replace(events[0], schema_before={"version": before.version, "sha256": before.sha256})
        events[-1] = structs.replace(events[-1], schema_after={"version": after.version, "sha256": after.sha256})
    return events
