"""A release's image: built by podman, kept in a real registry, named by the digest that the registry has."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import requests

from pytest_deploy.errors import Failed, PlatformUnavailable, Refused, UsageError
from pytest_deploy.platform.containers import ContainerArtefacts, Login
from pytest_deploy.platform.containers.builder import find_builder
from tests.oci_registry import registry
from tests.required_programs import path_of
from tests.unit.platform.containers.conftest import CONTAINERFILE, Archive

TOKEN = "a-token-of-today"
HTPASSWD = "oauth2accesstoken:$2b$04$GoUgpzBTUtZ1pM8cxLvcuuM/lWPBIR6Mq7Sc6nxoWohJOkYATjsiC\n"


def manifest(address: str, image: str) -> Any:
    """As the registry has it, asked past the package."""
    name, _, digest = image.partition("/")[2].partition("@")
    answer = requests.get(
        f"http://{address}/v2/{name}/manifests/{digest}",
        headers={"Accept": "application/vnd.oci.image.manifest.v1+json"},
        timeout=5,
    )
    assert answer.status_code == 200
    return answer.json()


def test_an_image_is_one_manifest_for_linux_on_amd64(archive: Archive, address: str) -> None:
    image = ContainerArtefacts(f"{address}/one/diary").push(archive(), tag="v1")
    found = manifest(address, image)
    assert found["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    config = requests.get(f"http://{address}/v2/one/diary/blobs/{found['config']['digest']}", timeout=5).json()
    assert (config["os"], config["architecture"], config["created"]) == ("linux", "amd64", "1970-01-01T00:00:00Z")
    assert TOKEN not in json.dumps(found)


def test_the_same_release_gives_the_same_image_each_time(archive: Archive, address: str) -> None:
    first, second = (ContainerArtefacts(f"{address}/{name}/diary") for name in ("here", "there"))
    one = first.push(archive(), tag="v1")
    other = second.push(archive(), tag="v1")
    assert one.partition("@")[2] == other.partition("@")[2]
    assert first.push(archive(), tag="v1") == one, "pushing it again is no change"


def test_a_tag_is_found_once_it_was_pushed(archive: Archive, address: str) -> None:
    artefacts = ContainerArtefacts(f"{address}/found/diary")
    assert artefacts.find("v1") is None
    image = artefacts.push(archive(), tag="v1")
    assert artefacts.find("v1") == image
    assert artefacts.find("v2") is None


def test_a_releases_tag_never_moves(archive: Archive, address: str) -> None:
    artefacts = ContainerArtefacts(f"{address}/fixed/diary")
    image = artefacts.push(archive(), tag="v1")
    other = archive({"Containerfile": CONTAINERFILE, "hello": "another\n"})
    with pytest.raises(Refused, match=f"v1 names {image.partition('@')[2]}, and this source now gives sha256:"):
        artefacts.push(other, tag="v1")
    assert artefacts.find("v1") == image
    assert artefacts.push(other, tag="v2") != image


def test_an_image_is_pulled_by_its_digest(archive: Archive, address: str) -> None:
    artefacts, podman = ContainerArtefacts(f"{address}/pulled/diary"), find_builder()
    image = artefacts.push(archive(), tag="v1")
    assert not podman.has(image), "what was built for the registry is not kept here"
    artefacts.pull(image)
    assert podman.has(image)
    podman.forget(image)
    with pytest.raises(Refused, match=r"was not pulled by podman: it is not there"):
        artefacts.pull(f"{image.partition('@')[0]}@sha256:{'1' * 64}")
    with pytest.raises(UsageError, match=r"is not named by its digest"):
        artefacts.pull(f"{address}/pulled/diary:v1")


def test_nothing_of_a_build_stays_on_the_machine(archive: Archive, address: str) -> None:
    def names() -> str:
        return find_builder()._call(["images", "--format={{.Repository}}"], timeout_s=20).stdout.text

    before = names()
    ContainerArtefacts(f"{address}/left/diary").push(archive(), tag="v1")
    assert "pytest-deploy-build" not in names().replace(before, "")


@pytest.mark.parametrize("name", ["Containerfile", "Dockerfile"])
def test_either_name_of_the_build_file_is_taken(archive: Archive, address: str, name: str) -> None:
    made = archive({name: CONTAINERFILE, "hello": "hello\n"})
    assert ContainerArtefacts(f"{address}/{name.lower()}/diary").push(made, tag="v1")


def test_an_archive_without_a_build_file_is_refused(archive: Archive, address: str) -> None:
    with pytest.raises(Refused, match=r"holds no Containerfile and no Dockerfile.*service.source"):
        ContainerArtefacts(f"{address}/none/diary").push(archive({"app.py": "print()\n"}), tag="v1")


def test_a_build_that_fails_tells_its_last_lines(archive: Archive, address: str) -> None:
    broken = archive({"Containerfile": "FROM scratch\nCOPY nothing /there\n"})
    with pytest.raises(Failed, match=r"(?s)podman built no image from Containerfile; its last lines:\n.*nothing"):
        ContainerArtefacts(f"{address}/broken/diary").push(broken, tag="v1")


def test_a_base_image_that_is_not_here_is_not_fetched(archive: Archive, address: str) -> None:
    base = f"{address}/base/image:1"
    made = archive({"Containerfile": f"FROM {base}\nCOPY Containerfile /\n"})
    with pytest.raises(Failed, match=r"(?s)the base image is not in this machine's store.*platform.build_network"):
        ContainerArtefacts(f"{address}/based/diary").push(made, tag="v1")


def test_a_registry_that_does_not_answer_is_told_from_one_that_refuses(archive: Archive) -> None:
    with pytest.raises(PlatformUnavailable, match=r"http://127.0.0.1:1/v2/a/b/manifests/v1: no answer"):
        ContainerArtefacts("127.0.0.1:1/a/b").push(archive(), tag="v1")


def test_who_is_signed_in_pushes_and_nobody_else(archive: Archive, address: str, tmp_path: Path) -> None:
    with registry(tmp_path / "guarded", htpasswd=HTPASSWD) as guarded:
        repository = f"{guarded}/a/diary"
        mine = ContainerArtefacts(repository, login=lambda: Login("oauth2accesstoken", TOKEN))
        image = mine.push(archive(), tag="v1")
        assert mine.find("v1") == image
        mine.pull(image)
        find_builder().forget(image)
        with pytest.raises(Refused, match=r"nobody is signed in there"):
            ContainerArtefacts(repository).find("v1")
        stale = ContainerArtefacts(repository, login=lambda: Login("oauth2accesstoken", "a-token-of-yesterday"))
        with pytest.raises(Refused, match=r"the login of oauth2accesstoken is not taken, or has expired") as refused:
            stale.push(archive(), tag="v2")
        assert "yesterday" not in str(refused.value)


def test_a_token_is_never_an_argument_and_its_file_is_gone(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A podman in front of the real one writes down what it was called with, and the modes of the files it was given."""
    real = find_builder().program
    front = tmp_path / "bin/podman"
    front.parent.mkdir()
    front.write_text(
        "#!/bin/sh\n"
        f'for word; do echo "$word" >> {tmp_path}/words; case "$word" in --authfile=*) stat -c "%a %n" "${{word#*=}}" >> {tmp_path}/files;; esac; done\n'
        f'env >> {tmp_path}/words\nexec {real} "$@"\n',
        encoding="utf-8",
    )
    front.chmod(0o755)
    monkeypatch.setenv("PATH", f"{front.parent}:{os.environ['PATH']}")
    with registry(tmp_path / "guarded", htpasswd=HTPASSWD) as guarded:
        ContainerArtefacts(f"{guarded}/a/diary", login=lambda: Login("oauth2accesstoken", TOKEN)).push(
            archive(), tag="v1"
        )
    assert TOKEN not in (tmp_path / "words").read_text(encoding="utf-8")
    mode, _, file = (tmp_path / "files").read_text(encoding="utf-8").strip().partition(" ")
    assert mode == "600"
    assert not Path(file).parent.exists()


def test_without_a_builder_it_says_what_to_install(
    archive: Archive, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match=r"looked for podman and buildah on PATH; install one"):
        ContainerArtefacts(f"{address}/a/diary").push(archive(), tag="v1")
    (tmp_path / "docker").symlink_to("/bin/true")
    with pytest.raises(Refused, match=r"docker is there, but cannot set the times in an image by itself"):
        ContainerArtefacts(f"{address}/a/diary").push(archive(), tag="v1")


def test_buildah_does_where_podman_is_missing(
    archive: Archive, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "buildah").symlink_to(path_of("buildah"))
    monkeypatch.setenv("PATH", str(tmp_path))
    artefacts = ContainerArtefacts(f"{address}/buildah/diary")
    image = artefacts.push(archive(), tag="v1")
    assert artefacts.push(archive(), tag="v1") == image
    artefacts.pull(image)
    find_builder().forget(image)


@pytest.mark.parametrize(
    "repository", ["diary", "UPPER.example.org/diary", "example.org/", "https://example.org/diary", "example.org/a:v1"]
)
def test_what_is_no_repository_is_refused(repository: str) -> None:
    with pytest.raises(UsageError, match=r"is no repository of a registry: right is HOST/PATH"):
        ContainerArtefacts(repository)
