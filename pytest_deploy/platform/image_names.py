"""How images are named: `<host>/<path>@sha256:<64 hex>`, and their tags, as every container registry reads them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from pytest_deploy.errors import UsageError

_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_HOST: Final = re.compile(
    r"(?:localhost|[a-z0-9-]+(?:\.[a-z0-9-]+)+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?|localhost:[0-9]{1,5}"
)
_PATH: Final = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")


def require_tag(tag: str) -> str:
    """A tag that a registry takes. Raises UsageError."""
    if not _TAG.fullmatch(tag):
        raise UsageError(f"{tag!r} is not a registry's tag: at most 128 letters, digits and ._- , no . or - first")
    return tag


@dataclass(frozen=True)
class Repository:
    """Where the images of one service lie in a registry."""

    host: str
    """With its port, where it has one."""
    path: str

    @classmethod
    def parse(cls, text: str) -> Repository:
        """Raises UsageError for what names no host, or is no repository."""
        host, _, path = text.partition("/")
        if not _HOST.fullmatch(host) or not _PATH.fullmatch(path):
            raise UsageError(
                f"{text!r} is no repository of a registry: right is HOST/PATH in lower case, e.g. "
                "us-east4-docker.pkg.dev/my-project/releases/parcels"
            )
        return cls(host, path)

    @classmethod
    def of_image(cls, image: str) -> tuple[Repository, str]:
        """The repository and the digest of an image. Raises UsageError for one that is not named by its digest."""
        repository, _, digest = image.partition("@")
        if not _DIGEST.fullmatch(digest):
            raise UsageError(f"image {image!r} is not named by its digest: right is HOST/PATH@sha256:<64 hex>")
        return cls.parse(repository), digest

    def __str__(self) -> str:
        return f"{self.host}/{self.path}"

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this very machine: there, and only there, it is talked to without TLS."""
        name = self.host if self.host.endswith("]") else self.host.rpartition(":")[0] or self.host
        try:
            return name == "localhost" or ipaddress.ip_address(name.strip("[]")).is_loopback
        except ValueError:
            return False
