"""The trust set in force at each event: which key signs the log, and who may sign in it."""

from __future__ import annotations

from collections.abc import Mapping
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


def altered_copies(store: Path, newest: TrustSet) -> list[str]:
    """Plain copies in `trust/` (they are a convenience, people check by them) that are not those of the newest set."""
    names = sorted(newest.files.keys() & {path.name for path in (store / "trust").iterdir()})
    return [f"trust/{name}" for name in names if _differs(store / "trust" / name, newest.files[name])]


def _differs(path: Path, data: bytes) -> bool:
    try:
        return path.is_symlink() or not path.is_file() or path.read_bytes() != data
    except OSError:
        return True


def _read(path: Path) -> bytes:
    if path.is_symlink() or not path.is_file():
        raise ValueError(f"in its trust set, {path.parent.name}/{path.name} is no regular file")
    return path.read_bytes()
