"""Artefacts by digest, in a folder: the registry of the embedded platform.

sha256/<hex>.tar            the bytes; their name is their digest
tags/<service>/<tag>        one line, the image the tag names
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from pytest_deploy.errors import Failed, UsageError
from pytest_deploy.platform.embedded.places import write_private

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_IMAGE = re.compile(r"local/[a-z0-9-]+@sha256:(?P<hex>[0-9a-f]{64})")


class ImageUnknown(Failed):
    """No archive has this digest, or it no longer has the bytes its name promises."""


class LocalArtefacts:
    """The archives of one service; implements Artefacts. Tags are the container registries': letters, digits, `._-`."""

    def __init__(self, folder: Path, service: str) -> None:
        self._folder = folder
        self._service = service

    def push(self, archive: Path, *, tag: str) -> str:
        """Store the archive under the digest of its bytes, point `tag` at it, return `local/<service>@sha256:<hex>`."""
        target = self._tag(tag)
        digest = _sha256(archive)
        blob = archive_of(self._folder, digest)
        if not blob.exists():
            blob.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=blob.parent, delete=False) as copy, archive.open("rb") as source:
                shutil.copyfileobj(source, copy)
            Path(copy.name).rename(blob)
        image = f"local/{self._service}@sha256:{digest}"
        write_private(target, f"{image}\n")
        return image

    def find(self, tag: str) -> str | None:
        """The image that carries this tag, or None."""
        target = self._tag(tag)
        return target.read_text(encoding="utf-8").strip() if target.exists() else None

    def _tag(self, tag: str) -> Path:
        if not _TAG.fullmatch(tag):
            raise UsageError(f"{tag!r} is not a registry's tag: at most 128 letters, digits and ._- , no . or - first")
        return self._folder / "tags" / self._service / tag


def archive_of(artefacts: Path, digest: str) -> Path:
    """Where the archive with this digest (64 hex) lies or would lie."""
    return artefacts / "sha256" / f"{digest}.tar"


def unpack(image: str, *, artefacts: Path, images: Path) -> Path:
    """The folder with the files of this image, checked against its digest and unpacked once. Raises ImageUnknown."""
    match = _IMAGE.fullmatch(image)
    if match is None:
        raise ImageUnknown(f"image {image!r} is not one of this platform's: local/<service>@sha256:<64 hex>")
    digest = match["hex"]
    folder = images / digest
    if folder.exists():
        return folder
    archive = archive_of(artefacts, digest)
    if not archive.exists():
        raise ImageUnknown(f"image {image} was never pushed: there is no {archive.name} among the artefacts")
    if (actual := _sha256(archive)) != digest:
        raise ImageUnknown(f"{archive.name} now has the digest {actual}: its bytes were changed; push it again")
    images.mkdir(mode=0o700, parents=True, exist_ok=True)
    half = Path(tempfile.mkdtemp(dir=images, prefix="unpacking-"))
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                _check(member, image)
            # Not `filter=`: the first releases of Python 3.11 (Debian 12's is one) have neither it nor the filter.
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            tar.extractall(half)  # noqa: S202  # each member was checked above
        half.rename(folder)
    except tarfile.TarError as error:
        raise ImageUnknown(f"image {image} is not a tar archive: {error}") from error
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return folder


def _check(member: tarfile.TarInfo, image: str) -> None:
    """Refuse what could come to lie, or point, outside the image's folder."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or not (member.isreg() or member.isdir()):
        raise ImageUnknown(f"image {image} holds {member.name!r}: only files and folders inside the image are unpacked")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
