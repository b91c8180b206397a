"""Unpacking a release's archive: only what lies, and points, inside the folder it is unpacked into."""

from __future__ import annotations

import posixpath
import tarfile
from pathlib import Path, PurePosixPath

from pytest_deploy.errors import Failed


class UnsafeArchive(Failed):
    """It is no tar archive, or holds what would come to lie elsewhere; the message goes on from its name."""


def unpack_inside(archive: Path, folder: Path) -> None:
    """Unpack an archive into a folder that is there. Raises UnsafeArchive; what was unpacked until then stays."""
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                _check(member)
            # A link was checked to stay inside. Not `filter=`: the first releases of Python 3.11 (Debian 12's is one) have neither it nor the filter.
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            tar.extractall(folder)  # noqa: S202  # each member was checked above
    except tarfile.TarError as error:
        raise UnsafeArchive(f"is not a tar archive: {error}") from error


def _check(member: tarfile.TarInfo) -> None:
    path = PurePosixPath(member.name)
    leads = posixpath.normpath(posixpath.join(posixpath.dirname(member.name), member.linkname))
    outside = member.issym() and (posixpath.isabs(member.linkname) or leads.startswith(".."))
    if path.is_absolute() or ".." in path.parts or outside or not (member.isreg() or member.isdir() or member.issym()):
        raise UnsafeArchive(f"holds {member.name!r}: only what lies inside the image is unpacked")
