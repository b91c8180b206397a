"""A checkout of this repository in a folder of its own, in which whole deployments run as real child processes.

Nothing of it outlives the test: `Checkout.open` ends what a hanging run left, and removes the database's files.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
import requests

from pytest_deploy.migrate import ledger, snapshot
from pytest_deploy.platform.embedded import connect
from pytest_deploy.platform.embedded.client import LocalPlatform
from pytest_deploy.platform.embedded.places import ROOT_VARIABLE, Places
from pytest_deploy.platform.embedded.supervisor import marked
from pytest_deploy.record.event import Event, parse_line
from pytest_deploy.workspace import Workspace
from tests.child_process import TIMEOUT_S, Ran, Running
from tests.memory import short_parent
from tests.printed_commands import commands_in, fault_of, why_not_found

REPOSITORY = Path(__file__).parent.parent
ENVIRONMENT = "local"

QUICK = (
    '--deploy-set=service.checks.lint=["true"]',
    '--deploy-set=service.checks.types=["true"]',
    '--deploy-set=service.checks.tests=["true"]',
    "--deploy-set=health.watch_s=0.2",
    "--deploy-set=health.interval_s=0.1",
)
"""The same steps with nothing to wait for: what the service's own checks find is not these stories' business."""


@dataclass(frozen=True)
class Standing:
    """What an environment is: what a rollback must lead back to."""

    shares: Mapping[str, int]
    """Percent by revision, of those above 0."""
    tags: Mapping[str, str]
    """Revision by tag."""
    settled: bool
    """Whether the platform has nothing else to do: what was asked for is what serves."""
    status: int
    """What the serving address answers on /health."""
    body: Any
    """The answer's JSON; its text where it is none."""
    migrations: tuple[str, ...]
    """Versions applied."""
    schema_sha256: str


@dataclass
class Told(Running):
    """A child of a checkout: what it tells people to type, the shell that it was started in runs, and the command line takes."""

    checkout: Path = field(default=Path())

    def wait(self, timeout: float = TIMEOUT_S) -> Ran:
        ran = super().wait(timeout)
        # What programs read (`--format json`) is what was recorded, word for word.
        folder = None if "--format" in self.words else self.checkout
        programs = Path(self.words[0] if "/" in self.words[0] else sys.executable).parent
        faults = [
            fault
            for command in commands_in(ran.stdout + ran.stderr)
            if (fault := fault_of(command) or (folder and why_not_found(command, folder, os.environ["PATH"], programs)))
        ]
        assert not faults, f"{faults}\n{ran.said}"
        return ran


class Checkout:
    """A git checkout of what this repository's working tree holds now, committed."""

    def __init__(self, path: Path, memory: Path, environment: str = ENVIRONMENT, *, rehearsal: bool = False) -> None:
        """Use `Checkout.open`. `memory` is the short folder for sockets and the database's files."""
        self.path = path
        self.memory = memory
        self.environment = environment
        """Whose record and platform are read."""
        self.rehearsal = rehearsal
        self._children: list[Running] = []

    def rehearsing(self, environment: str) -> Checkout:
        """The same checkout, seen as the rehearsal of another environment."""
        seen = Checkout(self.path, self.memory, environment, rehearsal=True)
        seen._children = self._children
        return seen

    @classmethod
    @contextmanager
    def open(cls, folder: Path) -> Iterator[Checkout]:
        """Make one in `folder`/checkout. Ends and removes everything in the end, whatever happened."""
        memory = Path(tempfile.mkdtemp(prefix="pd-", dir=short_parent()))
        # As root, PostgreSQL's own user must come to its folder below.
        memory.chmod(0o711)
        path = folder / "checkout"
        _copy_working_tree(path)
        checkout = cls(path, memory)
        try:
            checkout.git("init", "--quiet", "--initial-branch=main")
            checkout.commit("The tree under test")
            yield checkout
        finally:
            for child in checkout._children:
                child.kill()
            deadline = time.monotonic() + 5
            while checkout.processes() and time.monotonic() < deadline:
                time.sleep(0.05)
            for process in checkout.processes():
                process.kill()
            shutil.rmtree(memory, ignore_errors=True)

    # --- running

    def run(self, *arguments: str, env: Mapping[str, str] | None = None, timeout: float = TIMEOUT_S) -> Ran:
        """`pytest ARGUMENTS` in the checkout, as a child process."""
        return self.start(*arguments, env=env).wait(timeout)

    def deploy(self, *arguments: str, env: Mapping[str, str] | None = None, timeout: float = TIMEOUT_S) -> Ran:
        """A deployment to local with QUICK's settings: `pytest --deploy-env=local …`."""
        return self.run("--deploy-env=local", *QUICK, *arguments, env=env, timeout=timeout)

    def start_deploy(self, *arguments: str) -> Running:
        """The same, not waited for."""
        return self.start("--deploy-env=local", *QUICK, *arguments)

    def deploy_py(self, *arguments: str, env: Mapping[str, str] | None = None, timeout: float = TIMEOUT_S) -> Ran:
        """`python deploy.py ARGUMENTS`. Fails where it ends with another exit code than it says."""
        ran = self.begin(sys.executable, "deploy.py", *arguments, env=env).wait(timeout)
        told = re.findall(r"^\S+ in [0-9.]+ s · exit ([0-9]+)$", ran.stdout, re.MULTILINE)
        assert told[-1:] in ([], [str(ran.code)]), ran.said
        return ran

    def start(self, *arguments: str, env: Mapping[str, str] | None = None) -> Running:
        """`pytest ARGUMENTS`, not waited for."""
        return self.begin(sys.executable, "-m", "pytest", *arguments, env=env)

    def begin(self, *words: str, env: Mapping[str, str] | None = None) -> Running:
        """Any program in the checkout, not waited for."""
        folder = Path(tempfile.mkdtemp(prefix="said-", dir=self.path.parent))
        with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                words,
                cwd=self.path,
                env={**self.environ(), **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        running = Told(process, words, folder, checkout=self.path)
        self._children.append(running)
        return running

    def environ(self) -> dict[str, str]:
        """The child's environment: ours without what this test run put into it."""
        ours = {name: v for name, v in os.environ.items() if not name.startswith(("PYTEST_", "PG"))}
        who = {f"GIT_{role}_{what}": v for role in ("AUTHOR", "COMMITTER") for what, v in _PERSON.items()}
        return {**ours, **who, "GIT_CONFIG_GLOBAL": os.devnull, ROOT_VARIABLE: str(self.memory)}

    # --- the source

    def git(self, *words: str) -> str:
        """Run git in the checkout; what it printed, without the last newline. Fails where git does."""
        done = subprocess.run(
            ["git", *words], cwd=self.path, env=self.environ(), capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, f"git {' '.join(words)}: {done.stderr}"
        return done.stdout.rstrip("\n")

    def commit(self, message: str) -> str:
        """Commit everything; the commit's full hash."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--no-gpg-sign", "-m", message)
        return self.git("rev-parse", "HEAD")

    def write(self, name: str, text: str) -> Path:
        """Write a file of the tree."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    # --- the record

    @property
    def store(self) -> Path:
        return Workspace(self.path, self.environment, rehearsal=self.rehearsal).store

    def run_folder(self, run: str | None = None) -> Path:
        """The folder of a run; of the last one where none is named."""
        return self.store / "runs" / (run or self.last_run())

    def events(self, run: str | None = None) -> list[Event]:
        """The log's events, oldest first: of one run, or all."""
        objects = sorted((self.store / "log").glob("*.event"))
        found = [parse_line(path.read_bytes().partition(b"\n")[0] + b"\n") for path in objects]
        return [event for event in found if run is None or event.run == run]

    def runs(self) -> list[str]:
        """The runs, in the order they were opened."""
        return [event.run for event in self.events() if event.type == "run.opened"]

    def last_run(self) -> str:
        return self.runs()[-1]

    def said(self, type_: str, run: str | None = None) -> list[Mapping[str, Any]]:
        """What the events of this type say in a run, the last one where none is named."""
        return [event.data for event in self.events(run or self.last_run()) if event.type == type_]

    def decided(self, run: str | None = None) -> Mapping[str, Any]:
        """The one `run.decided` of a run."""
        (data,) = self.said("run.decided", run)
        return data

    def step_outcomes(self, run: str | None = None) -> dict[str, str]:
        """Outcome by node id: passed, failed, error, skipped, or not-run. Fails where a step has two."""
        events = self.events(run or self.last_run())
        told = [e for e in events if e.type in {"step.finished", "step.not-run"}]
        found = {event.data["nodeid"]: event.data.get("outcome", "not-run") for event in told}
        assert len(found) == len(told), "a step ended twice"
        return found

    def failing(self, run: str | None = None) -> set[str]:
        """The steps that ran and failed (where nothing was to judge nothing failed), as `smoke/test_api.py::test_x`."""
        ended = self.step_outcomes(run).items()
        return {
            nodeid.partition("suites/")[2]
            for nodeid, outcome in ended
            if outcome not in {"passed", "not-run", "not-applicable"}
        }

    def not_run(self, run: str | None = None) -> dict[str, str]:
        """Cause by node id of the steps that never began."""
        return {data["nodeid"]: data["cause"] for data in self.said("step.not-run", run)}

    def begun(self, step: str, run: str | None = None) -> bool:
        """Whether the log announces this step, by node id."""
        return any(e.type == "step.started" and e.data["nodeid"] == step for e in self.events(run))

    def sessions(self, pattern: str) -> list[Path]:
        """What runs have left, or keep while they last, for the controller; none after a run has ended."""
        return sorted((self.path / ".deploy" / "sessions").glob(f"*/{pattern}"))

    def bytes_below(self, name: str) -> dict[str, bytes]:
        """Every file below a folder of the checkout, by name."""
        top = self.path / name
        return {str(path.relative_to(top)): path.read_bytes() for path in sorted(top.rglob("*")) if path.is_file()}

    # --- the platform

    @property
    def places(self) -> Places:
        return Places(self.path.resolve(), self.memory / _short_name(self.path))

    @contextmanager
    def platform(self) -> Iterator[LocalPlatform]:
        """The platform, opened as any client does."""
        before = os.environ.get(ROOT_VARIABLE)
        os.environ[ROOT_VARIABLE] = str(self.memory)
        try:
            platform = connect(
                self.path,
                environment=self.environment,
                service="diary",
                command=("python", "-m", "diary"),
                rehearsal=self.rehearsal,
            )
        finally:
            os.environ.pop(ROOT_VARIABLE)
            if before is not None:
                os.environ[ROOT_VARIABLE] = before
        try:
            yield platform
        finally:
            platform.close()

    def standing(self) -> Standing:
        """Read what serves and what the database holds; nothing runs after it."""
        with self.platform() as platform:
            state = platform.runtime.state()
            shares: dict[str, int] = {}
            for share in state.shares:
                if share.percent:
                    shares[share.revision] = shares.get(share.revision, 0) + share.percent
            answer = requests.get(f"{state.url}/health", timeout=30)
            with psycopg.connect(platform.database.owner, autocommit=True) as connection:
                applied = tuple(one.version for one in ledger.applied(connection))
            kept = snapshot.snapshot(platform.database.owner, platform.database.programs)
            tags = {share.tag: share.revision for share in state.shares if share.tag}
            is_json = "json" in answer.headers.get("content-type", "")
            body = answer.json() if is_json else answer.text
            standing = Standing(shares, tags, state.settled, answer.status_code, body, applied, kept.sha256)
        self.assert_nothing_runs(10)
        return standing

    def processes(self) -> list[psutil.Process]:
        """What runs on behalf of this checkout: by the platform's mark, by folder, or by the database's files."""
        ours = {process.pid: process for process in marked(f"{self.places.root}:")}
        for process in psutil.process_iter(["cwd", "cmdline", "status"]):
            cwd, words = process.info["cwd"] or "", " ".join(process.info["cmdline"] or [])
            inside = Path(cwd).is_relative_to(self.path) or str(self.memory) in words
            if inside and process.info["status"] != psutil.STATUS_ZOMBIE:
                ours[process.pid] = process
        return list(ours.values())

    def assert_nothing_runs(self, within_s: float = 2.0) -> None:
        """Fail where a process of this checkout still runs after so many seconds."""
        until = time.monotonic() + within_s
        while (left := self.processes()) and time.monotonic() < until:
            time.sleep(0.05)
        assert not left, f"still running after {within_s:g} s: {[_describe(process) for process in left]}"


_PERSON = {"NAME": "Story", "EMAIL": "story@example.org"}


def _short_name(path: Path) -> str:
    return Places.of(path).root.name


def _copy_working_tree(path: Path) -> None:
    """Copy what git tracks or would track; what another hand has just removed is left out.

    The package's compiled modules come along, and those that pytest rewrote, as it does with every plug-in's: each checkout
    would spend seconds on the same 150 files.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    for name in filter(None, listed.stdout.split("\0")):
        source, copy = REPOSITORY / name, path / name
        if source.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy)
    for compiled in (REPOSITORY / "pytest_deploy").rglob("*.pyc"):
        folder = path / compiled.parent.relative_to(REPOSITORY)
        if folder.parent.is_dir():
            folder.mkdir(exist_ok=True)
            shutil.copy2(compiled, folder / compiled.name)


def _describe(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {' '.join(process.cmdline())[:200]}"
    except psutil.Error:
        return f"{process.pid}, gone by now"
