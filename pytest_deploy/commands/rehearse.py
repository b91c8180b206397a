"""`make rehearse`: staging, then production at the next open instant, with throw-away keys, each command shown as it runs.

Real gates, real signatures, the embedded platform; recorded apart under reports/rehearsal/. Nothing of it counts for real.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pytest_deploy.approvals.rehearsal_roster import prepare
from pytest_deploy.errors import Failed, UsageError
from pytest_deploy.gates.earliest import earliest
from pytest_deploy.gates.facts import Gates
from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.run_context import policy_of
from pytest_deploy.release import source
from pytest_deploy.release.candidate import ReleaseCandidate
from pytest_deploy.release.request import pending
from pytest_deploy.workspace import Workspace

SHORTENED = ("health.watch_s=1", "health.interval_s=0.25", "traffic.settle_s=0")
"""A rehearsal need not watch for a quarter of an hour; it says so, and the record does."""
STAGED_BEFORE = timedelta(hours=1)
APPROVED_WITHIN = timedelta(minutes=10)
TIMED = ("window", "blackout", "rate-limit")


class Walk:
    """The walk through one environment and the one it vouches for."""

    def __init__(self, root: Path, say: Callable[[str], None]) -> None:
        self._root = root
        self._say = say

    def through(self, environment: str) -> None:
        """Stage, plan, approve and run. Raises Failed at the first command that does not end as it should."""
        workspace = Workspace(self._root, environment, rehearsal=True)
        policy = policy_of(workspace, SHORTENED)
        now = datetime.now(UTC)
        self._say(
            f"rehearsing {environment} with its own policy, on the embedded platform; nothing here counts for real"
        )
        self._say(f"shortened, and recorded so: {', '.join(SHORTENED)} (the policy's watch is not shown by this)")
        at = self._next_open(workspace)
        if at > now:
            self._say(
                f"{environment} is closed now; its next open instant is {at:%A %Y-%m-%d %H:%M} UTC: the clock is set to it"
            )
        staging = policy.staging_smoke.environment if policy.staging_smoke is not None else ""
        with self._held(*(name for name in (staging, environment) if name)):
            if staging:
                self._deploy(staging, at - STAGED_BEFORE)
            self._deploy(environment, at)
        self._say("")
        self._say("both records, checked without what wrote them:")
        for name in (staging, environment):
            if name:
                self._run("python", "deploy.py", "verify", f"reports/rehearsal/{name}")

    @contextmanager
    def _held(self, *names: str) -> Iterator[None]:
        """Keep the platforms from command to command; they start beside the first command, which waits for no more than its own."""
        workspaces = [Workspace(self._root, name, rehearsal=True) for name in names]
        held = [Environment(workspace, policy_of(workspace, SHORTENED)) for workspace in workspaces]
        try:
            with ThreadPoolExecutor(len(held)) as starting:
                opened = [starting.submit(_open, one) for one in held]
                yield
            for platform in opened:
                platform.result()
        finally:
            for one in held:
                one.close()

    def _next_open(self, workspace: Workspace) -> datetime:
        policy = policy_of(workspace, SHORTENED)
        prepare(workspace, policy)
        environment = Environment(workspace, policy)
        subject = ReleaseCandidate("deploy", "", source.read(self._root).commit, None, None, "", None)
        bound = Gates(environment, subject)
        found = earliest({name: bound.gate(name) for name in TIMED}, datetime.now(UTC))
        if found.at is None:
            raise UsageError(f"{policy.environment} has no open instant within a year: {'; '.join(found.owed)}")
        return found.at

    def _deploy(self, environment: str, at: datetime) -> None:
        """Plan, sign for every role, run."""
        words = [f"--deploy-env={environment}", "--deploy-rehearse", *(f"--deploy-set={one}" for one in SHORTENED)]
        plan = at
        self._run("pytest", *words, "--deploy-pipeline=plan", f"--deploy-at={_instant(plan)}")
        workspace = Workspace(self._root, environment, rehearsal=True)
        policy = policy_of(workspace, SHORTENED)
        held = Environment(workspace, policy)
        (found,) = [one for one in pending(held.log.history(), at) if one.commit == source.read(self._root).commit]
        for role in policy.approval.roles:
            self._run("python", "deploy.py", "approve", found.run, "--role", role)
        self._run("pytest", *words, f"--deploy-run={found.run}", f"--deploy-at={_instant(at + APPROVED_WITHIN)}")

    def _run(self, *words: str) -> None:
        self._say("")
        self._say(f"$ {' '.join(words)}")
        program: Sequence[str] = {"pytest": (sys.executable, "-m", "pytest"), "python": (sys.executable,)}[words[0]]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_ADDOPTS")}
        code = subprocess.run([*program, *words[1:]], cwd=self._root, env=kept, check=False).returncode
        if code != 0:
            raise Failed(f"`{' '.join(words)}` ended with {code}; what it printed above says why")


def _open(environment: Environment) -> None:
    environment.platform  # noqa: B018 -- opened by being named


def _instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
