"""deploy.yaml in a subfolder of a repository: what lies there and the service's folder count; what is a neighbour's does not."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest

from pytest_deploy.errors import ConfigurationError, UsageError
from pytest_deploy.policy.load import load
from pytest_deploy.policy.policy import Policy
from pytest_deploy.release import source, tree
from pytest_deploy.release.artefact import build_artefact, registry_tag
from tests.unit.policy.sample_policy import BASE, written

SHARED = "../../libs/parcels"


def git(root: Path, *words: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", "-C", root, *who, *words], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """The folder of deploy.yaml in a repository with a library and a neighbour, all committed."""
    repository = tmp_path / "repository"
    for name in ("services/parcels/deploy.yaml", "libs/parcels/app.py", "services/other/app.py"):
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(f"# {name}\n")
    git(tmp_path, "init", "--quiet", str(repository))
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "-m", "All")
    return repository / "services" / "parcels"


def policy(tmp_path: Path, folder: str = SHARED, prefix: str = "") -> Policy:
    text = BASE.replace("source: examples/diary", f"source: {folder}")
    return load(written(tmp_path, text + (f"release: {{tag_prefix: {prefix}}}\n" if prefix else "")), "local")


def repository(service: Path) -> Path:
    return service.parents[1]


@pytest.mark.parametrize(
    "changed, dirty",
    [
        ("services/other/app.py", False),
        ("services/other/new.py", False),
        ("new.py", False),
        ("libs/parcels/app.py", True),
        ("libs/parcels/new.py", True),
        ("services/parcels/deploy.yaml", True),
        ("services/parcels/migrations/0002_new.sql", True),
    ],
)
def test_what_the_deployment_is_made_of_makes_it_dirty_and_a_neighbour_does_not(
    service: Path, tmp_path: Path, changed: str, *, dirty: bool
) -> None:
    (repository(service) / changed).parent.mkdir(exist_ok=True)
    (repository(service) / changed).write_text("changed\n")
    assert source.read(service, policy(tmp_path)).dirty is dirty


def test_a_file_of_the_shared_folder_that_git_is_told_not_to_look_at_makes_it_dirty(
    service: Path, tmp_path: Path
) -> None:
    git(repository(service), "update-index", "--assume-unchanged", "services/other/app.py")
    assert not source.read(service, policy(tmp_path)).dirty
    git(repository(service), "update-index", "--assume-unchanged", "libs/parcels/app.py")
    assert source.read(service, policy(tmp_path)).dirty


def test_a_neighbours_tag_names_no_version_of_this_service(service: Path, tmp_path: Path) -> None:
    commit = git(service, "rev-parse", "HEAD")
    git(service, "tag", "other-9.9")
    assert source.read(service, policy(tmp_path)).version == "other-9.9"
    assert source.read(service, policy(tmp_path, prefix="parcels-")).version == f"0.0.0+g{commit[:12]}"
    git(service, "tag", "parcels-1.2")
    git(service, "commit", "--quiet", "--allow-empty", "-m", "More")
    git(service, "tag", "other-10")
    more = git(service, "rev-parse", "HEAD")
    assert source.read(service, policy(tmp_path, prefix="parcels-")).version == f"parcels-1.2-1-g{more[:12]}"
    git(service, "tag", "parcels/2")
    assert registry_tag(source.read(service, policy(tmp_path, prefix="parcels/")).version) == "parcels-2"


@pytest.mark.parametrize("dirty", [False, True])
def test_the_artefact_is_made_of_the_shared_folder(service: Path, tmp_path: Path, dirty: bool) -> None:  # noqa: FBT001
    shared = repository(service) / "libs" / "parcels"
    (shared / ".deploy").mkdir()
    (shared / ".deploy" / "key").write_text("a neighbour's")
    git(repository(service), "add", "--force", "--all")
    git(repository(service), "commit", "--quiet", "-m", "Private state by mistake")
    if dirty:
        (shared / "new.py").write_text("new\n")
    (repository(service) / "services" / "other" / "app.py").write_text("other\n")

    with tarfile.open(build_artefact(service, SHARED, tmp_path / "built")) as archive:
        held = {member.name for member in archive}
    assert held == {"app.py", "new.py"} if dirty else held == {"app.py"}


def test_one_archive_comes_of_a_folder_wherever_deploy_yaml_lies(service: Path, tmp_path: Path) -> None:
    from_below = build_artefact(service, SHARED, tmp_path / "one")
    from_above = build_artefact(repository(service), "libs/parcels", tmp_path / "two")
    assert from_below.name == from_above.name


@pytest.mark.parametrize("folder", ["../../../elsewhere", "../../.."])
def test_a_folder_outside_the_repository_is_refused(service: Path, tmp_path: Path, folder: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    said = f"service.source: {folder} lies outside the git repository \\(deploy.yaml lies in services/parcels/\\)"
    with pytest.raises(UsageError, match=said):
        source.read(service, policy(tmp_path, folder))
    with pytest.raises(UsageError, match=said):
        build_artefact(service, folder, tmp_path / "built")


@pytest.mark.parametrize("folder", ["/libs/parcels", "libs/../../parcels", "a\\\\b"])
def test_a_folder_is_written_from_deploy_yaml_on(tmp_path: Path, folder: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"is no folder of this repository; give a path relative to deploy\.yaml"
    ):
        policy(tmp_path, folder)


@pytest.mark.parametrize("prefix", ["-x", "'*'", "'a b'", "'a['"])
def test_a_prefix_that_is_a_pattern_is_refused(tmp_path: Path, prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="tag_prefix"):
        policy(tmp_path, prefix=prefix)


def test_what_is_held_against_the_commit_is_this_deployments_own(service: Path) -> None:
    commit = git(service, "rev-parse", "HEAD")
    folders = source.with_source(SHARED)
    (repository(service) / "services" / "other" / "app.py").write_text("other\n")
    (repository(service) / "conftest.py").write_text("other\n")
    assert tree.differences(service, commit, (), folders) == ()

    (repository(service) / "libs" / "parcels" / "app.py").write_text("other\n")
    (repository(service) / "libs" / "parcels" / "new.py").write_text("new\n")
    (service / "conftest.py").write_text("new\n")
    assert tree.differences(service, commit, (), folders) == (
        f"{SHARED}/app.py has other bytes than the commit's",
        f"{SHARED}/new.py is not in the commit",
        "conftest.py is not in the commit",
    )
