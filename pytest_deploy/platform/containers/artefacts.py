"""Releases as container images: in a registry (`ContainerArtefacts`), or on this machine alone (`LocalImages`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from pytest_deploy.errors import Failed, Refused
from pytest_deploy.platform.containers.builder import find_builder, find_podman
from pytest_deploy.platform.containers.login import Login
from pytest_deploy.platform.containers.registry import Registry
from pytest_deploy.platform.image_names import Repository, require_tag

BUILD_S: Final = 900.0


class ContainerArtefacts:
    """The images of one service in a repository of a registry; implements Artefacts. A tag, once given, names one image for ever."""

    def __init__(
        self,
        repository: str,
        *,
        login: Callable[[], Login] | None = None,
        network: bool = False,
        build_timeout_s: float = BUILD_S,
    ) -> None:
        """Asks nothing of the registry yet.

        Args:
            repository: `HOST/PATH`, e.g. `us-east4-docker.pkg.dev/my-project/releases/parcels`. TLS is left out on loopback alone.
            login: who this process is there, asked anew for each call, e.g. `google_login`; None: nobody.
            network: whether a build may reach it: steps of the Containerfile, and the base image where it is not here yet.
            build_timeout_s: seconds that a build may take.

        Raises UsageError for what is no repository.
        """
        self.repository = Repository.parse(repository)
        self._login = login
        self._network = network
        self._build_timeout_s = build_timeout_s

    def push(self, archive: Path, *, tag: str) -> str:
        """Build the image of an archive and have it in the registry under `tag`; `<repository>@sha256:<64 hex>` as the registry has it.

        It is built each time: that the tag names the same image already proves that the build can be repeated.

        Raises:
            Refused: nothing here builds images, the archive has no Containerfile, nobody is signed in or may push, or the tag names another image.
            Failed: the build failed, or the registry has other bytes than were pushed.
            PlatformUnavailable: the registry does not answer.
        """
        require_tag(tag)
        builder = find_builder()
        login = self._signed_in()
        registry = Registry(self.repository, login)
        before = registry.digest(tag)
        with builder.built(archive, network=self._network, timeout_s=self._build_timeout_s) as image:
            built = builder.digest_when_pushed(image)
            if before not in (None, built):
                raise Refused(
                    f"{self.repository}:{tag} names {before}, and this source now gives {built}: a release's tag never moves. Either the source "
                    "changed under one version, or its Containerfile cannot be repeated: name the base image by digest, and fetch nothing without a hash"
                )
            if before is None:
                builder.push(image, self.repository, tag, login)
        if (found := registry.digest(tag)) != built:
            raise Failed(
                f"{self.repository}:{tag} was pushed as {built}, and the registry has {found or 'nothing'} there: another run pushes too, or it is broken"
            )
        return f"{self.repository}@{built}"

    def find(self, tag: str) -> str | None:
        """The image under this tag, as the registry has it now; None where there is none. Raises Refused, PlatformUnavailable."""
        digest = Registry(self.repository, self._signed_in()).digest(require_tag(tag))
        return None if digest is None else f"{self.repository}@{digest}"

    def pull(self, image: str) -> None:
        """Have an image in this machine's store, by its digest. Raises UsageError, Refused, PlatformUnavailable."""
        find_builder().pull(image, self._signed_in())

    def _signed_in(self) -> Login | None:
        return None if self._login is None else self._login()


class LocalImages:
    """The images of one service in podman's store on this machine; implements Artefacts. A tag moves with the last push, as work goes on."""

    def __init__(self, checkout: str, service: str, *, network: bool = False, build_timeout_s: float = BUILD_S) -> None:
        """`checkout` tells the images of two checkouts apart; the rest as `ContainerArtefacts` has it."""
        self.repository = Repository.parse(f"localhost/{checkout}/{service}")
        self._network = network
        self._build_timeout_s = build_timeout_s

    def push(self, archive: Path, *, tag: str) -> str:
        """Build the image of an archive and tag it; `localhost/<checkout>/<service>@sha256:<64 hex>`.

        Raises Refused (no podman, no Containerfile), Failed (the build failed).
        """
        require_tag(tag)
        podman = find_podman()
        with podman.built(archive, network=self._network, timeout_s=self._build_timeout_s) as image:
            digest = podman.digest(image)
            if digest is None:
                raise Failed("podman lost the image it built: is its store being cleaned?")
            # The second name stays when the tag moves on: an earlier revision is started again by its digest.
            podman.tag(image, f"{self.repository}:{tag}", f"{self.repository}:{digest.replace(':', '-')}")
        return f"{self.repository}@{digest}"

    def find(self, tag: str) -> str | None:
        """The image under this tag, or None. Raises Refused where there is no podman."""
        digest = find_podman().digest(f"{self.repository}:{require_tag(tag)}")
        return None if digest is None else f"{self.repository}@{digest}"
