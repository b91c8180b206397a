"""The artefact of a release: one archive whose bytes depend on nothing but its content.

Names are sorted, times and owners zero, modes reduced to 0644 and 0755, nothing is compressed: the same files give the same
digest on every machine and at every time. Of a commit it holds the commit's own objects; of a tree with uncommitted
changes, which only `local` deploys, what lies on disk. (A container image takes its place where the platform runs containers.)
"""

from __future__ import annotations

import hashlib
import io
import os
import posixpath
import re
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.release import source, tree

_PRIVATE_KEY: Final = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----\s+(?:Proc-Type:|Version:|[A-Za-z0-9+/]{16})"
    rb"|PuTTY-User-Key-File-[0-9]+: [a-z]"
)
_LINKS_ON_A_WAY: Final = 40
"""More than these the system does not follow either."""


class _Member(NamedTuple):
    name: str
    """Relative to the folder of the service."""
    mode: str
    """As tree.py has them."""
    content: bytes
    """Of a link: where it leads."""


def build_artefact(root: Path, folder: str, into: Path) -> Path:
    """Write the archive of `folder` into the folder `into`; its file name is the SHA-256 hex of its bytes, `.tar`.

    Args:
        root: The checkout.
        folder: The service's, relative to it; it may lie elsewhere in the same repository.
        into: Where the archive is put; made where it is missing.

    Raises:
        UsageError: `folder` holds no file that git knows or would know, or lies outside the repository.
        Refused: it holds what must not be released (a private key, a runner's login), or what no archive can keep (a submodule, a link that
            leads out of it or nowhere).
    """
    state = source.read_folders(root, source.with_source(folder))
    found = _on_disk(root, folder) if state.dirty else _of_commit(root, folder, state.commit)
    members = sorted(found, key=lambda member: member.name)
    if not members:
        raise UsageError(f"service.source: {folder} holds no file; right is the folder of the service, tracked by git")
    _refuse_what_cannot_be_released(folder, members)
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=into, suffix=".part", delete=False) as part:
        with tarfile.open(fileobj=part, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for member in members:
                archive.addfile(_tar_entry(member), io.BytesIO(member.content))
        part.flush()
    written = Path(part.name)
    return written.rename(into / f"{hashlib.sha256(written.read_bytes()).hexdigest()}.tar")


def registry_tag(version: str) -> str:
    """A version as a registry's tag: registries know no `+` and no `/`."""
    return version.replace("+", "-").replace("/", "-")


def _of_commit(root: Path, folder: str, commit: str) -> Iterator[_Member]:
    held = [one for one in tree.entries(root, commit, folder) if not source.is_own(one.name)]
    bytes_of = tree.contents(root, [one for one in held if one.mode != tree.REPOSITORY])
    for entry in held:
        yield _Member(_inside(folder, entry.name), entry.mode, bytes_of.get(entry.object_id, b""))


def _on_disk(root: Path, folder: str) -> Iterator[_Member]:
    for path in source.files(root, folder):
        name = os.path.relpath(path, root)
        if path.is_symlink():
            yield _Member(_inside(folder, name), tree.LINK, os.fsencode(path.readlink()))
        else:
            mode = tree.PROGRAM if path.stat().st_mode & 0o100 else tree.FILE
            yield _Member(_inside(folder, name), mode, path.read_bytes())


def _inside(folder: str, name: str) -> str:
    return posixpath.relpath(name, folder)


def _refuse_what_cannot_be_released(folder: str, members: list[_Member]) -> None:
    """Raises Refused, naming each file."""
    names = {member.name for member in members}
    there = names | {parent for name in names for parent in _parents(name)} | {"."}
    links = {member.name: os.fsdecode(member.content) for member in members if member.mode == tree.LINK}
    faults = []
    for member in members:
        where = f"{folder}/{member.name}" if folder != "." else member.name
        if not _is_utf_8(member.name):
            faults.append(f"{os.fsencode(where)!r} is a name that is not UTF-8; rename the file")
        elif member.mode == tree.REPOSITORY:
            faults.append(
                f"{where} is a submodule, whose files are no part of the commit: vendor them, or build them in"
            )
        elif member.mode == tree.LINK:
            leads = _end_of_way(member.name, links)
            if leads is None:
                faults.append(f"{where} is a link that leads out of the service's folder, to {links[member.name]}")
            elif leads not in there:
                faults.append(f"{where} is a link that leads nowhere, to {links[member.name]}")
        elif source.is_login(member.name):
            faults.append(
                f"{where} is the login of a GitHub runner (google-github-actions/auth writes it), which must be in no artefact: "
                "take it out of the commit"
            )
        elif _PRIVATE_KEY.search(member.content):
            faults.append(
                f"{where} holds a private key, which must be in no artefact: take it out of the service's folder"
            )
    if faults:
        raise Refused("the artefact cannot be made:" + "".join(f"\n  {fault}" for fault in faults))


def _end_of_way(name: str, links: Mapping[str, str]) -> str | None:
    """Where a path inside the service leads, each link on its way followed as the system does; None: out of it.

    Empty where links lead round to each other.
    """
    way, here, followed = name.split("/"), list[str](), 0
    while way:
        part = way.pop(0)
        if part == ".." and not here:
            return None
        if part == "..":
            here.pop()
        elif part not in {"", "."}:
            here.append(part)
        target = links.get("/".join(here)) if part not in {"", ".", ".."} else None
        if target is not None:
            if target.startswith("/"):
                return None
            followed += 1
            if followed > _LINKS_ON_A_WAY:
                return ""
            here.pop()
            way = [*target.split("/"), *way]
    return "/".join(here) or "."


def _is_utf_8(name: str) -> bool:
    """Whether a name read from disk is text, and not bytes that no encoding was found for."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parents(name: str) -> Iterator[str]:
    while name := posixpath.dirname(name):
        yield name


def _tar_entry(member: _Member) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(member.name)
    if member.mode == tree.LINK:
        entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, os.fsdecode(member.content), 0o777
    else:
        entry.size = len(member.content)
        entry.mode = 0o755 if member.mode == tree.PROGRAM else 0o644
    return entry
