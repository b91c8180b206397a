"""Where the embedded platform of one checkout keeps its things.

State that people may look at lies in `<checkout>/.deploy/`. What has a socket in it lies in a short folder elsewhere (a
socket's path ends at about 100 bytes), named by a hash of user and checkout, so that two checkouts never meet.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_deploy.errors import Failed, PlatformUnavailable, UsageError
from pytest_deploy.platform.archive import UnsafeArchive, unpack_inside
from pytest_deploy.platform.image_names import require_tag
from pytest_deploy.platform.protocol import LastOutput
from pytest_deploy.record import atomic_file

ROOT_VARIABLE = "PYTEST_DEPLOY_PGDATA_ROOT"
"""Names another parent folder for sockets and PGDATA than /var/tmp, e.g. /dev/shm."""

_SOCKET_PATH = 103
"""Bytes that the path of a Unix socket may have, at the least."""
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")


class Places:
    """The folders and sockets of one checkout's platform."""

    def __init__(self, checkout: Path, root: Path) -> None:
        self.checkout = checkout
        """Absolute and resolved."""
        self.root = root
        """The short folder: sockets and PGDATA. 0700, as root 0711 (PostgreSQL's own user must come to its folder below)."""
        self.deploy = checkout / ".deploy"
        self.running = self.deploy / "running.lock"
        """Locked by the supervisor and its guardian for as long as either lives."""
        self.starting = self.deploy / "starting.lock"
        """Locked by the client that starts the supervisor."""
        self.log = self.deploy / "supervisor.log"
        self.artefacts = self.deploy / "artefacts"
        """Archives by digest."""
        self.images = self.deploy / "images"
        self.platform = self.deploy / "platform"
        """One folder an environment."""
        self.control = root / "control"
        """The socket whose connections keep the platform alive."""
        self.run = root / "run"
        """The socket of the Cloud Run stand-in."""
        self.postgres = root / "pg"
        self.containers = root / "containers"
        """There from when the checkout first had a container: who ends what is left looks for some."""
        self.label = root.name
        """What the containers and images of this checkout are known by among all of this machine."""

    @classmethod
    def of(cls, checkout: Path) -> Places:
        """The places of this checkout; nothing is made yet."""
        checkout = checkout.resolve()
        name = hashlib.sha256(f"{os.geteuid()}:{checkout}".encode()).hexdigest()[:12]
        return cls(checkout, Path(os.environ.get(ROOT_VARIABLE, "/var/tmp")) / f"pytest-deploy-{name}")  # noqa: S108  # survives a restart; `make` checks whose it is

    @property
    def too_long(self) -> bool:
        """Whether a socket below the short folder would have a longer path than the system takes."""
        return len(os.fsencode(self.postgres / ".s.PGSQL.5432")) > _SOCKET_PATH

    def make(self) -> None:
        """Make both folders. Raises PlatformUnavailable where one cannot be made, or somebody else has made the short one."""
        if not self.root.is_absolute():
            raise PlatformUnavailable(f"{ROOT_VARIABLE}={self.root.parent}: right is a whole path, e.g. /dev/shm")
        if self.too_long:
            raise PlatformUnavailable(
                f"{self.root.parent} is too long a path for a socket; name another parent in {ROOT_VARIABLE}, e.g. /dev/shm"
            )
        _make(self.deploy, 0o700, "a deployment keeps its state there: let this user write to the checkout")
        mode = 0o711 if os.geteuid() == 0 else 0o700
        _make(self.root, mode, f"let this user write to {self.root.parent}, or name another parent in {ROOT_VARIABLE}")
        status = self.root.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise PlatformUnavailable(
                f"{self.root} is not a private folder of this user; remove it, or name another parent in {ROOT_VARIABLE}"
            )

    def state(self, site: Site) -> Path:
        """The folder of one service in one environment."""
        return self.platform / site.location / site.service


def _make(folder: Path, mode: int, remedy: str) -> None:
    try:
        folder.mkdir(mode=mode, exist_ok=True)
    except OSError as error:
        raise PlatformUnavailable(f"{folder} cannot be made: {error.strerror}; {remedy}") from None


@dataclass(frozen=True)
class Site:
    """One service in one environment of the embedded platform."""

    environment: str
    service: str
    rehearsal: bool = False

    def __post_init__(self) -> None:
        for what, name in (("environment", self.environment), ("service", self.service)):
            if not _NAME.fullmatch(name):
                raise UsageError(
                    f"the embedded platform cannot take {name!r} as the name of a {what}: "
                    "lower-case letters, digits and hyphens, a letter first, at most 40"
                )

    @property
    def location(self) -> str:
        """The environment's name among Cloud Run locations; a rehearsal never shares one with the real environment."""
        return f"{self.environment}.rehearsal" if self.rehearsal else self.environment

    @property
    def path(self) -> str:
        """Cloud Run's full name of the service."""
        return f"projects/local/locations/{self.location}/services/{self.service}"

    @property
    def database(self) -> str:
        kind = "rehearsal_" if self.rehearsal else ""
        return f"{self.service}_{kind}{self.environment}".replace("-", "_")


def log_of(state: Path, revision: str) -> Path:
    """Where a revision's output goes, below its service's folder."""
    return state / "logs" / f"{revision}.log"


def note_start(state: Path, revision: str) -> None:
    """Count one more start of a revision's process, below its service's folder."""
    file = state / "starts" / revision
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with file.open("ab") as counted:
        counted.write(b"+")


def starts_of(state: Path, revision: str) -> int:
    """How often the revision's process was started: a byte each."""
    file = state / "starts" / revision
    return file.stat().st_size if file.exists() else 0


def last_output(places: Places, site: Site, revision: str, lines: int) -> LastOutput:
    """What a revision printed last; its log's path is told as people of the checkout type it."""
    log = log_of(places.state(site), revision)
    return LastOutput(tuple(tail(log, lines).splitlines()), log.relative_to(places.checkout).as_posix())


_TAIL_BYTES = 64 * 1024
"""Of a log's end that are read: a service may have printed gigabytes."""

_LINE_CHARS = 300
"""Of a line that are shown."""

_COLOURS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0e-\x1f\x7f]")
"""What a terminal would obey instead of showing it."""


def tail(log: Path, lines: int) -> str:
    """The last lines of a log, long ones cut; empty where there is none."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        begin = max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES)
        file.seek(begin)
        said = file.read(_TAIL_BYTES).decode(errors="replace")
    # What is cut is cut beside dots: by them a part of a secret is known.
    kept = [_COLOURS.sub("", line) for line in f"{'…' if begin else ''}{said}".splitlines()[-lines:]]
    return "\n".join(line if len(line) <= _LINE_CHARS else f"{line[:_LINE_CHARS]}…" for line in kept)


def write_private(path: Path, text: str) -> None:
    """Replace a file as a whole, readable by its owner only, in folders that are made where they are missing."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    atomic_file.overwrite(path, text.encode(), mode=0o600)


def program_environment(environment: Mapping[str, str], *more: str) -> dict[str, str]:
    """Of an environment what a program needs to run: none of the parent's secrets pass."""
    names = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", *more)
    return {name: value for name, value in environment.items() if name in names or name.startswith("PYTHON")}


# --- Artefacts by digest, in a folder: the registry of the embedded platform.
#
# sha256/<hex>.tar            the bytes; their name is their digest
# tags/<service>/<tag>        one line, the image the tag names

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
        target = self._tag(tag)
        return target.read_text(encoding="utf-8").strip() if target.exists() else None

    def _tag(self, tag: str) -> Path:
        return self._folder / "tags" / self._service / require_tag(tag)


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
        unpack_inside(archive, half)
        half.rename(folder)
    except UnsafeArchive as error:
        raise ImageUnknown(f"image {image} {error}") from error
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return folder


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
