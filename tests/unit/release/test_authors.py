"""Who had a hand in what is released: a real repository, its authors, committers and co-authors since the last release."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_deploy.approvals.roster import Roster
from pytest_deploy.errors import Refused
from pytest_deploy.record import programs
from pytest_deploy.release.source import authors
from tests.unit.approvals.pending_request import TINA

Commit = Callable[..., str]
ROSTER = Roster({TINA.email: TINA}, ())


def git(root: Path, *words: str, **env: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    ran = subprocess.run(
        ["git", "-C", str(root), *words], env={**kept, "GIT_CONFIG_GLOBAL": os.devnull, **env},
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    return ran.stdout.strip()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "repository"
    path.mkdir()
    git(path, "init", "--quiet", "--initial-branch=main")
    return path


@pytest.fixture
def commit(root: Path) -> Commit:
    def make(author: str, committer: str = "", message: str = "Change") -> str:
        who = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": author}
        by = {"GIT_COMMITTER_NAME": "C", "GIT_COMMITTER_EMAIL": committer or author}
        git(root, "commit", "--quiet", "--allow-empty", "--no-gpg-sign", "-m", message, **who, **by)
        return git(root, "rev-parse", "HEAD")

    return make


def test_authors_and_committers_since_the_last_release_and_nobody_before(root: Path, commit: Commit) -> None:
    released = commit("old@x.org")
    head = commit("Ann@x.org", "ben@x.org")

    assert authors(root, head, released) == ("ann@x.org", "ben@x.org")
    assert authors(root, head, None) == ("ann@x.org", "ben@x.org", "old@x.org")
    assert authors(root, head, head) == ()


@pytest.mark.parametrize(
    "trailer",
    [
        "Co-authored-by: Cat <cat@x.org>",
        "co-AUTHORED-by:Cat<Cat@X.org>",
        "  Co-authored-by : Cat (she) < cat@x.org >",
        "Co-authored-by: cat@x.org",
        "Co-Authored-By: Cat <cat@x.org> and others",
    ],
)
def test_co_authors_count_however_they_are_written(root: Path, commit: Commit, trailer: str) -> None:
    head = commit("ann@x.org", message=f"Change\n\nCloses it.\n\n{trailer}\nSigned-off-by: Dan <dan@x.org>")

    assert {"ann@x.org", "cat@x.org"} <= set(authors(root, head, None))


def test_a_merged_branch_brings_its_authors(root: Path, commit: Commit) -> None:
    released = commit("old@x.org")
    git(root, "checkout", "--quiet", "-b", "side")
    commit("side@x.org")
    git(root, "checkout", "--quiet", "main")
    commit("ann@x.org")
    name = {"GIT_AUTHOR_NAME": "M", "GIT_COMMITTER_NAME": "M"}
    mail = {"GIT_AUTHOR_EMAIL": "merge@x.org", "GIT_COMMITTER_EMAIL": "merge@x.org"}
    git(root, "merge", "--quiet", "--no-ff", "--no-gpg-sign", "-m", "Merge", "side", **name, **mail)

    assert authors(root, git(root, "rev-parse", "HEAD"), released) == ("ann@x.org", "merge@x.org", "side@x.org")


def test_history_that_was_rewritten_counts_from_where_it_parted(root: Path, commit: Commit) -> None:
    base = commit("base@x.org")
    released = commit("released@x.org")
    git(root, "checkout", "--quiet", "-b", "again", base)
    head = commit("ann@x.org")

    assert authors(root, head, released) == ("ann@x.org",)


def test_a_mailmap_hides_nobody(root: Path, commit: Commit) -> None:
    (root / ".mailmap").write_text("Innocent <other@x.org> <ann@x.org>\n")
    git(root, "config", "log.mailmap", "true")
    head = commit("ann@x.org")

    assert authors(root, head, None) == ("ann@x.org",)


def test_a_replaced_commit_hides_nobody(root: Path, commit: Commit) -> None:
    """`git replace` shows another commit under a hash; what was released is the one that was hashed."""
    head = commit("ann@x.org")
    git(root, "checkout", "--quiet", "--orphan", "other")
    other = commit("innocent@x.org")
    git(root, "replace", head, other)

    assert authors(root, head, None) == ("ann@x.org",)


def test_a_graft_hides_nobody(root: Path, commit: Commit) -> None:
    commit("ann@x.org")
    head = commit("ben@x.org")
    (root / ".git" / "info" / "grafts").write_text(f"{head}\n")

    assert authors(root, head, None) == ("ann@x.org", "ben@x.org")


def test_a_co_author_without_an_e_mail_is_nobody_known(root: Path, commit: Commit) -> None:
    head = commit("tina@example.org", message="Change\n\nCo-authored-by: Cat\n <cat@x.org>")

    assert ROSTER.unknown_authors(authors(root, head, None), []) == ("cat",)


@pytest.mark.parametrize(
    "author, committer, message",
    [
        ("", "tina@example.org", "Change"),
        ("tina@example.org", "", "Change"),
        ("tina@example.org", "tina@example.org", "Change\n\nCo-authored-by:\n  Eve <eve@x.org>"),
    ],
    ids=["author", "committer", "co-author"],
)
def test_a_commit_that_does_not_name_who_wrote_it_is_nobodys_known(
    root: Path, commit: Commit, author: str, committer: str, message: str
) -> None:
    commit("tina@example.org", message=message)
    who = {"GIT_AUTHOR_EMAIL": author, "GIT_COMMITTER_EMAIL": committer}
    who |= {"GIT_AUTHOR_NAME": "A", "GIT_COMMITTER_NAME": "C"}
    git(root, "commit", "--quiet", "--amend", "--reset-author", "--no-edit", "--allow-empty", "--no-gpg-sign", **who)
    head = git(root, "rev-parse", "HEAD")

    assert ROSTER.unknown_authors(authors(root, head, None), []) == ("(nobody)",)


def test_how_git_is_set_to_show_a_log_hides_nobody(root: Path, commit: Commit) -> None:
    head = commit("ann@x.org", message="Change\n\nCo-authored-by: Eve <eve@x.org>")
    git(root, "config", "i18n.logOutputEncoding", "UTF-16")
    git(root, "config", "log.showSignature", "true")

    assert authors(root, head, None) == ("ann@x.org", "eve@x.org")


@pytest.mark.parametrize("unknown", ["commit", "since"])
def test_a_commit_that_is_not_here_blocks(root: Path, commit: Commit, unknown: str) -> None:
    known = commit("ann@x.org")
    asked = {"commit": known, "since": known, unknown: "0" * 40}

    with pytest.raises(Refused, match=r"commit 0{40} is not in this clone: fetch it whole"):
        authors(root, asked["commit"], asked["since"])


def test_a_shallow_clone_blocks(root: Path, commit: Commit, tmp_path: Path) -> None:
    commit("ann@x.org")
    head = commit("ben@x.org")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth", "1", root.as_uri(), str(shallow))

    with pytest.raises(Refused, match="this clone is shallow"):
        authors(shallow, head, None)


def test_a_machine_without_git_blocks(root: Path, commit: Commit, tmp_path: Path) -> None:
    """Who wrote it cannot be told, so nobody is a stranger to it."""
    head = commit("ann@x.org")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        patch.setattr(programs, "SYSTEM_FOLDERS", ())
        with pytest.raises(Refused, match=r"git .* did not answer"):
            authors(root, head, None)


def test_a_folder_that_is_no_repository_blocks(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="git rev-parse: fatal"):
        authors(tmp_path, "0" * 40, None)


def test_who_is_nobody_in_the_roster_and_not_outside_is_unmapped() -> None:
    emails = ("bot@x.org", "eve@x.org", "tina@home.example")

    assert ROSTER.unknown_authors(emails, ["Bot@X.org"]) == ("eve@x.org",)
