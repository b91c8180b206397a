"""Artefacts by digest: what is fetched is what was pushed, or nothing."""

from __future__ import annotations

import hashlib
import io
import stat
import tarfile
from pathlib import Path

import pytest

from pytest_deploy.errors import UsageError
from pytest_deploy.platform.embedded.places import ImageUnknown, LocalArtefacts, archive_of, unpack
from tests.unit.platform.conftest import archive


@pytest.fixture
def artefacts(tmp_path: Path) -> LocalArtefacts:
    return LocalArtefacts(tmp_path / "artefacts", "tiny")


def test_an_image_is_named_by_the_digest_of_the_pushed_bytes(artefacts: LocalArtefacts, tmp_path: Path) -> None:
    file = archive(tmp_path, "one")
    image = artefacts.push(file, tag="v1")
    assert image == f"local/tiny@sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


def test_pushing_again_is_no_change(artefacts: LocalArtefacts, tmp_path: Path) -> None:
    image = artefacts.push(archive(tmp_path, "one"), tag="v1")
    blob = archive_of(tmp_path / "artefacts", image[-64:])
    before = blob.stat().st_mtime_ns
    assert artefacts.push(archive(tmp_path, "one"), tag="v1") == image
    assert blob.stat().st_mtime_ns == before
    assert len(list((tmp_path / "artefacts" / "sha256").iterdir())) == 1


def test_a_tag_is_found_and_moves_with_the_last_push(artefacts: LocalArtefacts, tmp_path: Path) -> None:
    assert artefacts.find("v1") is None
    one = artefacts.push(archive(tmp_path, "one"), tag="v1")
    assert artefacts.find("v1") == one
    two = artefacts.push(archive(tmp_path, "two"), tag="v1")
    assert artefacts.find("v1") == two


@pytest.mark.parametrize("tag", ["", "../x", "a/b", "-a", ".a", "a" * 129, "0.0.0+gabc"])
def test_what_a_registry_would_not_take_as_a_tag_is_refused(
    artefacts: LocalArtefacts, tmp_path: Path, tag: str
) -> None:
    with pytest.raises(UsageError, match="not a registry's tag"):
        artefacts.push(archive(tmp_path, "one"), tag=tag)
    assert not (tmp_path / "artefacts").exists()


def test_an_image_is_unpacked_once(artefacts: LocalArtefacts, tmp_path: Path) -> None:
    image = artefacts.push(archive(tmp_path, "one"), tag="v1")
    folder = unpack(image, artefacts=tmp_path / "artefacts", images=tmp_path / "images")
    assert [path.name for path in folder.iterdir()] == ["app.py"]
    (folder / "mark").touch()
    assert unpack(image, artefacts=tmp_path / "artefacts", images=tmp_path / "images") == folder
    assert (folder / "mark").exists()


def test_changed_bytes_are_not_unpacked(artefacts: LocalArtefacts, tmp_path: Path) -> None:
    image = artefacts.push(archive(tmp_path, "one"), tag="v1")
    blob = archive_of(tmp_path / "artefacts", image[-64:])
    blob.write_bytes(blob.read_bytes() + b"\0")
    with pytest.raises(ImageUnknown, match="bytes were changed"):
        unpack(image, artefacts=tmp_path / "artefacts", images=tmp_path / "images")
    assert not (tmp_path / "images").exists()


def test_what_is_no_archive_leaves_nothing_behind(artefacts: LocalArtefacts, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("not a tar")
    image = artefacts.push(text, tag="v1")
    with pytest.raises(ImageUnknown, match="not a tar archive"):
        unpack(image, artefacts=tmp_path / "artefacts", images=tmp_path / "images")
    assert list((tmp_path / "images").iterdir()) == []


@pytest.mark.parametrize(
    "name, kind", [("../outside", tarfile.REGTYPE), ("/outside", tarfile.REGTYPE), ("outside", tarfile.SYMTYPE)]
)
def test_a_member_that_could_leave_the_folder_is_refused(
    artefacts: LocalArtefacts, tmp_path: Path, name: str, kind: bytes
) -> None:
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc"
        tar.addfile(member, io.BytesIO())
    image = artefacts.push(tmp_path / "evil.tar", tag="v1")
    with pytest.raises(ImageUnknown, match="outside"):
        unpack(image, artefacts=tmp_path / "artefacts", images=tmp_path / "images")
    assert not (tmp_path / "images" / "outside").exists()


@pytest.mark.parametrize(
    "image", ["tiny", "local/tiny:v1", "local/tiny@sha256:abc", "docker.io/tiny@sha256:" + "0" * 64]
)
def test_only_this_platforms_images_are_known(tmp_path: Path, image: str) -> None:
    with pytest.raises(ImageUnknown, match="not one of this platform's"):
        unpack(image, artefacts=tmp_path, images=tmp_path)


def test_artefacts_are_for_their_owner_only(artefacts: LocalArtefacts, tmp_path: Path) -> None:
    artefacts.push(archive(tmp_path, "one"), tag="v1")
    files = [path for path in (tmp_path / "artefacts").rglob("*") if path.is_file()]
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600, 0o600]
