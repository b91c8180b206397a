"""`pytest-deploy doctor`: what a deployment needs, one line a fact, with what to type where it is not right."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pytest_deploy.commands import say
from pytest_deploy.doctor.fact import Setup
from pytest_deploy.doctor.questions import answers
from pytest_deploy.errors import Refused
from pytest_deploy.pipeline import steps_lock
from pytest_deploy.starter import files
from pytest_deploy.workspace import checkout_of


def doctor(
    env: Annotated[
        str, typer.Argument(metavar="[ENV]", help="an environment of deploy.yaml; left out: the first on this machine")
    ] = "",
    *,
    fix: Annotated[
        bool, typer.Option("--fix", help="do what is safe: lines for .gitignore, a suites/steps.lock that is missing")
    ] = False,
) -> None:
    """Tell what a deployment needs and whether it is there, with what to type; nothing is started or recorded."""
    root = checkout_of(Path.cwd()) or Path.cwd()
    if fix:
        _mend(root)
    wrong = 0
    for fact in answers(Setup(root, env)):
        wrong += fact.state == "wrong"
        say(str(fact))
    if wrong:
        raise Refused(f"{wrong} {'fact is' if wrong == 1 else 'facts are'} not right; what to do stands beside each")


def _mend(root: Path) -> None:
    """Do what is safe, and say each thing that is done."""
    from pytest_deploy.plugin.collect_steps import collect

    if missing := files.not_ignored(root):
        files.ignore(root, missing)
        say(f"fixed .gitignore   {' '.join(missing)} added")
    lock = root / "suites" / "steps.lock"
    if lock.parent.is_dir() and not lock.exists():
        say(f"fixed steps.lock   suites/steps.lock: {len(steps_lock.write(lock, collect(root)))} steps")
