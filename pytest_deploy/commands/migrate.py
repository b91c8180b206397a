"""`pytest-deploy migrate ...`: what is applied, what is faulty, what would happen; and, where policy asks nobody, up and down."""

from __future__ import annotations

from typing import Annotated

import typer

from pytest_deploy.commands import GROUP, Env, print_lines, say
from pytest_deploy.commands.adopt import adopt
from pytest_deploy.commands.migration_files import new, renumber
from pytest_deploy.commands.migration_session import opened, refuse_where_approval_is_asked, under_lease
from pytest_deploy.commands.restore_saved import restore_saved
from pytest_deploy.errors import MigrationsRefused, UsageError
from pytest_deploy.migrate.migration import Migration
from pytest_deploy.migrate.migrations import Migrations
from pytest_deploy.migrate.readable_diff import readable
from pytest_deploy.migrate.tools import require_tools
from pytest_deploy.migrate.trial_result import Trial
from pytest_deploy.workspace import program_command

migrate = typer.Typer(
    help="A database's migrations; `up` and `down` only where policy asks for no approval. "
    "Each file declares `-- deploy:compatible expand|contract|breaking`, and where it holds `-- deploy:lossy REASON`, "
    "`-- deploy:outside-transaction REASON`, `-- deploy:accept RULE REASON`; `migrate new` writes them. See docs/migrations.md.",
    **GROUP,
)
migrate.command()(new)
migrate.command()(renumber)
migrate.command()(adopt)
migrate.command(name="restore-saved")(restore_saved)


@migrate.command()
def status(env: Env) -> None:
    """A line a migration: applied, when and by whom, or pending."""
    with opened(env) as (_, migrations):
        rows = migrations.status()
        try:
            migrations.files()
            faulty = None
        except MigrationsRefused as error:
            faulty = error
    for row in rows:
        text: str = row.state
        if row.applied is not None:
            text = f"applied {row.applied.at:%Y-%m-%d %H:%M:%SZ} by {row.applied.actor} ({row.applied.engine})"
            text += "" if row.state == "applied" else f", {row.state}"
        typer.echo(f"{row.version} {row.name:<28} {text}")
    pending = sum(row.applied is None for row in rows)
    typer.echo(f"{len(rows) - pending} applied, {pending} pending")
    if faulty is not None:
        raise faulty


@migrate.command()
def check(env: Env) -> None:
    """What is faulty in what is pending: files, history, squawk's findings, and what a trial shows, losses too."""
    require_tools()
    with opened(env) as (_, migrations):
        findings = migrations.findings()
        blocking = [finding.fault() for finding in findings if finding.blocks and finding.accepted is None]
        if blocking:
            raise MigrationsRefused("findings on what is pending", blocking)
        for finding in findings:
            accepted = "" if finding.accepted is None else f" (accepted: {finding.accepted})"
            typer.echo(f"{finding.path.name}:{finding.line} {finding.rule}: {finding.message}{accepted}")
        pending = migrations.pending()
        if pending:
            _tell_trial(migrations.trial())
        typer.echo(f"{len(pending)} pending, none faulty; {migrations.compatibility().summary}")


@migrate.command(name="dry-run")
def dry_run(env: Env) -> None:
    """Try what is pending, then execute it on the database itself and take it back: schema diff, locks, time."""
    require_tools(linter=False)
    with opened(env) as (_, migrations):
        _tell_trial(migrations.trial())
        result = migrations.dry_run()
    for version, seconds in zip(result.versions, result.durations_s, strict=True):
        typer.echo(f"{version} would take {seconds:.3f} s")
    for relation, mode in result.locks:
        typer.echo(f"locks {relation}: {mode}")
    print_lines(readable(result.schema_diff) if result.schema_diff else ["the schema would stay as it is"], typer.echo)


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
    require_tools(linter=False)
    with opened(env) as (environment, migrations):
        refuse_where_approval_is_asked(environment, "up", f"a deployment: `{program_command('run', env)}`")
        files = migrations.files()
        selected = files if to is None else files[: _place(files, to) + 1]
        newest = max(migrations.applied(), key=lambda one: one.number, default=None)
        if newest is not None and selected and newest.number > selected[-1].number:
            raise UsageError(
                f"{newest.version} is applied already; the way back is migrate down --to {selected[-1].version}"
            )
        with under_lease(environment):
            trial = migrations.trial(selected)
            _tell_trial(trial)
            applied = migrations.apply(selected, trial=trial)
        for migration in applied:
            typer.echo(f"{migration.version} {migration.name} applied in {migration.duration_s or 0:.3f} s")
        _tell_version(migrations)


@migrate.command()
def down(
    env: Env,
    to: Annotated[str, typer.Option(metavar="VERSION", help="down to this version; 0 is the empty database")],
) -> None:
    """Undo what was applied after a version; only where policy asks for no approval."""
    _require_version(to)
    with opened(env) as (environment, migrations):
        refuse_where_approval_is_asked(environment, "down", "a deployment of the release that is wanted")
        files = migrations.files()
        remain = () if to.strip("0") == "" else files[: _place(files, to) + 1]
        with under_lease(environment):
            undone = migrations.roll_back(
                to=[migration.version for migration in remain], save_into=environment.workspace.backups("by-hand")
            )
        for migration in undone:
            typer.echo(f"{migration.version} {migration.name} undone in {migration.duration_s:.3f} s")
            for saved in migration.lost:
                typer.echo(f"  {saved.described()} saved whole in {saved.place}")
                where = ("--table", saved.table, "--sha256", saved.sha256)
                back = program_command("migrate", "restore-saved", env, saved.place, *where)
                say(f"    to put them back once their place is there again: {back}")
        _tell_version(migrations)


def _tell_trial(trial: Trial) -> None:
    """Where it was, what was tried without rows, and what goes with a way down, as its author declares."""
    for line in trial.told:
        typer.echo(line)
    for step in trial.steps:
        if step.lost:
            typer.echo(f"{step.version} loses with its way down, as declared: {'; '.join(step.lost)}")


def _require_version(to: str) -> None:
    if not to.isdecimal():
        raise UsageError(f"pytest-deploy migrate: --to {to!r}: right is a version, e.g. 0003; 0 is the empty database")


def _place(migrations: tuple[Migration, ...], to: str) -> int:
    for place, migration in enumerate(migrations):
        if migration.version == to or (to.isdigit() and migration.number == int(to)):
            return place
    raise UsageError(f"--to {to}: no such migration; known: {', '.join(migration.version for migration in migrations)}")


def _tell_version(migrations: Migrations) -> None:
    schema = migrations.schema()
    typer.echo(f"the schema is at version {schema.version} (sha256 {schema.sha256[:16]}…)")
