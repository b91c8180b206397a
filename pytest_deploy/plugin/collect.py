"""The steps that the suites hold now, as `deploy.py steps` needs them: collected by pytest, held against nothing.

`collect` runs pytest in a process of its own, with this module as its plug-in, which writes what it found.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pytest_deploy.errors import CollectionRefused, Fault
from pytest_deploy.pipeline import steps_lock
from pytest_deploy.pipeline.step import Step
from pytest_deploy.plugin.collection import Phase, step_of
from pytest_deploy.policy.phases import PHASES

_INTO = "PYTEST_DEPLOY_SURVEY"
_SECONDS = 120


@pytest.hookimpl(tryfirst=True)
def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A phase's folder becomes a collector of its own, whatever the pipeline."""
    if path.parent == parent.config.rootpath / "suites" and path.name in PHASES:
        return Phase.from_parent(parent, path=path)
    return None


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write what was found, as a lock would."""
    suites = session.config.rootpath / "suites"
    Path(os.environ[_INTO]).write_text(
        steps_lock.render(step_of(item, suites) for item in session.items), encoding="utf-8"
    )


def collect(root: Path) -> tuple[Step, ...]:
    """Collect `root`/suites with pytest. Raises CollectionRefused with pytest's words where that fails."""
    if strays := steps_lock.strays(root / "suites"):
        raise CollectionRefused("files under suites/ that no phase runs", strays)
    folders = [str(root / "suites" / phase) for phase in PHASES if (root / "suites" / phase).is_dir()]
    with tempfile.TemporaryDirectory() as place:
        found = Path(place) / "steps"
        words = [sys.executable, "-m", "pytest", "-p", __name__, "--collect-only", "-qq", f"--rootdir={root}", *folders]
        ran = subprocess.run(
            words,
            cwd=root,
            env=os.environ | {_INTO: str(found)},
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
        if ran.returncode or not folders:
            said = (ran.stdout + ran.stderr).strip()
            raise CollectionRefused("the suites", [Fault("suites", None, "", "pytest could not collect them", said)])
        return steps_lock.read(found)
