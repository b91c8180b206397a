"""`pytest-deploy run` and `steps`: the pytest line of a deployment, and the list of the steps it must have."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from pytest_deploy.commands import Env, Rehearse, say
from pytest_deploy.errors import UsageError
from pytest_deploy.program import hand_down


def run(
    env: Env,
    *,
    rehearse: Rehearse = False,
    pipeline: Annotated[str, typer.Option(metavar="PIPELINE", help="which pipeline to run")] = "deploy",
    rest: Annotated[list[str] | None, typer.Argument(metavar="[-- PYTEST OPTIONS]")] = None,
) -> None:
    """Print the pytest line of a deployment, and run it under a guard that is there before pytest imports anything."""
    from pytest_deploy.plugin import configuration
    from pytest_deploy.plugin.guard import start_program
    from pytest_deploy.plugin.option_policy import refuse_variables
    from pytest_deploy.plugin.options import is_typed, runs_steps

    asked = [f"--deploy-env={env}", *(["--deploy-rehearse"] if rehearse else []), f"--deploy-pipeline={pipeline}"]
    asked += rest or []
    say(shlex.join(["pytest", *asked]))
    # Help and the version are shown anywhere.
    ours = configuration.words(configuration.root_of(asked, Path.cwd())) if is_typed(asked) else []
    words = [sys.executable, "-m", "pytest", *ours, *asked]
    if runs_steps(words):
        refuse_variables(os.environ)  # pytest would read some of them, and import what they name, before any plug-in
        start_program(words)
    sys.stdout.flush()
    os.environ |= hand_down()
    os.execv(sys.executable, words)  # noqa: S606 -- no shell is what we want


def steps(
    *,
    write: Annotated[bool, typer.Option("--write", help="write suites/steps.lock from what is collected")] = False,
    check: Annotated[bool, typer.Option("--check", help="compare suites/steps.lock with what is collected")] = False,
) -> None:
    """Write suites/steps.lock from the suites, or check it."""
    if write == check:
        raise UsageError("pytest-deploy steps: say --write or --check")
    from pytest_deploy.pipeline import steps_lock
    from pytest_deploy.plugin.collect_steps import collect

    root = Path.cwd()
    collected = collect(root)
    path = root / "suites" / "steps.lock"
    if write:
        typer.echo(f"{path.relative_to(root)}: {len(steps_lock.write(path, collected))} steps")
        return
    steps_lock.compare(steps_lock.read(path), collected)
    typer.echo(f"{path.relative_to(root)}: {len(collected)} steps, as collected")
