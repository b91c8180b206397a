"""The trust set in force at each event: which key signs the log, and who may sign in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_deploy.record.event import Event
from pytest_deploy.record.key import LogKey, parse_vkey
from pytest_deploy.record.trust import FOLDER_HEX, set_sha256


@dataclass(frozen=True)
class TrustSet:
    """A set as its event put it in force."""

    since: int
    """seq of the event; what it names is in force after it (for event 0: from the start)."""
    folder: Path
    key: LogKey
    files: Mapping[str, bytes]


def is_key_event(event: Event) -> bool:
    """Whether the event puts a trust set in force."""
    return event.type in {"key.enrolled", "key.revoked", "key.rotated"}


def read_set(store: Path, event: Event) -> TrustSet:
    """The set a key event names. Raises ValueError (what is wrong, with the path) where it is not the one."""
    sha256 = event.data["set_sha256"]
    name = f"trust/{sha256[:FOLDER_HEX]}"
    if event.data["set"] != name:
        raise ValueError(f"names the set {event.data['set']!r}, whose hash makes it {name}")
    folder = store / name
    try:
        files = {path.name: _read(path) for path in sorted(folder.iterdir()) if not path.name.startswith(".")}
    except OSError as error:
        raise ValueError(f"its trust set {name} cannot be read: {error.strerror}") from error
    if set_sha256(files) != sha256:
        raise ValueError(f"its trust set {name} is not the one it names: a file was changed, added or removed")
    try:
        key = parse_vkey(files["log.vkey"].decode())
    except (KeyError, ValueError) as error:
        raise ValueError(f"its trust set {name} holds no log.vkey: {error}") from error
    if files.get("log.pem") != key.pem.encode():
        raise ValueError(f"its trust set {name} has a log.pem that is not the key of log.vkey")
    return TrustSet(event.seq, folder, key, files)


def changed_key(before: TrustSet, after: TrustSet, event: Event) -> str | None:
    """Why the log's key may not change as it does between two sets, or None."""
    if after.key.origin != before.key.origin:
        return f"the origin changes from {before.key.origin} to {after.key.origin}"
    if (after.key != before.key) != (event.type == "key.rotated"):
        return "key.rotated, and nothing else, changes the log's key"
    return None


def other_copies(store: Path, sets: Sequence[TrustSet]) -> tuple[list[str], list[str]]:
    """Plain copies in `trust/` (they are a convenience, people check by them) that are those of no set, or of an older one.

    `sets` are in order, the newest last. An older one is no fault: another machine, or a process that was killed, changed
    the roster and could not lay copies here.
    """
    altered, older = [], []
    for name in sorted(sets[-1].files.keys() & {path.name for path in (store / "trust").iterdir()}):
        copy = _content(store / "trust" / name)
        if copy is None or all(copy != known.files.get(name) for known in sets):
            altered.append(f"trust/{name}")
        elif copy != sets[-1].files[name]:
            older.append(f"trust/{name}")
    return altered, older


def _content(path: Path) -> bytes | None:
    try:
        return None if path.is_symlink() or not path.is_file() else path.read_bytes()
    except OSError:
        return None


def _read(path: Path) -> bytes:
    if path.is_symlink() or not path.is_file():
        raise ValueError(f"in its trust set, {path.parent.name}/{path.name} is no regular file")
    return path.read_bytes()
