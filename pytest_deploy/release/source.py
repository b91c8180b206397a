"""What a release is made of, as git tells it: the commit of a checkout, who wrote it, and the artefact of its files.

Git is asked with none of the caller's GIT_* variables, which could name another repository or index than the checkout's,
and shows commits as they were hashed: neither `git replace` nor a graft gives one another author or another parent.

The artefact is one archive whose bytes depend on nothing but its content: names sorted, times and owners zero, modes
reduced to 0644 and 0755, no compression. The same files give the same digest on every machine and at every time. (A
container image takes its place where the platform runs containers.)
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_deploy.errors import Refused, UsageError

_GIT_TIMEOUT_S: Final = 60
_AS_HASHED: Final = {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_GRAFT_FILE": os.devnull}
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
    commit = _text(root, "rev-parse", "HEAD")
    dirty = bool(_text(root, "status", "--porcelain", "--untracked-files=normal")) or _has_unwatched_files(root)
    described = _text(root, "describe", "--tags", "--always", "--abbrev=12")
    # --always answers with the bare hash where no tag is in reach.
    version = f"0.0.0+g{commit[:12]}" if commit.startswith(described) else described
    return Source(commit, _text(root, "branch", "--show-current"), version + (".dirty" if dirty else ""), dirty)


def files(root: Path, folder: str) -> tuple[Path, ...]:
    """The files under `folder` that git tracks or would track, sorted: what an artefact is made of."""
    listed = _text(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", folder)
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


def _has_unwatched_files(root: Path) -> bool:
    """Whether the index says of any file that its changes are not to be seen: a small letter, or S for skipped."""
    return any(line[:1].islower() or line[:1] == "S" for line in _text(root, "ls-files", "-v").splitlines())


# --- the artefact


def build_artefact(root: Path, folder: str, into: Path) -> Path:
    """Write the archive of `folder` into the folder `into`; its file name is the SHA-256 hex of its bytes, `.tar`.

    Raises UsageError where `folder` holds no file that git knows or would know.
    """
    paths = files(root, folder)
    if not paths:
        raise UsageError(f"service.source: {folder} holds no file; right is the folder of the service, tracked by git")
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=into, suffix=".part", delete=False) as part:
        with tarfile.open(fileobj=part, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for path in paths:
                with path.open("rb") as content:
                    archive.addfile(_tar_entry(path, path.relative_to(root / folder).as_posix()), content)
        part.flush()
    written = Path(part.name)
    return written.rename(into / f"{hashlib.sha256(written.read_bytes()).hexdigest()}.tar")


def registry_tag(version: str) -> str:
    """A version as a registry's tag: registries know no `+`."""
    return version.replace("+", "-")


def _tar_entry(path: Path, name: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    status = path.stat()
    entry.size = status.st_size
    entry.mode = 0o755 if status.st_mode & 0o100 else 0o644
    return entry


# --- who wrote it


def authors(root: Path, commit: str, since: str | None) -> tuple[str, ...]:
    """E-mails (lower case, sorted) of everybody who had a hand in `since..commit`; in all history where `since` is None.

    Where history was rewritten, in every commit that `since` does not hold. An empty e-mail is given as `(nobody)`. Raises
    Refused where that cannot be told: a shallow clone, or a commit that this clone does not have.
    """
    if _history(root, "rev-parse", "--is-shallow-repository").strip() != "false":
        raise Refused(
            "this clone is shallow, so who wrote what is released cannot be told: fetch it whole (fetch-depth: 0)"
        )
    for revision in (commit, *([since] if since else [])):
        try:
            _history(root, "cat-file", "-e", f"{revision}^{{commit}}")
        except Refused:
            raise Refused(
                f"commit {revision} is not in this clone: fetch it whole (fetch-depth: 0), and keep released commits"
            ) from None
    form = ["-z", "--encoding=UTF-8", "--no-show-signature", "--format=%ae%x00%ce%x00%B"]
    fields = iter(_history(root, "log", *form, commit, *(["--not", since] if since else [])).split("\0"))
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


# --- git


class _GitFailed(Exception):
    """Git did not do what it was asked."""


def setting(name: str) -> str:
    """What the caller's own git configuration says of a key, e.g. `user.signingkey`; empty where it says nothing."""
    try:
        return _git("config", name, environ=os.environ).decode(errors="replace").strip()
    except (_GitFailed, FileNotFoundError, subprocess.TimeoutExpired):
        return ""


def _text(root: Path, *words: str) -> str:
    """What git says of a checkout. Raises UsageError where git is missing, or `root` is no checkout with a commit."""
    try:
        return os.fsdecode(_git("-C", str(root), *words, environ=_environ())).strip()
    except FileNotFoundError:
        raise UsageError("git is not installed: a release is a commit, and git names it; install git") from None
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"git {words[0]} did not answer: {error}") from None
    except _GitFailed as error:
        raise UsageError(
            f"{root} is no git checkout with a commit (git {words[0]}: {error}); a release is a commit: "
            "run `git init` and commit, or run in a clone"
        ) from None


def _history(root: Path, *words: str) -> str:
    """What git says of commits. Raises Refused: who wrote what is released is a question that must be answered."""
    try:
        return _git("-C", str(root), *words, environ=_environ()).decode(errors="replace")
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise Refused(f"git {words[0]} did not answer: {error}") from None
    except _GitFailed as error:
        raise Refused(f"git {words[0]}: {error}") from None


def _environ() -> Mapping[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | _AS_HASHED


def _git(*words: str, environ: Mapping[str, str]) -> bytes:
    ran = subprocess.run(
        ["git", *words],
        env={**environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_GIT_TIMEOUT_S,
        check=False,
    )
    if ran.returncode:
        raise _GitFailed(ran.stderr.decode(errors="replace").strip())
    return ran.stdout
