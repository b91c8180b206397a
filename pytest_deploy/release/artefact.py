"""The artefact: the service's source as one archive whose bytes depend on nothing but its content.

The same files give the same digest on every machine and at every time: names sorted, times zero, owners zero, modes
reduced to 0644 and 0755, no compression. (A container image takes its place where the platform runs containers.)
"""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
from pathlib import Path

from pytest_deploy.errors import UsageError
from pytest_deploy.release import source


def build(root: Path, folder: str, into: Path) -> Path:
    """Write the archive of `folder` into the folder `into`; its file name is the SHA-256 hex of its bytes, `.tar`.

    Raises UsageError where `folder` holds no file that git knows or would know.
    """
    paths = source.files(root, folder)
    if not paths:
        raise UsageError(f"service.source: {folder} holds no file; right is the folder of the service, tracked by git")
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=into, suffix=".part", delete=False) as made:
        with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for path in paths:
                with path.open("rb") as content:
                    archive.addfile(_entry(path, path.relative_to(root / folder).as_posix()), content)
        made.flush()
    part = Path(made.name)
    return part.rename(into / f"{hashlib.sha256(part.read_bytes()).hexdigest()}.tar")


def tag(version: str) -> str:
    """A version as a registry's tag: registries know no `+`."""
    return version.replace("+", "-")


def _entry(path: Path, name: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    status = path.stat()
    entry.size = status.st_size
    entry.mode = 0o755 if status.st_mode & 0o100 else 0o644
    return entry
