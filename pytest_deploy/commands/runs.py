"""Commands that run something: deployments, rehearsals, migrations, the embedded platform, recovery."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pytest_deploy.commands.app import Env, Rehearse, app
from pytest_deploy.errors import UsageError
from pytest_deploy.workspace import Workspace


@app.command()
def run(
    env: Env,
    pipeline: Annotated[str, typer.Option(metavar="PIPELINE", help="which pipeline to run")] = "deploy",
    rest: Annotated[list[str] | None, typer.Argument(metavar="[-- PYTEST OPTIONS]")] = None,
) -> None:
    """Print the pytest line of a deployment, and become it."""
    words = [sys.executable, "-m", "pytest", f"--deploy-env={env}", f"--deploy-pipeline={pipeline}", *(rest or [])]
    typer.echo(" ".join(["pytest", *words[3:]]))
    os.execv(sys.executable, words)  # noqa: S606 -- no shell is what we want


@app.command()
def rehearse(env: Annotated[str, typer.Argument(metavar="ENV")] = "production") -> None:
    """Walk through a rehearsed release: the environment that vouches first, then ENV at its next open instant."""
    from pytest_deploy.commands.rehearse import Walk

    Walk(Path.cwd(), typer.echo).through(env)


@app.command()
def recover(
    env: Env,
    rehearse: Rehearse = False,  # noqa: FBT002 -- typer makes flags of booleans
    clock: Annotated[  # noqa: FBT002
        bool,
        typer.Option(
            "--clock", help="first let the record's time start again, where a wrong clock wrote into the future"
        ),
    ] = False,
) -> None:
    """Finish what a run left behind: explain, undo or complete, close. 0: consistent, no run open; 20: a person is needed."""
    from pytest_deploy.commands.recover import mend_clock
    from pytest_deploy.commands.recover import recover as finish

    if clock:
        mend_clock(Path.cwd(), env, typer.echo, rehearsal=rehearse)
    raise typer.Exit(finish(Path.cwd(), env, typer.echo, rehearsal=rehearse))


@app.command()
def migrate(
    word: Annotated[str, typer.Argument(metavar="status|check|dry-run|up|down")],
    env: Env,
    to: Annotated[str | None, typer.Option(metavar="VERSION", help="up or down to this version; 0 is none")] = None,
) -> None:
    """What is applied or faulty, what would happen; up and down only where policy asks for no approval."""
    from pytest_deploy.commands.migrate import opened

    if word not in {"status", "check", "dry-run", "up", "down"}:
        raise UsageError(f"deploy.py migrate {word}: right is status, check, dry-run, up or down")
    if (word == "down") > (to is not None) or (to is not None and word not in {"up", "down"}):
        raise UsageError("deploy.py migrate: --to VERSION belongs to up (if wanted) and down (always)")
    if to is not None and not to.isdecimal():
        raise UsageError(f"deploy.py migrate: --to {to!r}: right is a version, e.g. 0003; 0 is the empty database")
    with opened(Path.cwd(), env) as migrations:
        said: Mapping[str, Callable[[], Iterator[str]]] = {
            "status": migrations.status,
            "check": migrations.check,
            "dry-run": migrations.dry_run,
            "up": partial(migrations.up, to),
            "down": partial(migrations.down, to or "0"),
        }
        for line in said[word]():
            typer.echo(line)


@app.command()
def steps(
    write: Annotated[bool, typer.Option("--write", help="write suites/steps.lock from what is collected")] = False,  # noqa: FBT002 -- typer makes flags of booleans
    check: Annotated[bool, typer.Option("--check", help="compare suites/steps.lock with what is collected")] = False,  # noqa: FBT002 -- typer makes flags of booleans
) -> None:
    """Write suites/steps.lock from the suites, or check it."""
    if write == check:
        raise UsageError("deploy.py steps: say --write or --check")
    from pytest_deploy.pipeline import steps_lock
    from pytest_deploy.plugin import collect

    root = Path.cwd()
    found = collect.collect(root)
    path = root / "suites" / "steps.lock"
    if write:
        typer.echo(f"{path.relative_to(root)}: {len(steps_lock.write(path, found))} steps")
        return
    steps_lock.compare(steps_lock.read(path), found)
    typer.echo(f"{path.relative_to(root)}: {len(found)} steps, as collected")


@app.command()
def local() -> None:
    """Run the embedded platform in the foreground until Ctrl-C, to click through what serves on it."""
    from pytest_deploy.platform.environment import Environment
    from pytest_deploy.policy.run_context import policy_of

    ending = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    # Blocked before any thread starts, so that sigwait below gets them and nothing else does.
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    workspace = Workspace(Path.cwd(), "local")
    environment = Environment(workspace, policy_of(workspace))
    try:
        state = environment.platform.runtime.state()
        typer.echo(f"service   {state.url}")
        for share in state.shares:
            typer.echo(f"          {share.percent:>3} % {share.revision} {share.url}")
        typer.echo(f"database  psql '{environment.platform.database.owner}'")
        typer.echo("Ctrl-C stops it.")
        signal.sigwait(ending)
    finally:
        environment.close()


@app.command()
def reset(env: Annotated[str, typer.Argument(metavar="local", help="only local can be reset")]) -> None:
    """Archive the local store and start anew: record, database and revisions."""
    from pytest_deploy.commands.reset import reset_local

    if env != "local":
        raise UsageError(f"reset {env}: only `local` can be reset; every other environment's record is kept for good")
    for line in reset_local(Path.cwd()):
        typer.echo(line)
