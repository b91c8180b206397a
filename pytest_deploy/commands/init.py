"""`pytest-deploy init`: what a first deployment needs, written into somebody's repository; nothing that is there is changed."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from pytest_deploy.commands import print_lines, say
from pytest_deploy.errors import MigrationsRefused, UsageError
from pytest_deploy.migrate.migration_folder import read_migrations
from pytest_deploy.pipeline import steps_lock
from pytest_deploy.release import git
from pytest_deploy.starter import files, repository, schema
from pytest_deploy.starter.migration_steps import migration_steps, tool_of
from pytest_deploy.starter.repository import Repository
from pytest_deploy.starter.told import TO_BE_SAID
from pytest_deploy.workspace import CONFIG_FILE, program_command


def init(
    *,
    no_database: Annotated[bool, typer.Option("--no-database", help="the service has no database")] = False,
    service: Annotated[
        str, typer.Option("--service", metavar="PATH", help="the service's folder, where it is not this one")
    ] = "",
) -> None:
    """Write a first deploy.yaml, an example step and what else a deployment needs into this folder; nothing is overwritten."""
    from pytest_deploy.plugin.collect_steps import collect

    root = Path.cwd()
    found = repository.read(root, service or None, database=not no_database)
    print_lines(_told(found))

    # 1. Before anything is written: what the repository tells makes a deploy.yaml that loads.
    steps = root / "suites" / "smoke" / f"test_{found.name.value.replace('-', '_')}.py"
    new = not (root / CONFIG_FILE).exists()
    texts = {root / CONFIG_FILE: files.policy_of_repository(found) if new else ""}
    # An older deploy.yaml may say that something else moves the schema, and so may steps that are there.
    own = migration_steps(found) if new and not any(root.glob("suites/migration/test_*.py")) else {}
    texts |= {root / name: said for name, said in own.items()}
    if not any(root.glob("suites/*/test_*.py")):
        texts[steps] = files.example_step(found)
    if "calendar.yaml" in texts[root / CONFIG_FILE] or (root / files.CALENDAR).exists():
        texts[root / files.CALENDAR] = files.calendar_text()
    # 2. Each file that is not there yet; lines for git are put behind those there are.
    for path, said in texts.items():
        written = files.write_new(path, said)
        _say_of(path.relative_to(root), "written" if written else "left", "" if written else "it was there already")
    if missing := files.not_ignored(root):
        files.ignore(root, missing)
        _say_of(Path(".gitignore"), "added", " ".join(missing))
    # 3. The steps there are now.
    lock = root / "suites" / "steps.lock"
    if lock.exists():
        _say_of(lock.relative_to(root), "left", "it was there already")
    else:
        _say_of(lock.relative_to(root), "written", f"{len(steps_lock.write(lock, collect(root)))} steps")

    say("\nleft to do")
    for number, line in enumerate(_to_do(found), start=1):
        say(f" {number}. {line}")


def _told(found: Repository) -> Iterator[str]:
    """What was found, a line each."""
    yield f"found     service {found.name.value} ({found.name.by})"
    by = found.command.by or "nothing tells it: write it into deploy.yaml"
    yield f"found     command: {shlex.join(found.command.value)} ({by})"
    if found.schema is None:
        yield "found     no database"
    else:
        yield f"found     a database ({found.schema.by})"
    yield f"found     checks: {', '.join(found.checks) or 'none'}"


def _say_of(path: Path, what: str, more: str) -> None:
    say(f"{what:<10}{path.as_posix()}{f': {more}' if more else ''}")


def _to_do(found: Repository) -> Iterator[str]:
    text = (found.root / CONFIG_FILE).read_text(encoding="utf-8")
    lines = [str(number) for number, line in enumerate(text.splitlines(), start=1) if TO_BE_SAID in line]
    if lines:
        yield f"read {CONFIG_FILE}, and say what nothing here could tell: line {', '.join(lines)}"
    yield from _to_do_for_migrations(found)
    if not _is_in_git(found.root):
        yield "begin a repository, since a release is a commit:  git init"
    commit = f"commit, since a release is a commit:  git add {_to_add(found.root)} && git commit -m 'Deployments'"
    doctor = f"see what is missing on this machine, with what to type:  {program_command('doctor', 'local')}"
    # Without any commit the first that doctor would say is that there is none.
    yield from (doctor, commit) if _has_commit(found.root) else (commit, doctor)
    if found.schema is not None and found.schema.folder is not None:
        check = program_command("migrate", "check", "local")
        yield f"try the migrations, since one whose way back takes rows with it has to say so:  {check}"
    yield f"deploy to this machine:  {shlex.join(('pytest', '--deploy-env=local'))}"
    yield f"rehearse production, with two approvals:  {program_command('rehearse', 'production')}"


def _to_do_for_migrations(found: Repository) -> Iterator[str]:
    """What keeps the schema from being moved, and from being led back."""
    if mend := _faults_of_migrations(found):
        yield mend
    tool = tool_of(found)
    if tool is None:
        return
    yield (
        f"read what runs `{tool.shown}` in suites/migration, and its way back in suites/rollback: "
        "each migration needs one, or a release that fails stays half undone"
    )
    if not schema.names_its_address(found.root / found.source):
        yield f"let {tool.title} find its database by the variable DATABASE_URL, as the service has to"


def _faults_of_migrations(found: Repository) -> str:
    """What keeps the migrations from being applied, in a line; empty where nothing does."""
    if found.schema is None or found.schema.folder is None:
        return ""
    try:
        read_migrations(found.root / found.schema.folder)
    except MigrationsRefused as error:
        return f"mend what keeps {found.schema.folder} from being applied; doctor tells each line ({len(error.faults)})"
    return ""


def _is_in_git(root: Path) -> bool:
    return any((folder / ".git").exists() for folder in (root, *root.resolve().parents))


def _has_commit(root: Path) -> bool:
    try:
        return bool(git.text(root, "rev-parse", "--verify", "HEAD"))
    except UsageError:
        return False


def _to_add(root: Path) -> str:
    """What git is to take in: what was written here, and all where nothing was committed yet."""
    if not _has_commit(root):
        return "--all ."
    written = (CONFIG_FILE, files.CALENDAR, "suites", ".gitignore")
    return shlex.join(name for name in written if (root / name).exists())
