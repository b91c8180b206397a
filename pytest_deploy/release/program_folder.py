"""A folder as a commit holds it, written out from git's objects: what runs there is never the working tree's."""

from __future__ import annotations

import posixpath
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_deploy.errors import Refused
from pytest_deploy.release import source, tree


@contextmanager
def written_out(root: Path, commit: str, folder: str) -> Iterator[Path]:
    """A fresh folder of this user's alone with the files of `folder` at a commit; removed afterwards.

    Raises:
        Refused: the commit holds no such folder, or in it what no fresh folder can hold as it is meant (a link, a submodule).
        UsageError: git is missing, or knows no such commit.
    """
    held = [entry for entry in tree.entries(root, commit, folder) if not source.is_own(entry.name)]
    if not held:
        raise Refused(f"commit {commit[:12]} holds no file in {folder}: commit the program, or name its folder")
    if strange := [entry.name for entry in held if entry.mode not in {tree.FILE, tree.PROGRAM}]:
        raise Refused(
            f"{', '.join(strange)} in commit {commit[:12]}: a link or a submodule, and {folder} is run from a fresh folder; "
            "put the files there themselves"
        )
    contents = tree.contents(root, held)
    with tempfile.TemporaryDirectory(prefix="deploy-program-") as name:
        fresh = Path(name).resolve()
        for entry in held:
            path = fresh / posixpath.relpath(entry.name, folder)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents[entry.object_id])
            path.chmod(0o700 if entry.mode == tree.PROGRAM else 0o600)
        yield fresh


def refuse_uncommitted(root: Path, folder: str) -> None:
    """Raises Refused where the folder has uncommitted changes: they would be deployed beside, and never run."""
    state = source.read_folders(root, (folder,))
    if state.dirty:
        raise Refused(
            f"{folder} is run as commit {state.commit[:12]} holds it, and has uncommitted changes: commit or discard them "
            f"(`git status {folder}` lists them)"
        )
