"""A stack of this project's own infrastructure, on this machine: the real program, the real engine, a state in a folder.

The one thing that is not real is Google's plug-in: `tests/pulumi_resource_gcp.py` stands in for it, before a loopback API that
the test owns. `make infrastructure` makes what it takes: the engine from Go modules, its SDK in an environment of its own.
"""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from pytest_deploy.platform.infrastructure import Applied, InterruptedUpdate, Preview
from pytest_deploy.platform.pulumi.settings import StackSettings
from pytest_deploy.platform.pulumi.stack import PulumiStack
from tests.google_resources import GoogleResources
from tests.required_programs import missing

ROOT: Final = Path(__file__).parent.parent
STACK: Final = "test"
DEADLINE_S: Final = 300.0

SERVICE: Final = "gcp:cloudrunv2/service:Service"
BUCKET: Final = "gcp:storage/bucket:Bucket"
DATABASE: Final = "gcp:sql/databaseInstance:DatabaseInstance"
CHANNEL: Final = "gcp:monitoring/notificationChannel:NotificationChannel"
REPOSITORY: Final = "gcp:artifactregistry/repository:Repository"
ACCOUNT: Final = "gcp:serviceaccount/account:Account"

_CONFIGURATION: Final = """\
config:
  gcp:project: example-diary-test
  gcp:region: us-east4
  diary:alertEmail: on-call@example.org
  diary:databaseTier: db-custom-1-3840
"""
_SMALL_PROGRAM: Final = """\
from pulumi_gcp import storage

storage.Bucket("records", name="records", project="example-diary-test", location="US-EAST4", storage_class="STANDARD")
"""
_PLUGIN: Final = "resource-gcp-v10.2.0"


def pulumi() -> Path:
    """The engine that `.ci/pulumi/build` built; skips, or fails under CI=true, where it was not."""
    text = (ROOT / ".ci/pulumi/go.mod").read_text(encoding="utf-8")
    version = re.search(r"^(?:require )?\s*github\.com/pulumi/pulumi/pkg/v3 (v\S+)", text, re.MULTILINE)
    assert version is not None
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    built = cache / "pytest-deploy/pulumi" / version[1] / "bin/pulumi"
    if not built.is_file():
        missing("Pulumi's engine", "run `make infrastructure`; it takes Go and Go's module proxy")
    return built


def python() -> Path:
    """The interpreter with Pulumi's SDK; skips, or fails under CI=true, where there is none."""
    found = Path(sys.prefix) / "infrastructure/bin/python"
    if not found.is_file():
        missing("Pulumi's SDK", "run `make infrastructure`; it is installed into an environment of its own")
    return found


@dataclass
class Project:
    """One stack, its program in a folder of its own, and what there is at Google."""

    folder: Path
    google: GoogleResources
    stack: PulumiStack

    @property
    def program(self) -> Path:
        """The folder of the Pulumi program: a copy of infrastructure/, for the test to edit."""
        return self.folder / "program"

    def release(self, name: str) -> Path:
        """Another copy of the program as it is now: that of another commit."""
        return Path(shutil.copytree(self.program, self.folder / name))

    def edit(self, file: str, old: str, new: str) -> None:
        """Change the program in one place."""
        path = self.program / file
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def resource(self, name: str, kind: str = "") -> str:
        """The URN of the program's resource of this name, of that type where several have it."""
        found = [urn for urn in self.stack.state(self.program).resources if urn.endswith(f"{kind}::{name}")]
        assert len(found) == 1, found
        return found[0]

    def apply(
        self,
        approved: Preview | None = None,
        *,
        may_destroy: frozenset[str] = frozenset(),
        begin: Callable[[], None] = lambda: None,
    ) -> Applied:
        """Apply the program, approved as it is."""
        return self.stack.apply(
            self.program,
            approved=approved or self.stack.preview(self.program),
            may_destroy=may_destroy,
            message="run r-1",
            deadline_s=DEADLINE_S,
            begin=begin,
        )

    def apply_by_hand(self, program: Path) -> Applied:
        """Apply a program outside any run, as a person at a terminal does."""
        preview = self.stack.preview(program)
        return self.stack.apply(
            program, approved=preview, may_destroy=frozenset(), message="by hand", deadline_s=DEADLINE_S
        )

    def keep(self, folder: Path) -> None:
        """Write program, state and resources into a new folder: see `kept_project`."""
        written = folder.with_name(f"{folder.name}-being-written")
        for name in ("program", "state"):
            shutil.copytree(self.folder / name, written / name)
        kept = [[kind, id_, one] for (kind, id_), one in self.google.resources.items()]
        (written / "google.json").write_text(json.dumps([self.google.made, kept]), encoding="utf-8")
        written.rename(folder)

    def locks(self) -> list[Path]:
        """The stack's locks, as files of the backend."""
        return sorted((self.folder / "state").rglob("locks/**/*.json"))


@contextmanager
def new_project(folder: Path) -> Iterator[Project]:
    """A stack without resources."""
    engine, interpreter = pulumi(), python()
    program = folder / "program"
    shutil.copytree(ROOT / "infrastructure", program, ignore=shutil.ignore_patterns("__pycache__"))
    (program / "Pulumi.test.yaml").write_text(_CONFIGURATION, encoding="utf-8")
    google = GoogleResources()
    with _opened(folder, google, engine, interpreter) as project:
        project.stack.init(program)
        yield project


@contextmanager
def small_project(folder: Path, program: Path) -> Iterator[Project]:
    """A stack without resources, of a program of one bucket, in a folder of its own: for whole deployments, which are long enough."""
    engine, interpreter = pulumi(), python()
    program.mkdir()
    for name, text in (("Pulumi.yaml", "name: diary\nruntime: python\n"), ("Pulumi.test.yaml", _CONFIGURATION)):
        (program / name).write_text(text, encoding="utf-8")
    (program / "__main__.py").write_text(_SMALL_PROGRAM, encoding="utf-8")
    google = GoogleResources()
    with _opened(folder, google, engine, interpreter) as project:
        project.stack.init(program)
        yield project


@contextmanager
def kept_project(kept: Path, folder: Path) -> Iterator[Project]:
    """The stack that `keep` wrote."""
    for name in ("program", "state"):
        shutil.copytree(kept / name, folder / name)
    made, resources = json.loads((kept / "google.json").read_text(encoding="utf-8"))
    google = GoogleResources({(kind, id_): one for kind, id_, one in resources}, made=made)
    with _opened(folder, google, pulumi(), python()) as project:
        yield project


@contextmanager
def copied_project(original: Project, folder: Path) -> Iterator[Project]:
    """The same stack, state and resources again, for a test of its own."""
    for name in ("program", "state"):
        shutil.copytree(original.folder / name, folder / name)
    google = GoogleResources(resources=copy.deepcopy(original.google.resources), made=original.google.made)
    with _opened(folder, google, original.stack.settings.pulumi, original.stack.settings.python) as project:
        yield project


@contextmanager
def _opened(folder: Path, google: GoogleResources, engine: Path, interpreter: Path) -> Iterator[Project]:
    plugin = folder / "home/plugins" / _PLUGIN / "pulumi-resource-gcp"
    plugin.parent.mkdir(parents=True)
    plugin.write_text(
        f'#!/bin/sh\nexec "{interpreter}" "{ROOT / "tests/pulumi_resource_gcp.py"}" "$@"\n', encoding="utf-8"
    )
    plugin.chmod(0o755)
    (folder / "state").mkdir(exist_ok=True)
    with google.serving() as address:
        settings = StackSettings(
            stack=STACK,
            backend=f"file://{folder / 'state'}",
            pulumi=engine,
            python=interpreter,
            environment={"PULUMI_CONFIG_PASSPHRASE": "canary-7c1f", "PULUMI_GCP_STAND_IN": address},
            home=folder / "home",
            stop_s=10,
        )
        yield Project(folder, google, PulumiStack(settings))


@contextmanager
def update_in_background(project: Project) -> Iterator[subprocess.Popen[str]]:
    """`apply` in a process of its own, as a run's: for the test to kill. It prints what it ended with."""
    settings = project.stack.settings
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from pytest_deploy.platform.pulumi.settings import StackSettings\n"
        "from pytest_deploy.platform.pulumi.stack import PulumiStack\n"
        "stack, backend, pulumi, python, home, program, address = sys.argv[1:]\n"
        "settings = StackSettings(stack=stack, backend=backend, pulumi=Path(pulumi), python=Path(python), home=Path(home),\n"
        "    environment={'PULUMI_CONFIG_PASSPHRASE': 'canary-7c1f', 'PULUMI_GCP_STAND_IN': address}, stop_s=10)\n"
        "stack = PulumiStack(settings)\n"
        "program = Path(program)\n"
        "stack.apply(program, approved=stack.preview(program), may_destroy=frozenset(), message='run r-1', deadline_s=120)\n"
    )
    arguments = [
        settings.stack,
        settings.backend,
        str(settings.pulumi),
        str(settings.python),
        str(settings.home),
        str(project.program),
        settings.environment["PULUMI_GCP_STAND_IN"],
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def interrupted_just_now(*, host: str = "", began_ago: timedelta = timedelta(minutes=5)) -> InterruptedUpdate:
    """An update of a run on this machine that died by now."""
    now = datetime.now(UTC)
    return InterruptedUpdate(frozenset({host or socket.gethostname()}), now - began_ago, now)


def reached_by(original: PulumiStack, **changes: object) -> PulumiStack:
    """The same stack, reached otherwise."""
    return PulumiStack(replace(original.settings, **changes))  # type: ignore[arg-type]
