"""`deploy.py migrate ...`: what is applied, what is faulty, what would happen; and, where policy asks nobody, up and down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from pytest_deploy.commands import GROUP, Env, print_lines
from pytest_deploy.errors import MigrationsRefused, Refused, UsageError
from pytest_deploy.migrate.migration import Migration
from pytest_deploy.migrate.migrations import Migrations
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.load import policy_of
from pytest_deploy.record import lease
from pytest_deploy.record.actor import local_actor
from pytest_deploy.record.run_id import new_run_id
from pytest_deploy.workspace import Workspace

migrate = typer.Typer(help="A database's migrations; `up` and `down` only where policy asks for no approval.", **GROUP)


@migrate.command()
def status(env: Env) -> None:
    """A line a migration: applied, when and by whom, or pending."""
    with open_migrations(Workspace(Path.cwd(), env)) as migrations:
        print_lines(migrations.status())


@migrate.command()
def check(env: Env) -> None:
    """What is faulty in what is pending: files, history and squawk's findings."""
    with open_migrations(Workspace(Path.cwd(), env)) as migrations:
        print_lines(migrations.check())


@migrate.command(name="dry-run")
def dry_run(env: Env) -> None:
    """Execute what is pending and take it back: schema diff, locks, time."""
    with open_migrations(Workspace(Path.cwd(), env)) as migrations:
        print_lines(migrations.dry_run())


@migrate.command()
def up(
    env: Env,
    to: Annotated[
        str | None, typer.Option(metavar="VERSION", help="up to this version; else all that is pending")
    ] = None,
) -> None:
    """Apply what is pending; only where policy asks for no approval."""
    if to is not None:
        _require_version(to)
    with open_migrations(Workspace(Path.cwd(), env)) as migrations:
        print_lines(migrations.up(to))


@migrate.command()
def down(
    env: Env,
    to: Annotated[str, typer.Option(metavar="VERSION", help="down to this version; 0 is the empty database")],
) -> None:
    """Undo what was applied after a version; only where policy asks for no approval."""
    _require_version(to)
    with open_migrations(Workspace(Path.cwd(), env)) as migrations:
        print_lines(migrations.down(to))


def _require_version(to: str) -> None:
    if not to.isdecimal():
        raise UsageError(f"deploy.py migrate: --to {to!r}: right is a version, e.g. 0003; 0 is the empty database")


class MigrationCommands:
    """What the commands do with the migrations of one environment, a line of text at a time."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._policy = environment.policy
        self._migrations = Migrations.of(environment)

    def status(self) -> Iterator[str]:
        """A line a migration: applied, when and by whom, or pending."""
        rows = self._migrations.status()
        for row in rows:
            text: str = row.state
            if row.applied is not None:
                applied = row.applied
                text = f"applied {applied.at:%Y-%m-%d %H:%M:%SZ} by {applied.actor} ({applied.engine})"
                text += "" if row.state == "applied" else f", {row.state}"
            yield f"{row.version} {row.name:<28} {text}"
        pending = sum(row.applied is None for row in rows)
        yield f"{len(rows) - pending} applied, {pending} pending"

    def check(self) -> Iterator[str]:
        """Files, history and squawk's findings. Raises MigrationsRefused with every fault."""
        findings = self._migrations.findings()
        blocking = [finding.fault() for finding in findings if finding.blocks and finding.accepted is None]
        if blocking:
            raise MigrationsRefused("findings on what is pending", blocking)
        for finding in findings:
            accepted = "" if finding.accepted is None else f" (accepted: {finding.accepted})"
            yield f"{finding.path.name}:{finding.line} {finding.rule}: {finding.message}{accepted}"
        yield f"{len(self._migrations.pending())} pending, none faulty; {self._migrations.compatibility().summary}"

    def dry_run(self) -> Iterator[str]:
        """Execute what is pending and take it back (REQ-o00044-I): schema diff, locks, time."""
        result = self._migrations.dry_run()
        for version, seconds in zip(result.versions, result.durations_s, strict=True):
            yield f"{version} would take {seconds:.3f} s"
        for relation, mode in result.locks:
            yield f"locks {relation}: {mode}"
        yield result.schema_diff or "the schema would stay as it is"

    def up(self, to: str | None) -> Iterator[str]:
        """Apply what is pending, up to a version. Raises Refused where policy asks for approval."""
        self._refuse_where_approval_is_asked("up", "a deployment: pytest --deploy-env=ENV")
        files = self._migrations.files()
        selected = files if to is None else files[: self._place(files, to) + 1]
        self._refuse_passed_version(selected)
        with self._under_lease():
            trial = self._migrations.trial(selected).trial
            applied = self._migrations.apply(selected, expected_schema=trial.after)
        for migration in applied:
            yield f"{migration.version} {migration.name} applied in {migration.duration_s or 0:.3f} s"
        yield self._now()

    def down(self, to: str) -> Iterator[str]:
        """Undo what was applied after a version (`0`: everything). Raises Refused where policy asks for approval."""
        self._refuse_where_approval_is_asked("down", "a deployment of the release that is wanted")
        files = self._migrations.files()
        remain = () if to.strip("0") == "" else files[: self._place(files, to) + 1]
        with self._under_lease():
            undone = self._migrations.roll_back(
                to=[migration.version for migration in remain], save_into=self._environment.workspace.backups("by-hand")
            )
        for migration in undone:
            yield f"{migration.version} {migration.name} undone in {migration.duration_s:.3f} s"
            for saved in migration.lost:
                yield f"  {saved.count} rows of {saved.table} saved in {saved.place}"
        yield self._now()

    @contextmanager
    def _under_lease(self) -> Iterator[None]:
        """No run goes on meanwhile, and the log says who had the environment. Raises LeaseHeld, ManualInterventionRequired."""
        log = self._environment.log
        run = new_run_id(self._policy.environment, self._environment.clock)
        taken = lease.take(log, run, name=self._policy.environment, actor=local_actor())
        try:
            with taken.renewing():
                yield
        finally:
            taken.release()

    def _refuse_where_approval_is_asked(self, word: str, instead: str) -> None:
        if "approval" not in self._policy.phases.leave_out or self._policy.approval.roles:
            raise Refused(
                f"migrate {word}: {self._policy.environment} asks for approval, so its schema moves in a run alone; "
                f"the way is {instead}"
            )

    def _refuse_passed_version(self, selected: tuple[Migration, ...]) -> None:
        """Refuse an `up` to a version that is passed already. Raises UsageError."""
        newest = max(self._migrations.applied(), key=lambda one: one.number, default=None)
        if newest is not None and selected and newest.number > selected[-1].number:
            version_asked = selected[-1].version
            raise UsageError(f"{newest.version} is applied already; the way back is migrate down --to {version_asked}")

    def _place(self, migrations: tuple[Migration, ...], to: str) -> int:
        for place, migration in enumerate(migrations):
            if migration.version == to or (to.isdigit() and migration.number == int(to)):
                return place
        raise UsageError(
            f"--to {to}: no such migration; known: {', '.join(migration.version for migration in migrations)}"
        )

    def _now(self) -> str:
        schema = self._migrations.schema()
        return f"the schema is at version {schema.version} (sha256 {schema.sha256[:16]}…)"


@contextmanager
def open_migrations(workspace: Workspace) -> Iterator[MigrationCommands]:
    """The migrations of an environment, with its platform open."""
    with closing(Environment(workspace, policy_of(workspace))) as environment:
        yield MigrationCommands(environment)
