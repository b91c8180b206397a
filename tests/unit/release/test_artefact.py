"""The artefact depends on its content and on nothing else."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from pytest_deploy.errors import UsageError
from pytest_deploy.release import source


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    (root / "service" / "inner").mkdir(parents=True)
    (root / "service" / "b.py").write_text("print('b')\n")
    (root / "service" / "inner" / "a.py").write_text("print('a')\n")
    (root / ".gitignore").write_text("*.log\n")
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    commit(root)
    return root


def git(root: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True)


def commit(root: Path) -> None:
    git(root, "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-q", "-m", "x")


def test_its_name_is_the_digest_of_its_bytes(checkout: Path, tmp_path: Path) -> None:
    made = source.build_artefact(checkout, "service", tmp_path / "made")

    assert made.stem == hashlib.sha256(made.read_bytes()).hexdigest()


def test_times_owners_and_umask_do_not_matter(checkout: Path, tmp_path: Path) -> None:
    first = source.build_artefact(checkout, "service", tmp_path / "one")
    for path in (checkout / "service").rglob("*.py"):
        os.utime(path, (1, 1))
        path.chmod(0o600)

    assert source.build_artefact(checkout, "service", tmp_path / "two").name == first.name


def test_one_changed_byte_changes_it(checkout: Path, tmp_path: Path) -> None:
    first = source.build_artefact(checkout, "service", tmp_path / "one")
    (checkout / "service" / "b.py").write_text("print('c')\n")

    assert source.build_artefact(checkout, "service", tmp_path / "two").name != first.name


def test_it_holds_what_git_knows_and_nothing_that_git_ignores(checkout: Path, tmp_path: Path) -> None:
    (checkout / "service" / "debug.log").write_text("noise")
    (checkout / "service" / "new.py").write_text("new")

    with tarfile.open(source.build_artefact(checkout, "service", tmp_path / "made")) as archive:
        assert archive.getnames() == ["b.py", "inner/a.py", "new.py"]


def test_an_empty_service_is_refused(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no file"):
        source.build_artefact(checkout, "nowhere", tmp_path / "made")


def test_a_version_becomes_a_registrys_tag() -> None:
    assert source.registry_tag("0.0.0+g1234.dirty") == "0.0.0-g1234.dirty"


def test_without_a_tag_the_version_names_the_commit(checkout: Path) -> None:
    found = source.read(checkout)

    assert found.version == f"0.0.0+g{found.commit[:12]}"
    assert (found.branch, found.dirty) == ("main", False)


def test_a_tag_is_the_version_and_a_change_makes_it_dirty(checkout: Path) -> None:
    git(checkout, "tag", "v1.2.3")
    assert source.read(checkout).version == "v1.2.3"

    (checkout / "service" / "b.py").write_text("changed")
    assert source.read(checkout).version == "v1.2.3.dirty"
    assert source.read(checkout).dirty


def test_a_folder_that_is_no_checkout_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="git init"):
        source.read(tmp_path)
