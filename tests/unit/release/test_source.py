"""Which commit a checkout is, and whether it is exactly that: told by the checkout, never by what is set around it."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from pytest_deploy.errors import UsageError
from pytest_deploy.release import source
from tests.unprivileged import as_nobody, open_folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return repository(tmp_path / "checkout", "print('reviewed')\n")


def repository(root: Path, text: str) -> Path:
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / "service.py").write_text(text)
    git(root, "add", "-A")
    git(root, "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-q", "--no-gpg-sign", "-m", "x")
    return root


def git(root: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True, text=True).stdout.strip()


def test_a_commit_as_it_was_made_is_clean_and_a_change_is_not(checkout: Path) -> None:
    assert not source.read(checkout).dirty
    (checkout / "service.py").write_text("print('other')\n")

    assert source.read(checkout).dirty
    assert source.read(checkout).version.endswith(".dirty")


@pytest.mark.parametrize("word", ["--assume-unchanged", "--skip-worktree"])
def test_a_file_that_git_is_told_not_to_look_at_makes_the_tree_dirty(checkout: Path, word: str) -> None:
    git(checkout, "update-index", word, "service.py")
    (checkout / "service.py").write_text("print('nobody reviewed this')\n")

    assert git(checkout, "status", "--porcelain") == ""
    assert source.read(checkout).dirty


def test_a_new_file_makes_the_tree_dirty_however_git_is_set_to_show_it(checkout: Path) -> None:
    git(checkout, "config", "status.showUntrackedFiles", "no")
    (checkout / "more.py").write_text("")

    assert git(checkout, "status", "--porcelain") == ""
    assert source.read(checkout).dirty


def test_another_repository_named_in_the_environment_is_not_asked(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = git(checkout, "rev-parse", "HEAD")
    other = repository(tmp_path / "other", "print('of others')\n")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))

    assert own == source.read(checkout).commit


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_checkout_of_another_user_is_named_with_what_has_git_read_it() -> None:
    with open_folder() as home:
        checkout = repository(home / "their's", "print('reviewed')\n")
        with as_nobody(), pytest.raises(UsageError, match="which belongs to another user: let it") as refused:
            source.read(checkout)

    assert f"safe.directory {shlex.quote(str(checkout))}`" in str(refused.value)


CREDENTIALS = "gha-creds-0123456789abcdef.json"


def test_the_credentials_of_a_runners_login_do_not_make_the_tree_dirty(checkout: Path) -> None:
    """google-github-actions/auth writes them into the workspace, also where no .gitignore names them."""
    (checkout / CREDENTIALS).write_text("{}")

    assert not source.read(checkout).dirty
    assert checkout / CREDENTIALS not in source.files(checkout, ".")

    (checkout / "gha-creds.json").write_text("{}")
    assert source.read(checkout).dirty, "another name is another file"


def test_credentials_that_are_committed_and_changed_do(checkout: Path) -> None:
    (checkout / CREDENTIALS).write_text("{}")
    git(checkout, "add", "-A")
    assert source.read(checkout).dirty

    git(checkout, "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-q", "--no-gpg-sign", "-m", "x")
    assert not source.read(checkout).dirty
    (checkout / CREDENTIALS).write_text("{ }")
    assert source.read(checkout).dirty
