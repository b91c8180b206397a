"""The files on disk are the commit's, byte for byte, or they are named: git is not asked for its opinion of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_deploy.errors import Refused
from pytest_deploy.release import source, tree

FILES = {
    "deploy.yaml": "service: {}\n",
    "service/app.py": "print('reviewed')\n",
    "suites/smoke/test_api.py": "def test_one(): pass\n",
    "migrations/0001_a.sql": "select 1;\n",
    "notes/a.txt": "text\n",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / ".gitignore").write_text("*.log\n__pycache__/\n/.venv/\n")
    (root / "service" / "link.py").symlink_to("app.py")
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-q", "--no-gpg-sign", "-m", "x")
    return root


def git(root: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True, text=True).stdout.strip()


def differs(root: Path) -> tuple[str, ...]:
    return tree.differences(root, git(root, "--no-replace-objects", "rev-parse", "HEAD"), ["suites", "migrations"])


def test_a_clone_differs_in_nothing_nor_by_what_nobody_runs(checkout: Path) -> None:
    for name in ("debug.log", "notes.txt", ".venv/pyvenv.cfg", ".venv/lib/x.py", "reports/local/x.py", ".deploy/y.py"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("")
    (checkout / "service" / "__pycache__").mkdir()
    (checkout / "service" / "__pycache__" / "app.cpython-311.pyc").write_bytes(b"\xa7\r\r\n" + bytes(12))

    assert differs(checkout) == ()


def test_a_module_in_the_folder_of_compiled_ones_is_named(checkout: Path) -> None:
    """`import __pycache__.helper` finds it. Those with a tag in their names are held against their sources elsewhere."""
    (checkout / "suites" / "__pycache__").mkdir()
    for name in ("helper.py", "helper.pyc", "helper.cpython-311.pyc"):
        (checkout / "suites" / "__pycache__" / name).write_text("")

    assert differs(checkout) == (
        "suites/__pycache__/helper.py is not in the commit",
        "suites/__pycache__/helper.pyc is not in the commit",
    )


def assumed_unchanged(root: Path) -> None:
    git(root, "update-index", "--assume-unchanged", "service/app.py")
    (root / "service" / "app.py").write_text("print('nobody')\n")


def by_a_filter(root: Path) -> None:
    (root / ".git" / "info" / "attributes").write_text("service/app.py filter=same\n")
    git(root, "config", "filter.same.clean", "git show HEAD:%f")
    (root / "service" / "app.py").write_text("print('replaced')\n")


def by_fsmonitor(root: Path) -> None:
    hook = root / ".git" / "quiet"
    hook.write_text("#!/bin/sh\nprintf 'token\\0'\n")
    hook.chmod(0o755)
    git(root, "config", "core.fsmonitor", str(hook))
    git(root, "status")
    (root / "service" / "app.py").write_text("print('REVIEWED')\n")


def of_the_same_size_and_time(root: Path) -> None:
    file = root / "service" / "app.py"
    before = file.stat()
    git(root, "config", "core.checkStat", "minimal")
    git(root, "config", "core.trustctime", "false")
    file.write_text("print('REVIEWED')\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def of_another_worktree(root: Path) -> None:
    other = root.parent / "other"
    git(root, "worktree", "add", "-q", str(other), "HEAD", "--detach")
    git(root, "config", "core.worktree", str(other))
    (root / "service" / "app.py").write_text("print('here')\n")


def of_a_replaced_commit(root: Path) -> None:
    (root / "service" / "app.py").write_text("print('replaced')\n")
    git(root, "add", "-A")
    made = git(
        root, "-c", "user.name=A", "-c", "user.email=a@example.org", "commit-tree", git(root, "write-tree"), "-m", "x"
    )
    git(root, "replace", "HEAD", made)


def line_ends(root: Path) -> None:
    (root / ".git" / "info" / "attributes").write_text("service/app.py eol=crlf\n")
    (root / "service" / "app.py").write_bytes(b"print('reviewed')\r\n")


@pytest.mark.parametrize(
    "change",
    [
        assumed_unchanged,
        by_a_filter,
        by_fsmonitor,
        of_the_same_size_and_time,
        of_another_worktree,
        of_a_replaced_commit,
        line_ends,
    ],
)
def test_one_other_byte_is_named_whatever_git_says_of_it(checkout: Path, change: Callable[[Path], None]) -> None:
    change(checkout)

    assert "service/app.py has other bytes than the commit's" in differs(checkout)


def test_what_a_commit_holds_is_read_from_its_own_objects_though_it_was_replaced(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    of_a_replaced_commit(checkout)

    (entry,) = tree.entries(checkout, commit, "service/app.py")

    assert tree.contents(checkout, [entry]) == {entry.object_id: b"print('reviewed')\n"}


@pytest.mark.parametrize(
    "name",
    [
        "holidays.py",
        "conftest.py",
        "suites/preflight/conftest.py",
        "suites/smoke/data.json",
        "migrations/0002_b.sql",
        "service/app.so",
        "lib/anything/x.pth",
        "suites/bent.pyc",
        "setup.cfg",
    ],
)
def test_a_file_that_could_be_run_and_is_in_no_commit_is_named_though_git_ignores_it(checkout: Path, name: str) -> None:
    (checkout / name).parent.mkdir(parents=True, exist_ok=True)
    (checkout / name).write_text("")
    (checkout / ".git" / "info" / "exclude").write_text(f"/{name}\n")

    assert git(checkout, "status", "--porcelain") == ""
    assert differs(checkout) == (f"{name} is not in the commit",)


@pytest.mark.parametrize("name", ["holidays/__init__.py", "suites/preflight/conftest.py", "service/inner/app.py"])
def test_a_folder_that_calls_itself_a_virtual_environment_hides_nothing(checkout: Path, name: str) -> None:
    """Python imports a package all the same, whatever lies beside its modules."""
    (checkout / name).parent.mkdir(parents=True, exist_ok=True)
    (checkout / name).write_text("")
    (checkout / name).with_name("pyvenv.cfg").write_text("")
    (checkout / ".git" / "info" / "exclude").write_text(f"/{name}\npyvenv.cfg\n")

    assert f"{name} is not in the commit" in differs(checkout)


def test_the_virtual_environment_that_runs_this_may_lie_in_the_checkout(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout / "env" / "lib").mkdir(parents=True)
    (checkout / "env" / "lib" / "x.py").write_text("")
    assert differs(checkout) == ("env/lib/x.py is not in the commit",)

    monkeypatch.setattr(sys, "prefix", str(checkout / "env"))

    assert differs(checkout) == ()


def test_a_linked_folder_is_named(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (checkout / "more").symlink_to(tmp_path / "elsewhere")

    assert differs(checkout) == ("more is not in the commit",)


@pytest.mark.parametrize("name", ["deploy.yaml", "suites", "migrations", "suites/smoke", "service/app.py"])
def test_what_a_link_of_the_commit_has_read_from_elsewhere_is_named(checkout: Path, tmp_path: Path, name: str) -> None:
    """The commit holds where it leads, and nothing of what judges the release."""
    (checkout / name).rename(tmp_path / "elsewhere")
    (checkout / name).symlink_to(tmp_path / "elsewhere")
    commit_all(checkout)

    assert [line for line in differs(checkout) if line.startswith(f"{name} is a link to ")]


def test_a_link_to_a_file_of_the_commit_or_to_nothing_is_no_difference(checkout: Path) -> None:
    (checkout / "suites" / "smoke" / "data.txt").symlink_to("../../notes/a.txt")
    (checkout / "notes" / "gone").symlink_to("nowhere")
    (checkout / "papers").symlink_to("notes")
    commit_all(checkout)

    assert differs(checkout) == ()


def commit_all(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-q", "--no-gpg-sign", "-m", "y")


def test_what_is_missing_and_another_mode_or_link_are_named(checkout: Path) -> None:
    (checkout / "notes" / "a.txt").unlink()
    (checkout / "deploy.yaml").chmod(0o755)
    (checkout / "service" / "link.py").unlink()
    (checkout / "service" / "link.py").symlink_to("/etc/passwd")

    assert differs(checkout) == (
        "deploy.yaml has another mode than the commit's (100644)",
        "notes/a.txt is missing",
        "service/link.py has other bytes than the commit's",
    )


def test_the_refusal_names_each_and_what_to_do(checkout: Path) -> None:
    (checkout / "holidays.py").write_text("")

    with pytest.raises(
        Refused, match=r"(?s)production runs what commit .* start in a fresh clone:\n  holidays.py is not in the commit"
    ):
        tree.refuse(differs(checkout), source.read(checkout).commit, "production")


def test_a_name_that_is_not_utf_8_is_named(checkout: Path) -> None:
    (checkout / os.fsdecode(b"caf\xe9.txt")).write_text("")
    git(checkout, "add", "-A")
    git(checkout, "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-q", "--no-gpg-sign", "-m", "y")

    with pytest.raises(Refused, match=r"caf\\xe9.txt.*not UTF-8; rename the file"):
        differs(checkout)


def test_in_a_repository_of_sha_256_too(tmp_path: Path) -> None:
    root = tmp_path / "newer"
    root.mkdir()
    (root / "a.py").write_text("1\n")
    git(root, "init", "-q", "--object-format=sha256")
    git(root, "add", "-A")
    git(root, "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-q", "--no-gpg-sign", "-m", "x")
    assert differs(root) == ()

    (root / "a.py").write_text("2\n")

    assert differs(root) == ("a.py has other bytes than the commit's",)
