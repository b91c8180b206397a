"""A revision of the embedded platform as a real container, under the contract that a process is held to."""

from __future__ import annotations

import contextlib
import io
import subprocess
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from pytest_deploy.errors import RevisionFailed
from pytest_deploy.platform.containers import ContainerArtefacts
from pytest_deploy.platform.containers.builder import find_podman
from pytest_deploy.platform.embedded import LocalPlatform, connect, reset
from pytest_deploy.platform.embedded.places import Places
from pytest_deploy.platform.embedded.supervisor import marked
from pytest_deploy.platform.protocol import Revision
from tests.container_base import base_image
from tests.oci_registry import registry
from tests.unit.platform.conftest import archive, get

Create = Callable[..., Revision]

_CONTAINERFILE = """FROM {base}
WORKDIR /service
COPY app.py .
ENV OF_THE_IMAGE=yes HOST=0.0.0.0
USER 65532:65532
ENTRYPOINT ["python", "app.py"]
"""


@pytest.fixture(scope="module")
def base() -> str:
    return base_image()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, base: str) -> Iterator[Path]:
    """A checkout whose platform runs for all tests here; no container of it outlives them."""
    folder = tmp_path_factory.mktemp("containers")
    holder = open_with_containers(folder, "held")
    yield folder
    holder.close()
    wait_until_gone(folder)
    reset(folder)


@pytest.fixture(scope="module")
def push(checkout: Path, base: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], str]:
    """The image of a version of the small service, built once, under a tag."""
    with contextlib.closing(open_with_containers(checkout, "builds")) as platform:
        artefacts = platform.artefacts
    built: dict[tuple[str, str], str] = {}

    def image(version: str, tag: str) -> str:
        if (version, tag) not in built:
            made = container_archive(tmp_path_factory.mktemp(version), version, base)
            built[version, tag] = artefacts.push(made, tag=tag)
        return built[version, tag]

    return image


@pytest.fixture
def platform(checkout: Path) -> Iterator[LocalPlatform]:
    """Of an environment nobody has deployed to."""
    with contextlib.closing(open_with_containers(checkout, f"e{uuid.uuid4().hex[:8]}")) as opened:
        yield opened


@pytest.fixture
def create(platform: LocalPlatform, push: Callable[[str, str], str]) -> Create:
    """Deploys a version of the small service at 0 %."""
    return lambda version, **env: deploy(platform, push(version, version), env)


def deploy(platform: LocalPlatform, image: str, env: Mapping[str, str]) -> Revision:
    return platform.runtime.create(image=image, env=env, tag="candidate", annotations={}, deadline_s=60)


def open_with_containers(checkout: Path, environment: str, startup_s: float = 30) -> LocalPlatform:
    return connect(
        checkout,
        environment=environment,
        service="tiny",
        command=("python", "app.py"),
        revision_timeout_s=startup_s,
        with_database=False,
        containers=True,
    )


def container_archive(folder: Path, version: str, base: str) -> Path:
    """The small service, with what makes a container of it."""
    path = archive(folder, version)
    text = _CONTAINERFILE.format(base=base).encode()
    with tarfile.open(path, "a") as tar:
        member = tarfile.TarInfo("Containerfile")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))
    return path


def containers(checkout: Path, revision: str = "") -> list[str]:
    """What podman has of a checkout's containers, or of one revision's, running or not."""
    filters = [
        f"--filter=label=pytest-deploy.checkout={Places.of(checkout).label}",
        *([f"--filter=name={revision}"] * bool(revision)),
    ]
    ran = subprocess.run(["podman", "ps", "--all", "--quiet", *filters], check=True, capture_output=True, text=True)
    return ran.stdout.split()


def wait_until_gone(checkout: Path, patience_s: float = 30) -> None:
    until = time.monotonic() + patience_s
    while containers(checkout) or any(marked(f"{Places.of(checkout).root}:")):
        assert time.monotonic() < until, containers(checkout)
        time.sleep(0.05)


def candidate(platform: LocalPlatform) -> str:
    return next(share.url for share in platform.runtime.state().shares if share.tag == "candidate")


def test_it_is_given_what_the_contract_says_and_nothing_of_ours(
    create: Create, platform: LocalPlatform, checkout: Path
) -> None:
    made = create("one", GREETING="two\nlines", PATH="/usr/local/bin:/own")
    said = get(candidate(platform))["env"]
    assert said["OF_THE_IMAGE"] == "yes"
    assert (said["GREETING"], said["PATH"], said["HOST"]) == ("two\nlines", "/usr/local/bin:/own", "127.0.0.1")
    assert (said["K_SERVICE"], said["K_REVISION"]) == ("tiny", made.name)
    assert said["PORT"].isdigit()
    assert "VIRTUAL_ENV" not in said
    assert str(checkout) not in str({name: text for name, text in said.items() if not name.startswith("PYTEST_DEPLOY")})
    assert platform.runtime.last_output(made.name).lines == ("version one starts",)
    assert len(containers(checkout, made.name)) == 1


def test_its_user_is_the_images(create: Create, platform: LocalPlatform, checkout: Path) -> None:
    create("one")
    assert get(candidate(platform))["pid"] == 1, "it has processes of its own"
    inside = [
        process for process in marked(f"{Places.of(checkout).root}:") if process.cmdline() == ["python", "app.py"]
    ]
    assert {process.uids().real for process in inside} == {65532}


def test_no_value_of_a_variable_is_an_argument(create: Create, checkout: Path) -> None:
    create("one", DATABASE_PASSWORD="correct-horse-battery")
    lines = [" ".join(process.cmdline()) for process in marked(f"{Places.of(checkout).root}:")]
    assert any("--env=DATABASE_PASSWORD" in line for line in lines)
    assert "correct-horse-battery" not in "".join(lines)


def test_a_container_that_does_not_start_tells_its_last_words_and_is_gone(create: Create, checkout: Path) -> None:
    with pytest.raises(
        RevisionFailed, match=r"(?s)its process ended with 3 before it listened.*no way to start"
    ) as failure:
        create("crashes")
    assert containers(checkout, failure.value.revision) == []


def test_a_container_that_never_listens_is_ended(checkout: Path, push: Callable[[str, str], str]) -> None:
    with contextlib.closing(open_with_containers(checkout, "deaf", startup_s=2)) as platform:
        with pytest.raises(
            RevisionFailed, match=r"did not answer its start-up probe on PORT=\d+ within 2 s"
        ) as failure:
            deploy(platform, push("deaf", "deaf"), {})
        assert containers(checkout, failure.value.revision) == []


def test_a_container_that_fell_over_is_started_again(create: Create, platform: LocalPlatform) -> None:
    made = create("one")
    with pytest.raises(AssertionError):
        get(candidate(platform), "/die")
    assert get(candidate(platform))["version"] == "one"
    assert platform.runtime.starts(made.name) == 2


def test_a_container_that_traffic_has_left_is_ended(create: Create, platform: LocalPlatform, checkout: Path) -> None:
    first, second = create("one"), create("two")
    platform.runtime.move({second.name: 100}, tags={}, deadline_s=10)
    until = time.monotonic() + 20
    while containers(checkout, first.name) and time.monotonic() < until:
        time.sleep(0.05)
    assert containers(checkout, first.name) == []
    assert get(platform.runtime.state().url)["version"] == "two"


def test_an_earlier_release_is_started_by_its_digest_when_its_tag_has_moved(
    platform: LocalPlatform, push: Callable[[str, str], str]
) -> None:
    first, second = push("one", "dirty"), push("two", "dirty")
    assert platform.artefacts.find("dirty") == second != first
    deploy(platform, first, {})
    assert get(candidate(platform))["version"] == "one"


def test_an_image_of_a_registry_is_fetched_by_its_digest(platform: LocalPlatform, base: str, tmp_path: Path) -> None:
    with registry(tmp_path / "registry") as address:
        image = ContainerArtefacts(f"{address}/a/tiny").push(container_archive(tmp_path, "one", base), tag="one")
        assert not find_podman().has(image)
        deploy(platform, image, {})
        assert get(candidate(platform))["version"] == "one"
        with pytest.raises(RevisionFailed, match="was not pulled by podman: it is not there"):
            deploy(platform, f"{image.partition('@')[0]}@sha256:{'1' * 64}", {})
    find_podman().forget_all(f"{address}/")


def test_an_image_that_is_gone_is_no_revision(platform: LocalPlatform, checkout: Path) -> None:
    image = f"localhost/{Places.of(checkout).label}/tiny@sha256:{'1' * 64}"
    with pytest.raises(RevisionFailed, match="is not in podman's store any more: release it again"):
        deploy(platform, image, {})


def test_a_variable_that_would_bend_podman_is_refused(create: Create) -> None:
    with pytest.raises(RevisionFailed, match="its variable CONTAINERS_CONF is podman's own too"):
        create("one", CONTAINERS_CONF="/etc/other.conf")


@pytest.mark.parametrize("victims", [("supervise",), ("supervise", "guard")])
def test_nothing_is_left_when_the_supervisor_is_killed(tmp_path: Path, base: str, victims: tuple[str, ...]) -> None:
    """With its guardian gone too, the next supervisor ends what is left."""
    with contextlib.closing(open_with_containers(tmp_path, "local")) as platform:
        image = platform.artefacts.push(container_archive(tmp_path, "one", base), tag="one")
        made = deploy(platform, image, {"STUBBORN": "yes"})
        assert len(containers(tmp_path, made.name)) == 1
        doomed = [one for one in marked(f"{Places.of(tmp_path).root}:") if {*victims} & {*one.cmdline()}]
        assert len(doomed) == len(victims)
        for process in doomed:
            process.kill()
    if "guard" in victims:
        assert containers(tmp_path, made.name)
        open_with_containers(tmp_path, "local").close()
    wait_until_gone(tmp_path)
    reset(tmp_path)


def test_a_reset_forgets_its_images(tmp_path: Path, base: str) -> None:
    with contextlib.closing(open_with_containers(tmp_path, "local")) as platform:
        image = platform.artefacts.push(container_archive(tmp_path, "one", base), tag="one")
    wait_until_gone(tmp_path)
    tagged = f"{image.partition('@')[0]}:one"
    assert find_podman().digest(tagged) is not None
    reset(tmp_path)
    assert find_podman().digest(tagged) is None
