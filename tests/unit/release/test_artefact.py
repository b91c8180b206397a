"""The artefact depends on its content and on nothing else."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.release import source
from pytest_deploy.release.artefact import build_artefact, registry_tag


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
    made = build_artefact(checkout, "service", tmp_path / "made")

    assert made.stem == hashlib.sha256(made.read_bytes()).hexdigest()


def test_times_owners_and_umask_do_not_matter(checkout: Path, tmp_path: Path) -> None:
    first = build_artefact(checkout, "service", tmp_path / "one")
    for path in (checkout / "service").rglob("*.py"):
        os.utime(path, (1, 1))
        path.chmod(0o600)

    assert build_artefact(checkout, "service", tmp_path / "two").name == first.name


def test_one_changed_byte_changes_it(checkout: Path, tmp_path: Path) -> None:
    first = build_artefact(checkout, "service", tmp_path / "one")
    (checkout / "service" / "b.py").write_text("print('c')\n")

    assert build_artefact(checkout, "service", tmp_path / "two").name != first.name


def test_it_holds_what_git_knows_and_nothing_that_git_ignores(checkout: Path, tmp_path: Path) -> None:
    (checkout / "service" / "debug.log").write_text("noise")
    (checkout / "service" / "new.py").write_text("new")

    with tarfile.open(build_artefact(checkout, "service", tmp_path / "made")) as archive:
        assert archive.getnames() == ["b.py", "inner/a.py", "new.py"]


def test_neither_private_state_nor_the_record_is_in_it_whatever_git_ignores(checkout: Path, tmp_path: Path) -> None:
    for name in (".deploy/keys/local.pem", "reports/local/log/00000000.event"):
        (checkout / name).parent.mkdir(parents=True)
        (checkout / name).write_text("secret")
    git(checkout, "add", "-A")
    for state in ("staged", "committed"):
        if state == "committed":
            commit(checkout)
        with tarfile.open(build_artefact(checkout, ".", tmp_path / state)) as archive:
            assert archive.getnames() == [".gitignore", "service/b.py", "service/inner/a.py"]


def test_a_private_key_is_refused_by_name(checkout: Path, tmp_path: Path) -> None:
    (checkout / "service" / "id").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n")

    with pytest.raises(Refused, match=r"service/id holds a private key, which must be in no artefact"):
        build_artefact(checkout, "service", tmp_path / "made")


def test_it_is_the_commit_s_whatever_the_working_tree_was_made_to_say(checkout: Path, tmp_path: Path) -> None:
    reviewed = build_artefact(checkout, "service", tmp_path / "reviewed")
    (checkout / ".git" / "info" / "attributes").write_text("service/b.py filter=same\n")
    git(checkout, "config", "filter.same.clean", "git show HEAD:%f")
    (checkout / "service" / "b.py").write_text("print('x')\n")
    assert not source.read(checkout).dirty, "git is made to say so: nothing is shown"

    assert build_artefact(checkout, "service", tmp_path / "made").name == reviewed.name


@pytest.mark.parametrize("committed", [False, True])
def test_a_link_inside_is_kept_as_one(checkout: Path, tmp_path: Path, committed: bool) -> None:  # noqa: FBT001
    (checkout / "service" / "inner" / "link.py").symlink_to("../b.py")
    (checkout / "service" / "folder").symlink_to("inner")
    if committed:
        git(checkout, "add", "-A")
        commit(checkout)

    with tarfile.open(build_artefact(checkout, "service", tmp_path / "made")) as archive:
        kept = {member.name: member.linkname for member in archive if member.issym()}
    assert kept == {"inner/link.py": "../b.py", "folder": "inner"}


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize(
    "target, said",
    [
        ("/etc/passwd", "leads out of the service's folder, to /etc/passwd"),
        ("../../.gitignore", "leads out of the service's folder, to ../../.gitignore"),
        ("nothing.py", "leads nowhere, to nothing.py"),
    ],
)
def test_a_link_out_of_the_tree_or_to_nothing_is_refused_by_name(
    checkout: Path,
    tmp_path: Path,
    committed: bool,  # noqa: FBT001
    target: str,
    said: str,
) -> None:
    (checkout / "service" / "inner" / "link").symlink_to(target)
    if committed:
        git(checkout, "add", "-A")
        commit(checkout)

    with pytest.raises(Refused, match=re.escape(f"service/inner/link is a link that {said}")):
        build_artefact(checkout, "service", tmp_path / "made")


def test_a_submodule_is_refused_by_name(checkout: Path, tmp_path: Path) -> None:
    git(checkout, "update-index", "--add", "--cacheinfo", f"160000,{source.read(checkout).commit},service/other")
    commit(checkout)
    (checkout / "service" / "other").mkdir()

    with pytest.raises(Refused, match="service/other is a submodule"):
        build_artefact(checkout, "service", tmp_path / "made")


def test_an_empty_service_is_refused(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no file"):
        build_artefact(checkout, "nowhere", tmp_path / "made")


def test_a_version_becomes_a_registrys_tag() -> None:
    assert registry_tag("0.0.0+g1234.dirty") == "0.0.0-g1234.dirty"


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
