"""What a release is made from, as git tells it: the commit of a checkout, its files, and who wrote it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.policy.policy import Policy
from pytest_deploy.release import git
from pytest_deploy.workspace import OWN_FOLDERS

HERE: Final = "."
"""The folder of deploy.yaml, which the paths of a deployment are relative to."""
_TRAILER = re.compile(r"^\s*co-authored-by\s*:(.*)", re.IGNORECASE | re.MULTILINE)
_EMAIL = re.compile(r"[^\s<>]+@[^\s<>]+")
_LOGIN_OF_A_RUNNER = re.compile(r"gha-creds-[0-9A-Za-z]+\.json")
"""What google-github-actions/auth writes into the workspace of a job, and takes away at its end."""
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
    """`git describe --tags`, of tags with policy's prefix alone, else `0.0.0+g<sha>`; with `.dirty` where the tree is."""
    dirty: bool
    """Whether a file that this deployment is made of differs from the commit's."""


def read(root: Path, policy: Policy | None = None) -> Source:
    """Read the checkout at `root`, the folder of deploy.yaml: it may lie anywhere in its repository.

    Of the rest of the repository nothing is looked at but the service's folder, where `policy` says that it lies there. A file
    that git was told not to look at (`update-index --assume-unchanged`, `--skip-worktree`) makes the tree dirty: nobody can say
    that it is the commit's, and it would go into the artefact. Raises UsageError where it is no git checkout with a commit, or
    the service's folder lies outside it.
    """
    prefix = policy.release.tag_prefix if policy is not None else None
    return read_folders(root, folders_of(policy) if policy is not None else (HERE,), tag_prefix=prefix or "")


def folders_of(policy: Policy) -> tuple[str, ...]:
    """What a deployment is made of, relative to deploy.yaml's folder: that folder, and the service's where it lies elsewhere."""
    return with_source(policy.service.source)


def with_source(folder: str) -> tuple[str, ...]:
    """The checkout's folder, and the service's where it lies elsewhere in the repository."""
    return (HERE, folder) if PurePosixPath(folder).parts[:1] == ("..",) else (HERE,)


def read_folders(root: Path, folders: Sequence[str], *, tag_prefix: str = "") -> Source:
    """`read`, of these folders: what differs elsewhere in the repository is a neighbour's."""
    commit = git.text(root, "rev-parse", "HEAD")
    for folder in folders:
        _refuse_outside(root, folder)
    changed = git.text(root, "status", "--porcelain", "-z", "--untracked-files=normal", "--", *folders).split("\0")
    dirty = any(
        line and not (line.startswith("?? ") and is_login(line[3:])) for line in changed
    ) or _has_unwatched_files(root, folders)
    # In a pattern of git only a prefix of letters, digits, `.`, `_`, `-` and `/` means itself; policy allows no other.
    matching = [f"--match={tag_prefix}*"] if tag_prefix else []
    described = git.text(root, "describe", "--tags", "--always", "--abbrev=12", *matching)
    # --always answers with the bare hash where no tag is in reach.
    version = f"0.0.0+g{commit[:12]}" if commit.startswith(described) else described
    return Source(commit, git.text(root, "branch", "--show-current"), version + (".dirty" if dirty else ""), dirty)


def _refuse_outside(root: Path, folder: str) -> None:
    """Raises UsageError where a folder lies outside the git work tree that `root` lies in."""
    up = sum(part == ".." for part in PurePosixPath(folder).parts)
    below = git.text(root, "rev-parse", "--show-prefix")
    if up > below.count("/"):
        where = f"{below.rstrip('/')}/" if below else "its top"
        raise UsageError(
            f"service.source: {folder} lies outside the git repository (deploy.yaml lies in {where}); a release is a commit, so "
            "right is a folder that the same repository tracks: move it in, or vendor it"
        )


def is_own(name: str) -> bool:
    """Whether a path, relative to the checkout, is private state, of this checkout or a neighbour's, or the record: never released."""
    return name.partition("/")[0] in OWN_FOLDERS or ".deploy" in name.split("/")


def is_login(name: str) -> bool:
    """Whether a path is the login of a GitHub runner, by its name: no part of a release, and no change of its tree."""
    return _LOGIN_OF_A_RUNNER.fullmatch(PurePosixPath(name).name) is not None


def files(root: Path, folder: str) -> tuple[Path, ...]:
    """The files under `folder` that git tracks or would track, sorted; never the record, private state or a runner's login, whatever git ignores."""
    tracked = git.text(root, "ls-files", "-z", "--cached", "--", folder).split("\0")
    others = git.text(root, "ls-files", "-z", "--others", "--exclude-standard", "--", folder).split("\0")
    listed = [*tracked, *(name for name in others if not is_login(name))]
    names = sorted({name for name in listed if name and not is_own(name)})
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


def _has_unwatched_files(root: Path, folders: Sequence[str]) -> bool:
    """Whether the index says of any file that its changes are not to be seen: a small letter, or S for skipped."""
    listed = git.text(root, "ls-files", "-v", "--", *folders)
    return any(line[:1].islower() or line[:1] == "S" for line in listed.splitlines())


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
