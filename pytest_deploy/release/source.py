"""What a release is made from, as git tells it: the commit of a checkout, its files, and who wrote it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_deploy.errors import Refused
from pytest_deploy.release import git
from pytest_deploy.workspace import OWN_FOLDERS

_TRAILER = re.compile(r"^\s*co-authored-by\s*:(.*)", re.IGNORECASE | re.MULTILINE)
_EMAIL = re.compile(r"[^\s<>]+@[^\s<>]+")
_NOBODY: Final = "(nobody)"
"""Stands for an author, committer or co-author whom a commit does not name: nobody of a roster, and so it blocks."""


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
    commit = git.text(root, "rev-parse", "HEAD")
    dirty = bool(git.text(root, "status", "--porcelain", "--untracked-files=normal")) or _has_unwatched_files(root)
    described = git.text(root, "describe", "--tags", "--always", "--abbrev=12")
    # --always answers with the bare hash where no tag is in reach.
    version = f"0.0.0+g{commit[:12]}" if commit.startswith(described) else described
    return Source(commit, git.text(root, "branch", "--show-current"), version + (".dirty" if dirty else ""), dirty)


def files(root: Path, folder: str) -> tuple[Path, ...]:
    """The files under `folder` that git tracks or would track, sorted; never the record or private state, whatever git ignores."""
    listed = git.text(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", folder)
    names = sorted({name for name in listed.split("\0") if name and name.partition("/")[0] not in OWN_FOLDERS})
    return tuple(root / name for name in names if (root / name).is_symlink() or (root / name).is_file())


def tree_digest(root: Path, folders: Sequence[str]) -> str:
    """SHA-256 hex over names and bytes of the files under `folders`."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in files(root, folder):
            content = hashlib.sha256(read_as_kept(path)).hexdigest()
            digest.update(f"{content}  {path.relative_to(root).as_posix()}\n".encode())
    return digest.hexdigest()


def read_as_kept(path: Path) -> bytes:
    """What git keeps of a path: a file's bytes, and of a link where it leads."""
    return os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()


def _has_unwatched_files(root: Path) -> bool:
    """Whether the index says of any file that its changes are not to be seen: a small letter, or S for skipped."""
    return any(line[:1].islower() or line[:1] == "S" for line in git.text(root, "ls-files", "-v").splitlines())


# --- who wrote it


def authors(root: Path, commit: str, since: str | None) -> tuple[str, ...]:
    """E-mails (lower case, sorted) of everybody who had a hand in `since..commit`; in all history where `since` is None.

    Where history was rewritten, in every commit that `since` does not hold. An empty e-mail is given as `(nobody)`. Raises
    Refused where that cannot be told: a shallow clone, or a commit that this clone does not have.
    """
    if git.history(root, "rev-parse", "--is-shallow-repository").strip() != "false":
        raise Refused(
            "this clone is shallow, so who wrote what is released cannot be told: fetch it whole (fetch-depth: 0)"
        )
    for revision in (commit, *([since] if since else [])):
        try:
            git.history(root, "cat-file", "-e", f"{revision}^{{commit}}")
        except Refused:
            raise Refused(
                f"commit {revision} is not in this clone: fetch it whole (fetch-depth: 0), and keep released commits"
            ) from None
    form = ["-z", "--encoding=UTF-8", "--no-show-signature", "--format=%ae%x00%ce%x00%B"]
    fields = iter(git.history(root, "log", *form, commit, *(["--not", since] if since else [])).split("\0"))
    emails = {
        email
        for author, committer, message in zip(fields, fields, fields, strict=False)
        for email in (author, committer, *_co_authors(message))
    }
    return tuple(sorted({email.strip().lower() or _NOBODY for email in emails}))


def _co_authors(message: str) -> Iterator[str]:
    """The e-mail of each co-author; of a trailer without one what it says, which is nobody's in a roster and so blocks."""
    for trailer in _TRAILER.findall(message):
        yield from _EMAIL.findall(trailer) or [trailer.strip()]
