"""Which source is deployed: commit, branch, version and whether the tree is dirty, as git tells it."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_deploy.errors import UsageError

_GIT_SECONDS = 30


@dataclass(frozen=True)
class Source:
    """The state of the checkout a release is made from."""

    commit: str
    """Full hash."""
    branch: str
    """Empty on a detached head."""
    version: str
    """`git describe --tags`, else `0.0.0+g<sha>`; with `.dirty` where the tree is."""
    dirty: bool


def read(root: Path) -> Source:
    """Read the checkout at `root`. Raises UsageError where it is no git checkout with a commit.

    A file that git was told not to look at (`update-index --assume-unchanged`, `--skip-worktree`) makes the tree dirty:
    nobody can say that it is the commit's, and it would go into the artefact.
    """
    commit = _git(root, "rev-parse", "HEAD")
    dirty = bool(_git(root, "status", "--porcelain", "--untracked-files=normal")) or _unwatched(root)
    described = _git(root, "describe", "--tags", "--always", "--abbrev=12")
    # --always answers with the bare hash where no tag is in reach.
    version = f"0.0.0+g{commit[:12]}" if commit.startswith(described) else described
    return Source(commit, _git(root, "branch", "--show-current"), version + (".dirty" if dirty else ""), dirty)


def files(root: Path, folder: str) -> tuple[Path, ...]:
    """The files under `folder` that git tracks or would track, sorted: what an artefact is made of."""
    listed = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", folder)
    paths = sorted({name for name in listed.split("\0") if name})
    return tuple(root / name for name in paths if (root / name).is_file())


def tree_digest(root: Path, folders: Sequence[str]) -> str:
    """SHA-256 hex over names and bytes of the files under `folders`."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in files(root, folder):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{content}  {path.relative_to(root).as_posix()}\n".encode())
    return digest.hexdigest()


def _unwatched(root: Path) -> bool:
    """Whether the index says of any file that its changes are not to be seen: a small letter, or S for skipped."""
    return any(line[:1].islower() or line[:1] == "S" for line in _git(root, "ls-files", "-v").splitlines())


def _git(root: Path, *words: str) -> str:
    # GIT_DIR, GIT_INDEX_FILE and the like would tell of another repository, or another index, than the checkout's.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        ran = subprocess.run(
            ["git", "-C", str(root), *words],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=_GIT_SECONDS,
        )
    except FileNotFoundError:
        raise UsageError("git is not installed: a release is a commit, and git names it; install git") from None
    if ran.returncode:
        raise UsageError(
            f"{root} is no git checkout with a commit (git {words[0]}: {ran.stderr.strip()}); a release is a commit: "
            "run `git init` and commit, or run in a clone"
        )
    return ran.stdout.strip()
