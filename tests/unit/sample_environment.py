"""An environment of this repository's own deploy.yaml, on a record in a folder of its own and a clock set by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

from pytest_deploy.platform.environment import Environment
from pytest_deploy.policy.load import policy_of
from pytest_deploy.workspace import Workspace
from tests.unit.record.sample_record import HandClock

REPOSITORY = Path(__file__).parents[2]


def environment(root: Path, name: str = "production", *, run: str = "", clock: HandClock | None = None) -> Environment:
    """The named environment rehearsed in `root`; nothing of it is started."""
    if not (root / "deploy.yaml").exists():
        root.mkdir(parents=True, exist_ok=True)
        for file in ("deploy.yaml", "calendar.yaml", "incidents.json"):
            shutil.copy(REPOSITORY / file, root)
        shutil.copytree(REPOSITORY / "migrations", root / "migrations")
    workspace = Workspace(root, name, rehearsal=True)
    return Environment(workspace, policy_of(workspace), run=run, clock=clock or HandClock())
