"""`pytest-deploy migrate restore-saved`: rows that a rollback took and saved, back into the database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pytest_deploy.commands import Env
from pytest_deploy.commands.migration_session import opened, refuse_where_approval_is_asked, under_lease
from pytest_deploy.errors import UsageError
from pytest_deploy.platform.environment import Environment
from pytest_deploy.record.events import MigrationRolledBack, given


def restore_saved(
    env: Env,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="a file of rows that a rollback saved")],
    table: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="the table, e.g. public.visit; else the one that the record names"),
    ] = None,
    sha256: Annotated[
        str | None, typer.Option(metavar="DIGEST", help="the file's digest; else the one that the record names")
    ] = None,
    *,
    equal_rows: Annotated[
        bool, typer.Option("--equal-rows", help="also where a table without a key holds rows like all of them already")
    ] = False,
) -> None:
    """Put rows that a rollback saved back into their table, all or none; only where policy asks for no approval."""
    with opened(env) as (environment, migrations):
        refuse_where_approval_is_asked(
            environment, "restore-saved", "a migration that inserts the rows, in a deployment"
        )
        recorded = _recorded(environment, file)
        table = table or recorded.get("table")
        if table is None:
            raise UsageError(f"the record knows no rows saved in {file}; say where they belong: --table NAME")
        with under_lease(environment):
            restored = migrations.restore_saved(
                file, table=table, sha256=sha256 or recorded.get("sha256"), equal_rows=equal_rows
            )
        typer.echo(f"{restored.count} rows of {restored.table} restored (sha256 {restored.sha256[:16]}…)")
        if restored.generated:
            typer.echo(f"  the table makes {', '.join(restored.generated)} itself")


def _recorded(environment: Environment, file: Path) -> dict[str, str]:
    """What the record says of rows saved in a file of this name: `place`, `table`, `sha256`; nothing where it knows none."""
    for event in environment.log.history():
        if isinstance(event.content, MigrationRolledBack):
            for saved in given(event.content.saved, []):
                if Path(saved["place"]).name == file.name:
                    return dict(saved)
    return {}
