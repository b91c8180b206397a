"""Trust sets: the keys and roles in force, as files named by their own hash, bound by the event that enrolls them.

    trust/<first 16 hex of the set's SHA-256>/   log.vkey log.pem allowed_signers roles.json

The set's SHA-256 is that of its list, one line a file, sorted: what `(cd trust/<set> && sha256sum * | sha256sum)` prints
in the C locale. `trust/log.vkey` and the like, where they lie, are plain copies of the newest set, a convenience.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from pytest_deploy.errors import RecordTampered
from pytest_deploy.record.event import canonical
from pytest_deploy.record.key import LogKey
from pytest_deploy.record.store import Exists, Missing, Store

FOLDER_HEX = 16
TIMESTAMP_CA: Final = "tsa-ca.pem"
"""The certificate of the timestamp authority."""
FILES: Final = ("log.vkey", "log.pem", "allowed_signers", "roles.json", TIMESTAMP_CA)
"""What a trust set may hold."""


def first_set(key: LogKey) -> dict[str, bytes]:
    """The files of a log that nobody signs for yet: its own key, no signers, no roles."""
    return {
        "log.vkey": f"{key.vkey}\n".encode(),
        "log.pem": key.pem.encode(),
        "allowed_signers": b"",
        "roles.json": canonical({}),
    }


def set_sha256(files: Mapping[str, bytes]) -> str:
    """The hash that names a set, hex."""
    lines = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def write_set(store: Store, files: Mapping[str, bytes]) -> tuple[str, str]:
    """Write a set before the event that puts it in force; returns its folder (`trust/…`) and its SHA-256.

    Writing it again, or finishing it after a kill, is no change: its name is its content.
    """
    sha256 = set_sha256(files)
    folder = f"trust/{sha256[:FOLDER_HEX]}"
    for name, data in files.items():
        with suppress(Exists):
            store.create(f"{folder}/{name}", data)
    return folder, sha256


def trust_set(store: Store, sha256: str) -> dict[str, bytes]:
    """The files of a trust set, as its hash names them. Raises RecordTampered where they are others."""
    folder = f"trust/{sha256[:FOLDER_HEX]}"
    files = {}
    for name in FILES:
        with suppress(Missing):
            files[name] = store.get(f"{folder}/{name}")
    if set_sha256(files) != sha256:
        raise RecordTampered(f"{folder} is not the set the log names: a file was edited after it came into force")
    return files


def copy_plainly(folder: Path, files: Mapping[str, bytes]) -> None:
    """Lay the newest set's plain copies into `trust/` of a store on disk; nothing is judged by them. Raises OSError."""
    trust = folder / "trust"
    for name, data in files.items():
        if (trust / name).is_file() and (trust / name).read_bytes() == data:
            continue
        temporary = trust / f".{secrets.token_hex(8)}.new"
        try:
            temporary.write_bytes(data)
            temporary.replace(trust / name)
        finally:
            temporary.unlink(missing_ok=True)
