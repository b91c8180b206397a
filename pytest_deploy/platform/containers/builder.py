"""The program that builds, pushes and pulls images: podman, else buildah.

The same archive gives the same image: the times of all files and of the image are zero, nothing is taken from a cache, no label
names the builder, and what is built for is linux/amd64 whatever the machine. What a RUN fetches or makes up is its own matter:
an image that differs from what the registry has under its tag is refused (`ContainerArtefacts.push`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_deploy.bounded_output import Ran, run_bounded
from pytest_deploy.errors import Failed, PlatformUnavailable, Refused
from pytest_deploy.platform.archive import UnsafeArchive, unpack_inside
from pytest_deploy.platform.containers.login import Login, login_file
from pytest_deploy.platform.image_names import Repository
from pytest_deploy.platform.program_search import search_path

PLATFORM: Final = "linux/amd64"
"""What Cloud Run runs."""
LABEL: Final = "pytest-deploy.checkout"
"""Of a container: whose it is."""
CONTAINERFILES: Final = ("Containerfile", "Dockerfile")
_BUILDERS: Final = ("podman", "buildah")
_SHORT_S: Final = 60.0
_TRANSFER_S: Final = 900.0
_LINES: Final = 12
_CHARS: Final = 300
_AS_EVERY_PROGRAM: Final = ("HOME", "LANG", "LC_ALL", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
_TO_REACH: Final = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE")
_ITS_SETTINGS: Final = ("CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF", "CONTAINERS_REGISTRIES_CONF", "STORAGE_DRIVER")
OF_PODMAN: Final = frozenset((*_AS_EVERY_PROGRAM, *_TO_REACH, *_ITS_SETTINGS))
"""Of this process's variables, what the program is given: no secret of a deployment is among them."""


def program_variables() -> dict[str, str]:
    """The environment that podman and buildah run in."""
    kept = {name: os.environ[name] for name in OF_PODMAN if name in os.environ}
    return {**kept, "PATH": search_path(os.environ)}


def find_builder() -> Builder:
    """The first of podman and buildah that is there. Raises Refused."""
    path = program_variables()["PATH"]
    for name in _BUILDERS:
        if found := shutil.which(name, path=path):
            return Builder(name, found)
    docker = (
        "; docker is there, but cannot set the times in an image by itself" if shutil.which("docker", path=path) else ""
    )
    raise Refused(
        f"no program here builds container images: looked for {' and '.join(_BUILDERS)} on PATH{docker}; "
        "install one, e.g. `apt-get install podman`"
    )


def find_podman() -> Builder:
    """podman, which runs containers besides. Raises Refused."""
    if found := shutil.which("podman", path=program_variables()["PATH"]):
        return Builder("podman", found)
    raise Refused(
        "platform.runtime is container, and podman is not on PATH: install it, e.g. `apt-get install podman`, or set runtime: process"
    )


@dataclass(frozen=True)
class Builder:
    """One of them."""

    name: str
    program: str
    """Its path."""

    @contextmanager
    def built(self, archive: Path, *, network: bool, timeout_s: float) -> Iterator[str]:
        """An image of an archive, by a name of its own in this machine's store; the name is gone afterwards, and the image where no other names it.

        Without `network` no step of the build reaches one, and the base image has to be in the store already.

        Raises:
            Refused: it holds no Containerfile.
            Failed: it was not built; its last lines.
        """
        name = f"localhost/pytest-deploy-build:{uuid.uuid4().hex}"
        with tempfile.TemporaryDirectory(prefix="build-") as folder:
            context = Path(folder, "context")
            context.mkdir()
            try:
                unpack_inside(archive, context)
            except UnsafeArchive as error:
                raise Failed(f"the archive {archive.name} {error}") from error
            containerfile = _containerfile(context)
            reaches = ("--pull=missing",) if network else ("--pull=never", "--network=none")
            same_each_time = ("--timestamp=0", "--no-cache", "--layers=false", "--identity-label=false")
            names = (f"--file={containerfile}", f"--tag={name}", str(context))
            self._run(
                ["build", "--quiet", "--format=oci", f"--platform={PLATFORM}", *same_each_time, *reaches, *names],
                timeout_s=timeout_s,
                otherwise=lambda said: Failed(
                    f"{self.name} built no image from {containerfile.name}; its last lines:\n{said}{_remedy_of_build(said, network=network)}"
                ),
            )
        try:
            self._refuse_other_platform(name)
            yield name
        finally:
            self.forget(name)

    def digest_when_pushed(self, name: str) -> str:
        """The digest an image has in a registry: layers are compressed on the way there, as they are into a layout on disk."""
        with tempfile.TemporaryDirectory(prefix="layout-") as folder:
            digest = Path(folder, "digest")
            self._run(
                ["push", "--quiet", f"--digestfile={digest}", name, f"oci:{folder}/layout:image"],
                timeout_s=_TRANSFER_S,
                otherwise=lambda said: Failed(
                    f"{self.name} could not lay out the image it built; its last lines:\n{said}"
                ),
            )
            return digest.read_text(encoding="ascii").strip()

    def push(self, name: str, repository: Repository, tag: str, login: Login | None) -> None:
        """Store an image of this machine in a registry under a tag.

        Raises Refused (not signed in, not allowed, the tag may not change), PlatformUnavailable.
        """
        with login_file(repository.host, login) as auth:
            self._run(
                ["push", "--quiet", *_transport(repository, auth), name, f"docker://{repository}:{tag}"],
                timeout_s=_TRANSFER_S,
                otherwise=lambda said: _of_registry(f"{repository}:{tag} was not pushed by {self.name}", said),
            )

    def pull(self, image: str, login: Login | None) -> None:
        """Have an image of a registry in this machine's store, by its digest. Raises as `push` does."""
        repository, _ = Repository.of_image(image)
        with login_file(repository.host, login) as auth:
            self._run(
                ["pull", "--quiet", *_transport(repository, auth), image],
                timeout_s=_TRANSFER_S,
                otherwise=lambda said: _of_registry(f"{image} was not pulled by {self.name}", said),
            )

    def has(self, image: str) -> bool:
        """Whether this machine's store has an image. podman alone is asked."""
        return self._call(["image", "exists", image], timeout_s=_SHORT_S).code == 0

    def digest(self, name: str) -> str | None:
        """The digest of an image's manifest as it lies in this machine's store; None where there is none. podman alone is asked."""
        ran = self._call(["image", "inspect", "--format={{.Digest}}", name], timeout_s=_SHORT_S)
        return ran.stdout.text.strip() if ran.code == 0 else None

    def tag(self, name: str, *others: str) -> None:
        """Give an image more names. Raises Failed."""
        self._run(["tag", name, *others], timeout_s=_SHORT_S, otherwise=lambda said: Failed(f"{self.name} tag: {said}"))

    def forget(self, name: str) -> None:
        """Take a name from an image; nothing is said where there is none."""
        self._call(["rmi", name], timeout_s=_SHORT_S)

    def forget_all(self, prefix: str) -> None:
        """Take every name away that begins so, and the images that have no other: one of the same bytes is another checkout's too."""
        # Not podman's own filter: it tells all names of an image of which one fits.
        listed = self._call(["images", "--format={{range .Names}}{{.}} {{end}}"], timeout_s=_SHORT_S)
        for name in dict.fromkeys(listed.stdout.text.split()):
            if name.startswith(prefix):
                self.forget(name)

    def remove_containers(self, label: str) -> None:
        """End and take away every container of this label. podman alone is asked."""
        found = self._call(["ps", "--all", "--quiet", f"--filter=label={LABEL}={label}"], timeout_s=_SHORT_S)
        if names := found.stdout.text.split():
            self._call(["rm", "--force", "--time=0", "--ignore", *names], timeout_s=_SHORT_S)

    def _refuse_other_platform(self, name: str) -> None:
        """A base image may be for another machine, of which the builder only warns."""
        words = (
            ["image", "inspect", "--format={{.Os}}/{{.Architecture}}"]
            if self.name == "podman"
            else ["inspect", "--type=image", "--format={{.OCIv1.OS}}/{{.OCIv1.Architecture}}"]
        )
        found = self._run(
            [*words, name],
            timeout_s=_SHORT_S,
            otherwise=lambda said: Failed(f"{self.name} lost the image it built: {said}"),
        ).stdout.text.strip()
        if found != PLATFORM:
            raise Refused(
                f"the image is for {found}, and Cloud Run takes {PLATFORM}: name a base image of that platform"
            )

    def _run(self, words: Sequence[str], *, timeout_s: float, otherwise: Callable[[str], Exception]) -> Ran:
        ran = self._call(words, timeout_s=timeout_s)
        if ran.code:
            raise otherwise(_last_lines(ran))
        return ran

    def _call(self, words: Sequence[str], *, timeout_s: float) -> Ran:
        try:
            return run_bounded([self.program, *words], env=program_variables(), timeout_s=timeout_s)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} {words[0]} was not done within {timeout_s:g} s, and was ended") from None
        except OSError as error:
            raise Failed(f"{self.program} cannot be run: {error.strerror}") from None


def _containerfile(context: Path) -> Path:
    for name in CONTAINERFILES:
        if (found := context / name).is_file():
            return found
    raise Refused(
        f"the release's archive holds no {' and no '.join(CONTAINERFILES)}, so no image can be built of it: put one into the "
        "service's folder (service.source), tracked by git"
    )


def _transport(repository: Repository, auth: Path) -> list[str]:
    return [f"--authfile={auth}", f"--tls-verify={'false' if repository.is_loopback else 'true'}"]


def _last_lines(ran: Ran) -> str:
    lines = [line.rstrip() for line in (ran.stdout.text + ran.stderr.text).splitlines() if line.strip()][-_LINES:]
    return "\n".join(f"  {line}" if len(line) <= _CHARS else f"  {line[:_CHARS]}…" for line in lines) or "  (nothing)"


_REMEDIES_OF_BUILD: Final = (
    (
        ("image not known", "no such image", "not found locally", "short-name", "did not resolve"),
        "the base image is not in this machine's store",
    ),
    (
        ("name resolution", "network is unreachable", "could not resolve", "no such host"),
        "a step reached for the network",
    ),
)


def _remedy_of_build(said: str, *, network: bool) -> str:
    words = said.lower()
    for patterns, what in _REMEDIES_OF_BUILD:
        if not network and any(pattern in words for pattern in patterns):
            return f"\n{what}, and this build has no network: fetch what it needs before, or set platform.build_network: true"
    return ""


_OF_REGISTRY: Final[tuple[tuple[tuple[str, ...], type[Failed | Refused], str], ...]] = (
    (("immutable", "already exists", "cannot be overwritten"), Refused, "the tag may not name another image: release under a new version"),
    (("unauthorized", "authentication required", " 401"), Refused, "nobody is signed in there, or the token has expired: sign in again"),
    (("denied", "forbidden", " 403"), Refused, "who is signed in may not: give roles/artifactregistry.writer (to pull: reader) on the repository"),
    (("not found", "name unknown", "manifest unknown", " 404"), Refused, "it is not there: check host, project and repository; the infrastructure code makes it"),
    (("x509", "certificate", "tls"), PlatformUnavailable, "its certificate is not trusted; only on loopback is a registry reached without TLS"),
    (("connection refused", "no such host", "i/o timeout", "unreachable", "deadline"), PlatformUnavailable, "the registry does not answer: try again when it does"),
)  # fmt: skip


def _of_registry(what: str, said: str) -> Failed | Refused:
    words = said.lower()
    for patterns, kind, remedy in _OF_REGISTRY:
        if any(pattern in words for pattern in patterns):
            return kind(f"{what}: {remedy}; its last lines:\n{said}")
    return PlatformUnavailable(f"{what}; its last lines:\n{said}")
