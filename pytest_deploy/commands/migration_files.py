"""`pytest-deploy migrate new`, `migrate renumber`: the files of migrations, written and renamed."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from pytest_deploy.commands import Env
from pytest_deploy.commands.migration_session import opened
from pytest_deploy.errors import UsageError
from pytest_deploy.migrate import ledger, names
from pytest_deploy.migrate.session import connect
from pytest_deploy.policy.load import environments, policy_of
from pytest_deploy.workspace import CONFIG_FILE, Workspace, typed_path

_WORDS: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")

TEMPLATE: Final = """\
-- What changes, and why.
--
-- Leave one word: expand (it only adds), contract (takes away what the running revision has stopped to use), breaking.
-- deploy:compatible expand|contract|breaking
--
-- Further lines, each with a reason, where they hold: `deploy:lossy` (up and down together lose data), `deploy:accept RULE`
-- (a finding of squawk's), `deploy:outside-transaction` with `-- migrate:up transaction:false` (one statement that runs alone).
"""
"""What a new file begins with: nothing is declared until its author has chosen."""


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="what it does, e.g. add_visit_day")],
    env: Annotated[
        str | None, typer.Option(metavar="ENV", help="where environments of deploy.yaml have folders of their own")
    ] = None,
) -> None:
    """Write a new migration with the next version, and the declarations to choose from."""
    if not _WORDS.fullmatch(name):
        raise UsageError(f"migrate new {name!r}: right are letters, digits, - and _, e.g. add_visit_day")
    folder = _folder(Path.cwd(), env)
    folder.mkdir(parents=True, exist_ok=True)
    pairs = names.rollback_folder(folder)
    (version,) = names.next_versions([file.version for file in names.named_files(folder)], datetime.now(UTC))
    path = folder / f"{version}_{name}.sql"
    if pairs is None:
        written = {path: TEMPLATE + "-- migrate:up\n\n\n-- migrate:down\n\n"}
    else:
        written = {path: TEMPLATE + "\n", names.rollback_file(pairs, version): f"-- The way back of {path.name}.\n\n"}
    for file, text in written.items():
        with file.open("x", encoding="utf-8") as opened_file:
            opened_file.write(text)
        typer.echo(f"written: {typed_path(file)}")


def renumber(env: Env) -> None:
    """Give what comes late, or has another's version, a version after all that is applied; renames files, nothing else."""
    with opened(env) as (environment, migrations):
        folder = environment.migrations_folder
        if folder is None:
            raise UsageError(f"{env} has no folder of migrations: deploy.yaml says database.migrations: null")
        with connect(migrations.access.owner) as connection:
            history = ledger.applied(connection)
        applied = ledger.files_applied(history, names.named_files(folder))
        renames = names.renumbered(folder, applied, datetime.now(UTC))
    names.rename(renames)
    for one in renames:
        typer.echo(f"renamed: {typed_path(one.old)} -> {one.new.name}")
    typer.echo(f"{len(renames)} renamed; commit them" if renames else "each file has its place: nothing was renamed")


def _folder(root: Path, env: str | None) -> Path:
    """The one folder of migrations of a deploy.yaml, or of one of its environments."""
    asked = environments(root / CONFIG_FILE) if env is None else (env,)
    folders = {policy_of(Workspace(root, one)).migrations for one in asked} - {None}
    if len(folders) > 1:
        raise UsageError(
            f"migrate new: deploy.yaml has several folders ({', '.join(sorted(map(str, folders)))}); add --env ENV"
        )
    if not folders:
        raise UsageError("migrate new: deploy.yaml names no folder of migrations (database.migrations)")
    return root / str(folders.pop())
