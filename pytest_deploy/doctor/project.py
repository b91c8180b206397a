"""What the repository holds: deploy.yaml and what it names, the steps, what git ignores and what is committed."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_deploy.doctor.fact import Fact, Setup
from pytest_deploy.errors import DeployError, Failed, Faults, UsageError
from pytest_deploy.gates.blackout import read_calendar
from pytest_deploy.migrate.migration import Migration
from pytest_deploy.migrate.migration_folder import read_migrations
from pytest_deploy.pipeline import steps_lock
from pytest_deploy.platform.program_search import find_program, search_path
from pytest_deploy.policy.replaced_steps import is_standard
from pytest_deploy.release import artefact, git, source
from pytest_deploy.starter.told import TO_BE_SAID
from pytest_deploy.traceability import register
from pytest_deploy.workspace import CONFIG_FILE, OWN_FOLDERS, program_command

_MAKES_TABLE = re.compile(r"\bcreate\s+(?:unlogged\s+)?table\b", re.IGNORECASE)
_GRANTS_TO_ALL = re.compile(r"\bgrant\b[^;]*\bto\s+public\b", re.IGNORECASE)
_FIX = program_command("doctor", "--fix")
_WRITE = program_command("steps", "--write")


def configuration(setup: Setup) -> Iterator[Fact]:
    """deploy.yaml loads; each of its faults is a fact."""
    if not setup.file.is_file():
        fix = f"type `{program_command('init')}`, which writes a first one"
        yield Fact(CONFIG_FILE, "wrong", f"there is none in {setup.root}", fix)
        return
    for fault in setup.faults:
        place = fault.file if fault.line is None else f"{fault.file}:{fault.line}"
        yield Fact(CONFIG_FILE, "wrong", f"{place} {fault.key}{': ' if fault.key else ''}{fault.problem}", fault.remedy)
    policy = setup.policy
    if policy is None:
        return
    yield Fact(CONFIG_FILE, "right", f"every environment loads; asked about: {policy.environment}")
    if "platform.kind" in policy.substituted:
        rehearse = program_command("rehearse", policy.environment)
        yield Fact("platform", "note", f"{policy.environment} is rehearsed on this machine: `{rehearse}`")


def said(setup: Setup) -> Iterator[Fact]:
    """Every line that `init` left to be said has been said."""
    if not setup.file.is_file():
        return
    lines = setup.file.read_text(encoding="utf-8", errors="replace").splitlines()
    left = [str(number) for number, line in enumerate(lines, start=1) if TO_BE_SAID in line]
    if left:
        fix = f"look at them, then take the words `{TO_BE_SAID}` away"
        yield Fact(CONFIG_FILE, "note", f"something is still to be said in line {', '.join(left)}", fix)


def steps(setup: Setup) -> Iterator[Fact]:
    """suites/steps.lock lists what is collected, of the version that is installed."""
    from pytest_deploy.plugin.collect_steps import collect

    lock = setup.root / "suites" / "steps.lock"
    if not setup.file.is_file():
        return
    if not lock.is_file():
        yield Fact("steps.lock", "wrong", "suites/steps.lock is missing", f"type `{_WRITE}`, or `{_FIX}`")
        return
    try:
        steps_lock.refuse_other_standard(lock)
        locked = steps_lock.read(lock)
        steps_lock.compare(locked, collect(setup.root))
    except Faults as error:
        for fault in error.faults:
            yield Fact("steps.lock", "wrong", f"{fault.key or fault.file}: {fault.problem}", fault.remedy)
        return
    own = sum(not is_standard(step.nodeid) for step in locked)
    yield Fact("steps.lock", "right", f"{len(locked)} steps, as collected; {own} of them your own")


def ignored(setup: Setup) -> Iterator[Fact]:
    """Git takes in neither private state nor the record."""
    if _no_repository(setup):
        return
    taken_in = [name for name in sorted(OWN_FOLDERS) if not _is_ignored(setup.root, name)]
    if taken_in:
        lines = " ".join(f"{name}/" for name in taken_in)
        yield Fact("ignored", "wrong", f"git would take in {lines}", f"put it into .gitignore, or type `{_FIX}`")
    else:
        yield Fact("ignored", "right", f"git ignores {', '.join(sorted(OWN_FOLDERS))}")


def committed(setup: Setup) -> Iterator[Fact]:
    """There is a repository with a commit, and nothing is left to commit where the environment deploys commits only."""
    if problem := _no_repository(setup):
        yield Fact("git", "wrong", problem)
        return
    policy = setup.policy
    try:
        found = source.read(setup.root, policy)
    except UsageError as error:
        yield Fact("git", "wrong", str(error))
        return
    if not found.dirty:
        yield Fact("git", "right", f"{found.version}, all is committed")
    elif policy is not None and not policy.dirty_tree:
        fix = "commit it: git status tells what"
        yield Fact("git", "wrong", f"something is not committed, and {policy.environment} deploys commits only", fix)
    else:
        yield Fact("git", "right", f"{found.version}: something is not committed, which may be deployed here")


def writable(setup: Setup) -> Iterator[Fact]:
    """What a deployment writes into the checkout can be written there: private state, and the record."""
    shut = [
        f"{name}/"
        for name in sorted(OWN_FOLDERS)
        if not os.access(setup.root / name if (setup.root / name).exists() else setup.root, os.W_OK | os.X_OK)
    ]
    if shut:
        fix = "let this user write there, in a checkout that is not read-only"
        yield Fact("checkout", "wrong", f"nothing can be written to {', '.join(shut)} of {setup.root}", fix)
    else:
        yield Fact("checkout", "right", f"{', '.join(sorted(OWN_FOLDERS))} can be written to")


def artefact_of_service(setup: Setup) -> Iterator[Fact]:
    """The service's folder holds nothing that no artefact may hold: a private key, a submodule, a link that leads out."""
    policy = setup.policy
    if policy is None or not (setup.root / policy.service.source).is_dir() or _no_repository(setup):
        return
    with tempfile.TemporaryDirectory() as place:
        try:
            made = artefact.build_artefact(setup.root, policy.service.source, Path(place))
        except DeployError as error:
            yield Fact("artefact", "wrong", " ".join(str(error).split()))
        else:
            yield Fact("artefact", "right", f"can be made of {policy.service.source}, {made.stat().st_size} bytes")


def programs_of_service(setup: Setup) -> Iterator[Fact]:
    """The service's folder is there, and so are the programs that start it, check it and make its account."""
    policy = setup.policy
    if policy is None:
        return
    folder = setup.root / policy.service.source
    if not folder.is_dir():
        yield Fact(
            "service", "wrong", f"service.source: there is no folder {policy.service.source}", "name the service's"
        )
        return
    checks = {f"service.checks.{name}": words for name, words in policy.service.checks if words is not None}
    # A container is started by its image's own entry point.
    command = policy.service.command if policy.platform.runtime == "process" else None
    named = {"service.command": command, **checks, "service.account": policy.service.account}
    for setting, words in named.items():
        if words is None:
            continue
        try:
            found = find_program(_started_by(words), folder=folder, path=search_path(os.environ), setting=setting)
        except Failed as error:
            yield Fact("service", "wrong", str(error))
        else:
            yield Fact("service", "right", f"{setting}: {found[0]}")
    if not checks:
        yield Fact("service", "note", "service.checks names none: each run records that nothing was checked")


def migrations(setup: Setup) -> Iterator[Fact]:
    """The files of migrations can be read, each with its way back."""
    if setup.policy is None or setup.policy.migrations is None:
        return
    folder = setup.root / setup.policy.migrations
    try:
        found = read_migrations(folder)
    except Faults as error:
        for fault in error.faults:
            place = (
                Path(fault.file).relative_to(setup.root) if Path(fault.file).is_relative_to(setup.root) else fault.file
            )
            line = "" if fault.line is None else f":{fault.line}"
            yield Fact("migrations", "wrong", f"{place}{line}: {fault.problem}", fault.remedy)
        return
    yield Fact("migrations", "right", f"{len(found)} in {setup.policy.migrations}, each with its way back")


def rights_of_service(setup: Setup) -> Iterator[Fact]:
    """The service gets the rights of the group role that migrations grant to; without one it cannot read their tables."""
    policy = setup.policy
    if policy is None or policy.database is None or policy.database.service_group is not None:
        return
    fix = "let a migration make a group role and grant to it, and name it in database.service_group"
    if policy.migrations is None:  # what a step of their own grants is not known here
        found = "service_group is null: of what suites/migration makes, the service has what is granted to PUBLIC"
        yield Fact("rights", "note", found, fix)
        return
    texts = [_without_comments(one.up.sql) for one in _readable(setup.root / policy.migrations)]
    if any(map(_MAKES_TABLE.search, texts)) and not any(map(_GRANTS_TO_ALL.search, texts)):
        found = f"{policy.migrations} makes tables, and service_group is null: the service cannot read them"
        yield Fact("rights", "note", found, fix)


def _readable(folder: Path) -> Sequence[Migration]:
    """The migrations; none where they have faults, which are facts of their own."""
    try:
        return read_migrations(folder)
    except Faults:
        return ()


def _without_comments(statements: str) -> str:
    return re.sub(r"--[^\n]*|/\*.*?\*/", " ", statements, flags=re.DOTALL)


def files_named(setup: Setup) -> Iterator[Fact]:
    """The calendar and the requirements that deploy.yaml names can be read."""
    policy = setup.policy
    if policy is None:
        return
    calendar = policy.blackout.calendar if policy.blackout is not None else None
    if calendar is not None:
        try:
            years = read_calendar(setup.root / calendar).covers
        except DeployError as error:
            yield Fact("calendar", "wrong", " ".join(str(error).split()))
        else:
            yield Fact("calendar", "right", f"{calendar} covers {', '.join(map(str, years))}")
    try:
        known = register.of_policy(setup.root, policy.requirements)
    except DeployError as error:
        yield Fact("requirements", "wrong", " ".join(str(error).split()))
    else:
        if policy.requirements is not None:
            yield Fact("requirements", "right", f"{len(known)} in {policy.requirements}")


def _started_by(words: Sequence[str]) -> Sequence[str]:
    """The command that runs in the end: of `sh -c 'exec uvicorn …'`, as `init` writes it, what the shell steps aside for."""
    match words:
        case ["sh", "-c", line] if found := re.match(r"exec ([\w./+-]+)(?=\s|$)", line):
            return (found[1],)
    return words


def _no_repository(setup: Setup) -> str:
    """Why there is no commit to deploy; empty where there is one."""
    try:
        git.text(setup.root, "rev-parse", "--verify", "HEAD")
    except UsageError as error:
        return " ".join(str(error).split())
    return ""


def _is_ignored(root: Path, name: str) -> bool:
    try:
        return bool(git.text(root, "check-ignore", f"{name}/any"))
    except UsageError:  # git ends with 1 where nothing ignores it
        return False
