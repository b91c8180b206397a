"""Images that lie on this machine alone: one checkout's names are taken away, and another's stay on the same image."""

from __future__ import annotations

import pytest

from pytest_deploy.platform.containers import LocalImages
from pytest_deploy.platform.containers.builder import find_podman
from tests.unit.platform.containers.conftest import Archive


@pytest.mark.usefixtures("_builder")
def test_forgetting_one_checkouts_images_leaves_another_checkout_the_same_image(archive: Archive) -> None:
    ours, theirs = LocalImages("pytest-deploy-ours", "diary"), LocalImages("pytest-deploy-theirs", "diary")
    podman = find_podman()
    mine, yours = ours.push(archive(), tag="v1"), theirs.push(archive(), tag="v1")
    try:
        podman.forget_all("localhost/pytest-deploy-ours/")

        assert ours.find("v1") is None
        assert theirs.find("v1") == yours
        assert podman.has(yours)
        assert mine.partition("@")[2] == yours.partition("@")[2]
    finally:
        podman.forget_all("localhost/pytest-deploy-theirs/")
    assert theirs.find("v1") is None
