"""What `pytest-deploy steps` needs: the steps that there are now, the standard ones and those of suites/, held against nothing.

`collect` runs pytest in a process of its own, configured as a deployment is, with this module as its plug-in: the hooks below are its.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pytest_deploy.bounded_output import WORDS_BYTES, kept_text
from pytest_deploy.errors import CollectionRefused, DeployError, Fault
from pytest_deploy.pipeline import steps_lock
from pytest_deploy.pipeline.steps_lock import Step
from pytest_deploy.plugin import configuration
from pytest_deploy.plugin.collection import Suites, again_in_rollback, step_of
from pytest_deploy.plugin.kept_out import GROUP, comparable
from pytest_deploy.policy.load import environments, load
from pytest_deploy.policy.phases import PHASES
from pytest_deploy.workspace import CONFIG_FILE

_COLLECTED = "PYTEST_DEPLOY_COLLECTED"
"""The variable that names the file into which `collect` has the steps written."""
_COLLECT_S = 120


@pytest.hookimpl(tryfirst=True)
def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """The checkout's suites/ is a collector of its own: every phase of it."""
    return Suites.from_parent(parent, path=path) if path == parent.config.rootpath / "suites" else None


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What is marked to run again in a rollback is a step of it too."""
    again_in_rollback(metafunc)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write what was found, as a lock would, phase by phase."""
    in_order = sorted(map(step_of, session.items), key=lambda step: PHASES.index(step.phase))
    Path(os.environ[_COLLECTED]).write_text(steps_lock.render(in_order), encoding="utf-8")


def collect(root: Path) -> tuple[Step, ...]:
    """Collect the standard steps and `root`/suites with pytest. Raises CollectionRefused with pytest's words where that fails."""
    steps_lock.refuse_strays(root / "suites")
    with tempfile.TemporaryDirectory() as place:
        collected_path = Path(place) / "steps"
        plugins = [word for name in _listed_plugins(root) for word in ("-p", name)]
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", *configuration.words(root), *plugins, "-p", __name__),
                *("--collect-only", "-qq", configuration.SUITES),
            ],
            cwd=root,
            # What else is installed takes no part, as in a deployment.
            env=os.environ | {_COLLECTED: str(collected_path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=_COLLECT_S,
        )
        if ran.returncode:
            output = kept_text((ran.stdout + ran.stderr).strip(), 10 * WORDS_BYTES)
            raise CollectionRefused("the suites", [Fault("suites", None, "", "pytest could not collect them", output)])
        return steps_lock.read(collected_path)


def _listed_plugins(root: Path) -> Iterator[str]:
    """The plug-ins of the distributions that any environment of deploy.yaml lists, by their entry points."""
    listed: set[str] = set()
    with suppress(DeployError):  # what is wrong with deploy.yaml is said where it is read
        file = root / CONFIG_FILE
        for environment in environments(file):
            listed |= set(map(comparable, load(file, environment).plugins))
    for distribution in importlib.metadata.distributions():
        if comparable(distribution.metadata["Name"] or "") in listed:
            yield from (entry.name for entry in distribution.entry_points if entry.group == GROUP)
