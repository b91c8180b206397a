"""`pytest-deploy rehearse`: staging, then production at the next open instant, with throw-away keys, each command shown as it runs.

Real gates, real signatures, the embedded platform; recorded apart under reports/rehearsal/. Nothing of it counts for real.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from pytest_deploy.approvals.rehearsal_roster import prepare
from pytest_deploy.commands import say
from pytest_deploy.errors import Failed, UsageError
from pytest_deploy.gates.registry import Gatekeeper, earliest
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.load import policy_of
from pytest_deploy.policy.policy import StagingSmoke
from pytest_deploy.program import NAME, hand_down
from pytest_deploy.release import source
from pytest_deploy.release.candidate import ReleaseCandidate
from pytest_deploy.release.request import pending
from pytest_deploy.workspace import Workspace

SHORTENED: Final = ("health.watch_s=1", "health.interval_s=0.25", "traffic.settle_s=0")
"""A rehearsal need not watch for a quarter of an hour; it says so, and the record does."""
STAGED_BEFORE: Final = timedelta(hours=1)
"""Staging is deployed to so long before the environment it vouches for."""
APPROVED_WITHIN: Final = timedelta(minutes=10)
"""The run begins so long after its plan."""
TIMED: Final = ("window", "blackout", "rate-limit")
"""The gates that decide when an environment is open."""


def rehearse(env: Annotated[str, typer.Argument(metavar="ENV")] = "production") -> None:
    """Rehearse a whole release: the environment that vouches first, then ENV at its next open instant."""
    environment = _environment(env)
    now = datetime.now(UTC)
    typer.echo(f"rehearsing {env} with its own policy, on the embedded platform; nothing here counts for real")
    typer.echo(f"shortened, and recorded so: {', '.join(SHORTENED)} (the policy's watch is not shown by this)")

    # 1. The clock is set to the next instant at which it may be deployed to.
    at = _next_open(environment)
    if at > now:
        typer.echo(f"{env} is closed now; its next open instant is {at:%A %Y-%m-%d %H:%M} UTC: the clock is set to it")

    # 2. The environment that vouches for it is deployed to first.
    smoke = environment.policy.staging_smoke
    staging = [smoke.environment] if smoke is not None and smoke.environment else []
    with _platforms_open(*staging, env):
        if smoke is not None and staging:
            _stage(smoke.environment, smoke, at)
        _deploy(env, at)

    # 3. What was recorded verifies.
    typer.echo("")
    typer.echo("what was recorded, verified from the files alone:")
    for rehearsed in (*staging, env):
        _run(NAME, "verify", f"reports/rehearsal/{rehearsed}")


def _environment(name: str) -> Environment:
    workspace = Workspace(Path.cwd(), name, rehearsal=True)
    return Environment(workspace, policy_of(workspace, SHORTENED))


@contextmanager
def _platforms_open(*names: str) -> Iterator[None]:
    """Keep the platforms from command to command; they start beside the first command, which waits for no more than its own."""
    environments = [_environment(name) for name in names]
    try:
        with ThreadPoolExecutor(len(environments)) as starting:
            opened = [starting.submit(_open_platform, environment) for environment in environments]
            yield
        for platform in opened:
            platform.result()
    finally:
        for environment in environments:
            environment.close()


def _next_open(environment: Environment) -> datetime:
    prepare(environment.workspace, environment.policy)
    candidate = ReleaseCandidate("deploy", "", source.read(Path.cwd()).commit, None, None, "", None)
    gates = Gatekeeper(environment, candidate)
    start = earliest({name: gates.judge(name) for name in TIMED}, datetime.now(UTC))
    if start.at is None:
        name = environment.policy.environment
        raise UsageError(f"{name} has no open instant within a year: {'; '.join(start.still_needed)}")
    return start.at


def _stage(name: str, rule: StagingSmoke, at: datetime) -> None:
    """Deployed there as long before as it has to soak; smoked again where it is too old by then."""
    soak, allowed = timedelta(hours=rule.soak_h), timedelta(hours=rule.within_h)
    began = at - STAGED_BEFORE - soak  # its smoke ends some minutes after it begins, and a soak counts from there
    _deploy(name, began)
    if at - began >= allowed:
        _run("pytest", *_options(name), "--deploy-pipeline=smoke", f"--deploy-at={_instant(at - STAGED_BEFORE)}")


def _options(name: str) -> list[str]:
    return [f"--deploy-env={name}", "--deploy-rehearse", *(f"--deploy-set={setting}" for setting in SHORTENED)]


def _deploy(name: str, at: datetime) -> None:
    """Plan, sign for every role, run."""
    options = _options(name)
    _run("pytest", *options, "--deploy-pipeline=plan", f"--deploy-at={_instant(at)}")
    environment = _environment(name)
    commit = source.read(Path.cwd()).commit
    (request,) = [waiting for waiting in pending(environment.log.history(), at) if waiting.commit == commit]
    for role in environment.policy.approval.roles:
        _run(NAME, "approve", request.run, "--role", role, "--yes")
    _run("pytest", *options, f"--deploy-run={request.run}", f"--deploy-at={_instant(at + APPROVED_WITHIN)}")


def _run(*words: str) -> None:
    typer.echo("")
    say(f"$ {shlex.join(words)}")
    program = [sys.executable, "-m", {"pytest": "pytest", NAME: "pytest_deploy"}[words[0]]]
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTEST_ADDOPTS")
    } | hand_down()
    code = subprocess.run([*program, *words[1:]], env=variables, check=False).returncode
    if code != 0:
        raise Failed(f"`{shlex.join(words)}` ended with {code}; what it printed above says why")


def _open_platform(environment: Environment) -> None:
    environment.platform  # noqa: B018 -- opened by being named


def _instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
