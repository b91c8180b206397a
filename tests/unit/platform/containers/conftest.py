"""Releases whose image is made of nothing but their own files, and a real registry to keep it."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.oci_registry import registry
from tests.required_programs import needs

Archive = Callable[..., Path]

CONTAINERFILE = 'FROM scratch\nCOPY hello /hello\nENTRYPOINT ["/hello"]\n'


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Makes the archive of a release from its files' texts."""

    def make(files: Mapping[str, str] | None = None) -> Path:
        path = tmp_path / "release.tar"
        with tarfile.open(path, "w") as tar:
            for name, text in (files or {"Containerfile": CONTAINERFILE, "hello": "hello\n"}).items():
                member = tarfile.TarInfo(name)
                member.size = len(text.encode())
                tar.addfile(member, io.BytesIO(text.encode()))
        return path

    return make


@pytest.fixture(scope="session")
def _builder() -> None:
    needs("podman")
    needs("runc")


@pytest.fixture(scope="module")
def address(_builder: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a registry that lets everybody in."""
    with registry(tmp_path_factory.mktemp("registry") / "data") as served:
        yield served
