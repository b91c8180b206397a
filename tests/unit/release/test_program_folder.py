"""A program runs as its commit holds it: from a fresh folder, whatever lies in the working tree."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.release.program_folder import refuse_uncommitted, written_out


def git(root: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True, text=True).stdout.strip()


def commit(root: Path) -> str:
    git(root, "add", "-A")
    git(root, "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-q", "--no-gpg-sign", "-m", "x")
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    (root / "under/parts").mkdir(parents=True)
    (root / "under/__main__.py").write_text("import parts.one\n")
    (root / "under/parts/one.py").write_text("print('committed')\n")
    (root / "other.py").write_text("")
    git(root, "init", "-q", "-b", "main")
    commit(root)
    return root


def test_a_commits_folder_is_written_out_whole_and_nothing_of_the_working_tree(checkout: Path) -> None:
    first = git(checkout, "rev-parse", "HEAD")
    (checkout / "under/parts/one.py").write_text("print('of the tree')\n")
    (checkout / "under/stray.py").write_text("")

    with written_out(checkout, first, "under") as fresh:
        found = {str(path.relative_to(fresh)): path.read_text() for path in fresh.rglob("*") if path.is_file()}
        assert fresh.stat().st_mode & 0o077 == 0, "it is this user's alone"

    assert found == {"__main__.py": "import parts.one\n", "parts/one.py": "print('committed')\n"}
    assert not fresh.exists()


def test_an_earlier_commits_folder_is_that_commits(checkout: Path) -> None:
    first = git(checkout, "rev-parse", "HEAD")
    (checkout / "under/parts/one.py").write_text("print('later')\n")
    second = commit(checkout)

    for wanted, text in ((first, "print('committed')\n"), (second, "print('later')\n")):
        with written_out(checkout, wanted, "under") as fresh:
            assert (fresh / "parts/one.py").read_text() == text


def test_a_link_is_refused_and_so_is_a_folder_that_no_commit_holds(checkout: Path) -> None:
    (checkout / "under/link.py").symlink_to("../other.py")
    linked = commit(checkout)

    with (
        pytest.raises(Refused, match=r"under/link\.py in commit .*: a link or a submodule"),
        written_out(checkout, linked, "under"),
    ):
        pass
    with pytest.raises(Refused, match="holds no file in missing"), written_out(checkout, linked, "missing"):
        pass
    with pytest.raises(UsageError), written_out(checkout, "0" * 40, "under"):
        pass


def test_uncommitted_changes_of_the_folder_are_refused_and_those_beside_it_are_not(checkout: Path) -> None:
    (checkout / "other.py").write_text("changed = True\n")
    refuse_uncommitted(checkout, "under")

    (checkout / "under/stray.py").write_text("")
    with pytest.raises(Refused, match=r"under is run as commit .* and has uncommitted changes"):
        refuse_uncommitted(checkout, "under")
