"""Where only commits are deployed, the process runs what the commit holds: no other file, and no compiled module of the checkout.

Nor does PATH give another program than those that judge (record/programs.py).

Asked before a conftest is imported: what a conftest could change is not asked any more once one has run.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import pytest_deploy
from pytest_deploy.errors import DeployError
from pytest_deploy.plugin import cached_modules
from pytest_deploy.plugin.options import workspace_of
from pytest_deploy.policy.load import policy_of
from pytest_deploy.program import hand_down
from pytest_deploy.record import programs
from pytest_deploy.release import git, source, tree
from pytest_deploy.workspace import Workspace

PREFIX_VARIABLE: Final = "PYTHONPYCACHEPREFIX"
_set_here: Final[set[str]] = set()
_STARTED_AS: Final = frozenset({"pytest", "py.test", "pytest.exe"})


def require(early_config: pytest.Config) -> None:
    """Refuse a checkout that differs from its commit, where the environment deploys commits only; keep out of its bytecode.

    The process is started anew, once and before anything is judged, where the product itself lies in the checkout: it was
    imported by then, perhaps from a compiled module that is not of its source. Raises pytest.UsageError (exit 4).
    """
    workspace = workspace_of(early_config, early_config.known_args_namespace)
    try:
        policy = policy_of(workspace, tuple(early_config.known_args_namespace.deploy_set))
    except DeployError:
        return  # what is wrong with deploy.yaml is said where it is read, and nothing starts by it
    if policy.dirty_tree:
        return
    _keep_out_of_caches(workspace)
    try:
        programs.use(policy.programs)
        programs.refuse_strangers(workspace.environment)
        commit = git.text(workspace.root, "rev-parse", "HEAD")
        read_whole = ["suites", *(folder for folder in (policy.migrations, policy.seeds) if folder)]
        found = tree.differences(workspace.root, commit, read_whole, source.folders_of(policy))
        names = [entry.name for entry in tree.entries(workspace.root, commit)]
        found += cached_modules.foreign(workspace.root, names, early_config)
        tree.refuse(found, commit, workspace.environment)
    except DeployError as error:
        raise pytest.UsageError(f"nothing was started: {error}") from None


def is_ours(prefix: str) -> bool:
    """Whether PYTHONPYCACHEPREFIX is what this process set itself."""
    return prefix in _set_here


def private_bytecode(root: Path) -> Path | None:
    """The folder for this user's compiled modules, outside the checkout `root`; None where no such folder can be made."""
    for folder in _candidates():
        if folder.resolve().is_relative_to(root.resolve()):
            continue
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = folder.lstat()
        except OSError:
            continue
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022:
            return folder
    return None


def _candidates() -> Iterator[Path]:
    cache = os.environ.get("XDG_CACHE_HOME", "")
    if cache.startswith("/"):
        yield Path(cache) / "pytest-deploy" / "bytecode"
    if os.environ.get("HOME", "").startswith("/"):
        yield Path(os.environ["HOME"]) / ".cache" / "pytest-deploy" / "bytecode"
    yield Path("/var/tmp") / f"pytest-deploy-bytecode-{os.geteuid()}"  # noqa: S108 -- whose it is was checked above


def _keep_out_of_caches(workspace: Workspace) -> None:
    folder = private_bytecode(workspace.root)
    if folder is None:
        raise pytest.UsageError(
            "nothing was started: there is no private folder for compiled modules, and those of the checkout are not read; "
            "let XDG_CACHE_HOME name a folder that only this user can write to"
        )
    # Workers and the programs that steps start are told too.
    os.environ[PREFIX_VARIABLE] = str(folder)
    _set_here.add(str(folder))
    in_checkout = Path(pytest_deploy.__file__).resolve().is_relative_to(workspace.root.resolve())
    if in_checkout and sys.pycache_prefix != str(folder):
        if Path(sys.argv[0]).name not in _STARTED_AS and not sys.argv[0].endswith("pytest/__main__.py"):
            raise pytest.UsageError(
                f"nothing was started: pytest_deploy lies in this checkout, and {workspace.environment} runs what its commit holds, "
                "so the process has to be started anew; start it as `python -m pytest`"
            )
        os.environ |= hand_down()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 -- the same words once more
    sys.pycache_prefix = str(folder)
