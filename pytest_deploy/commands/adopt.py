"""`pytest-deploy migrate adopt`: a database that was there before becomes ours, by name and with what it was found to be."""

from __future__ import annotations

from typing import Annotated

import typer

from pytest_deploy.commands import Env, say
from pytest_deploy.commands.migration_session import asks_for_approval, opened, under_lease
from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.migrate.tools import require_tools
from pytest_deploy.workspace import program_command


def adopt(
    env: Env,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION", help="the newest version that the database holds, where no tool kept a history"
        ),
    ] = None,
) -> None:
    """Take over the history of dbmate or pgmigrate, or a declared baseline, once the schema is what the files make."""
    if baseline is not None and not baseline.isdecimal():
        raise UsageError(f"migrate adopt: --baseline {baseline!r}: right is a version, e.g. 0003")
    require_tools(linter=False)
    with opened(env) as (environment, migrations):
        asked = asks_for_approval(environment)
        if asked and baseline is not None:
            raise Refused(
                f"migrate adopt: {env} asks for approval, and a baseline is nobody's history; write the versions into "
                "schema_migrations as dbmate does (one column, version), by who administers the database, then adopt that"
            )
        with under_lease(environment):
            found = migrations.adopt(baseline=baseline, now=not asked)
    folder = environment.policy.migrations
    typer.echo(
        f"{env}: {found.tool if found.tool != 'none' else 'declared'} up to {found.last}, schema {found.schema_sha256}"
    )
    typer.echo(f"written: {folder}/adopted.json; commit it: its files need no declaration and stay as they are")
    if asked:
        say(
            f"the history is taken over by the next approved deployment: `{program_command('run', env, '--pipeline', 'plan')}`"
        )
    else:
        typer.echo("the history is kept here from now on; dbmate and pgmigrate see it as their own")
