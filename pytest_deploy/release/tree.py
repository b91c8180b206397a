"""A commit's own files, read from its objects; and whether those on disk are the same, byte for byte.

Git's opinion of the working tree is not asked: filters, attributes, the index's flags, fsmonitor and core.worktree have no
say in it.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_deploy.errors import Refused
from pytest_deploy.release import git
from pytest_deploy.workspace import OWN_FOLDERS

FILE, PROGRAM, LINK, REPOSITORY = "100644", "100755", "120000", "160000"
"""The kinds of entries of a git tree, by their modes; a REPOSITORY is a submodule."""

IMPORTABLE: Final = (".py", ".pyc", ".pyd", ".so", ".pth", ".egg-link")
"""Endings of what Python may run when it lies in a checkout."""
READ_AS_POLICY: Final = (
    "pytest.ini",
    ".pytest.ini",
    "pytest.toml",
    ".pytest.toml",
    "tox.ini",
    "setup.cfg",
    "pyproject.toml",
)
_CACHES: Final = "__pycache__"
"""Of compiled modules, which plugin/cached_modules.py judges; what lies in it under a name that can be imported is judged here."""
_SHOWN: Final = 20


@dataclass(frozen=True)
class Entry:
    """One file, link or submodule of a commit."""

    name: str
    """Relative to the checkout's folder, with slashes."""
    mode: str
    """FILE, PROGRAM, LINK or REPOSITORY."""
    object_id: str
    """Git's hash of its content, hex."""


def entries(root: Path, commit: str, folder: str = ".") -> tuple[Entry, ...]:
    """What a commit holds below a folder of the checkout, sorted by name.

    Raises UsageError where git is missing or knows no such commit, Refused where a name is not UTF-8.
    """
    listed = git.content(root, "ls-tree", "-r", "-z", commit, "--", folder)
    found = []
    for line in filter(None, listed.split(b"\0")):
        facts, _, name = line.partition(b"\t")
        mode, _, object_id = facts.decode().split(" ")
        try:
            found.append(Entry(name.decode(), mode, object_id))
        except UnicodeDecodeError:
            raise Refused(f"{name!r} in commit {commit[:12]}: a name that is not UTF-8; rename the file") from None
    return tuple(sorted(found, key=lambda entry: entry.name))


def contents(root: Path, wanted: Sequence[Entry]) -> Mapping[str, bytes]:
    """The content of each entry, by its object id. Raises Refused where an object is missing, UsageError where git fails."""
    ids = sorted({entry.object_id for entry in wanted})
    answer = git.content(root, "cat-file", "--batch", asked="".join(f"{one}\n" for one in ids).encode())
    found, at = {}, 0
    for object_id in ids:
        end = answer.index(b"\n", at)
        head = answer[at:end].split(b" ")
        if head[-1] == b"missing":
            raise Refused(f"object {object_id} is not in this clone: fetch it whole, without filters, and run again")
        size = int(head[2])
        found[object_id] = answer[end + 1 : end + 1 + size]
        at = end + 1 + size + 1
    return found


def differences(
    root: Path, commit: str, read_whole: Sequence[str] = (), folders: Sequence[str] = (".",)
) -> tuple[str, ...]:
    """How the files on disk differ from the commit's, a line each; and what Python could import that the commit does not hold.

    Args:
        root: The checkout.
        commit: Its full hash.
        read_whole: Folders of which every file is read, whatever its name: what else lies there is named too.
        folders: What is looked at, relative to the checkout; what lies elsewhere in the repository is a neighbour's.
    """
    held = {entry.name: entry for folder in folders for entry in entries(root, commit, folder)}
    found = {
        why for entry in held.values() if (why := _difference(root, entry) or _leads_out(root, entry, held, read_whole))
    }
    for folder in folders:
        found.update(_strays(root, folder, held, read_whole))
    return tuple(sorted(found))


def refuse(found: Sequence[str], commit: str, environment: str) -> None:
    """Raises Refused where a checkout differs from its commit: `found` says in what, a line each."""
    if found:
        more = f"\n  and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        lines = "".join(f"\n  {line}" for line in found[:_SHOWN])
        raise Refused(
            f"{environment} runs what commit {commit[:12]} holds, and this checkout is not that; commit or remove what differs, "
            f"or start in a fresh clone:{lines}{more}"
        )


def _difference(root: Path, entry: Entry) -> str:
    """How what lies on disk differs from an entry of the commit; empty where it does not."""
    path = root / entry.name
    if entry.mode == REPOSITORY:
        return (
            "" if not path.exists() or (path.is_dir() and not any(path.iterdir())) else f"{entry.name} is a submodule"
        )
    try:
        status = path.lstat()
        kept = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
    except OSError as error:
        return f"{entry.name} is missing" if isinstance(error, FileNotFoundError) else f"{entry.name}: {error.strerror}"
    mode = LINK if path.is_symlink() else PROGRAM if status.st_mode & 0o100 else FILE
    if _object_id(kept, len(entry.object_id)) != entry.object_id:
        return f"{entry.name} has other bytes than the commit's"
    return "" if mode == entry.mode else f"{entry.name} has another mode than the commit's ({entry.mode})"


def _leads_out(root: Path, entry: Entry, held: Mapping[str, Entry], read_whole: Sequence[str]) -> str:
    """How a link of the commit has something read, or imported, that is not judged with it; empty where it does not."""
    path = root / entry.name
    if entry.mode != LINK or not path.exists():
        return ""
    target = os.path.relpath(path.resolve(), root.resolve())
    if not path.is_dir():
        return (
            ""
            if target in held
            else f"{entry.name} is a link to {target}, which is not in what is compared with the commit"
        )
    judges = any(f"{a}/".startswith(f"{b}/") for one in read_whole for a, b in ((entry.name, one), (one, entry.name)))
    leaves = Path(target).parts[0] == os.pardir and path.name.isidentifier()
    return f"{entry.name} is a link to the folder {target}: put the files there themselves" if judges or leaves else ""


def _object_id(content: bytes, digits: int) -> str:
    """Git's hash of a file: SHA-1, or SHA-256 in a repository that was made so."""
    kind = "sha1" if digits == 40 else "sha256"  # noqa: PLR2004 -- hex digits of SHA-1
    return hashlib.new(kind, b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _strays(root: Path, start: str, held: Mapping[str, Entry], read_whole: Sequence[str]) -> Iterator[str]:
    """What is in no commit and could be imported, or read as policy, a line each."""
    environment = Path(sys.prefix).resolve()
    for folder, below, names in os.walk(root / start):
        here = Path(folder)
        at = os.path.relpath(here, root)
        top = "" if at == "." else f"{at}/"
        whole = any(f"{top}/".startswith(f"{part.rstrip('/')}/") for part in read_whole)
        # What no import can name (`.venv`, `my-tool`) is looked into only where every file counts; the environment that runs
        # this, never. What a folder says of itself is not asked: a `pyvenv.cfg` beside a package hides nothing from Python.
        below[:] = [
            name
            for name in sorted(below)
            if name not in {".git", "node_modules"}
            and not (not top and name in OWN_FOLDERS)
            and (whole or name.isidentifier())
            and (here / name).resolve() != environment
        ]
        links = [name for name in below if (here / name).is_symlink()]
        for name in [*sorted(names), *links]:
            full = f"{top}{name}"
            if here.name == _CACHES and "." in Path(name).stem:
                continue
            if full not in held and (whole or name in links or name.endswith(IMPORTABLE) or name in READ_AS_POLICY):
                yield f"{full} is not in the commit"
