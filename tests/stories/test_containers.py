"""The diary as a real container on this machine: deployed, and brought back when a release is faulty; no container is left."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.container_base import use_base_image
from tests.project_checkout import QUICK, Checkout
from tests.required_programs import needs
from tests.stories.step_ids import ARTEFACT
from tests.stories.story_assertions import Deployed, assert_ended

CONTAINERS = ("--deploy-set=platform.runtime=container",)


@pytest.fixture(scope="module")
def contained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout whose Dockerfile names the base image that is here; nothing else of it is changed."""
    with Checkout.open(tmp_path_factory.mktemp("contained")) as made:
        use_base_image(made.path / "examples/diary/Dockerfile")
        made.commit("The base image that is here")
        yield made
        images = subprocess.run(
            ["podman", "images", "--quiet", f"--filter=reference=localhost/{made.places.label}/*"],
            check=True,
            capture_output=True,
            text=True,
        )
        subprocess.run(["podman", "rmi", "--force", *set(images.stdout.split())], check=False, capture_output=True)


def containers(checkout: Checkout) -> list[str]:
    """What podman has of a checkout's containers, running or not."""
    words = ["podman", "ps", "--all", "--quiet", f"--filter=label=pytest-deploy.checkout={checkout.places.label}"]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()


def assert_no_container_is_left(checkout: Checkout, within_s: float = 5) -> None:
    """A container's entry goes a moment after its last process."""
    until = time.monotonic() + within_s
    while (left := containers(checkout)) and time.monotonic() < until:
        time.sleep(0.05)
    assert left == []


def test_a_release_is_a_container_and_a_faulty_one_is_rolled_back(contained: Checkout) -> None:
    ran = contained.run("--deploy-env=local", *QUICK, *CONTAINERS)
    assert_ended(contained, ran, code=0, outcome="deployed")
    assert_no_container_is_left(contained)
    (deployed,) = contained.said("revision.deployed")
    image = next(data["image"] for data in contained.said("step.finished") if data["nodeid"] == ARTEFACT)
    assert re.fullmatch(rf"localhost/{contained.places.label}/diary@sha256:[0-9a-f]{{64}}", image)
    assert deployed["image"] == image
    standing = contained.standing()
    assert standing.status == 200, "the container of the release answers"

    contained.commit("A release of its own")
    faulty = contained.run("--deploy-env=local", *QUICK, *CONTAINERS, "--deploy-set=service.env.FAULT=login")

    assert_ended(contained, faulty, code=1, outcome="rolled-back")
    assert contained.standing() == standing
    assert_no_container_is_left(contained)


def test_a_base_image_that_is_not_here_stops_the_build(deployed: Deployed) -> None:
    needs("podman")
    ran = deployed.checkout.run("--deploy-env=local", *QUICK, *CONTAINERS)

    assert ran.code == 1, ran.said
    assert "the base image is not in this machine's store" in ran.said
    assert deployed.checkout.failing() == {"build/test_artefact.py::test_artefact_is_built_and_reproducible"}
    assert deployed.checkout.standing() == deployed.standing
