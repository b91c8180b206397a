"""The artefact depends on its content and on nothing else."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tarfile
from collections.abc import Callable
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


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n",
        "-----BEGIN PRIVATE KEY-----\r\nMC4CAQAwBQYDK2VwBCIEIAAAAAAA\r\n",
        "text before it\n-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGjMF8GCSqGSIb3DQEFDTBS\n",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlFgEZAAAABYJKwYBBAHaRw8B\n",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2\n",
        "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n",
    ],
)
@pytest.mark.parametrize("committed", [False, True])
def test_a_private_key_is_refused_by_name(
    checkout: Path,
    tmp_path: Path,
    text: str,
    committed: bool,  # noqa: FBT001
) -> None:
    (checkout / "service" / "id").write_text(text)
    if committed:
        git(checkout, "add", "-A")
        commit(checkout)

    with pytest.raises(Refused, match=r"service/id holds a private key, which must be in no artefact"):
        build_artefact(checkout, "service", tmp_path / "made")


def test_a_text_about_private_keys_and_a_public_one_may_be_in_it(checkout: Path, tmp_path: Path) -> None:
    (checkout / "service" / "read.me").write_text("It begins with -----BEGIN PRIVATE KEY-----\n")
    (checkout / "service" / "key.pem").write_text("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAAAAAAAAA\n")

    assert build_artefact(checkout, "service", tmp_path / "made").is_file()


def by_a_filter(root: Path) -> None:
    (root / ".git" / "info" / "attributes").write_text("service/b.py filter=same\n")
    git(root, "config", "filter.same.clean", "git show HEAD:%f")
    (root / "service" / "b.py").write_text("print('x')\n")


def by_fsmonitor(root: Path) -> None:
    hook = root / ".git" / "quiet"
    hook.write_text("#!/bin/sh\nprintf 'token\\0'\n")
    hook.chmod(0o755)
    git(root, "config", "core.fsmonitor", str(hook))
    git(root, "status")
    (root / "service" / "b.py").write_text("print('x')\n")


def by_another_worktree(root: Path) -> None:
    other = root.parent / "other"
    git(root, "worktree", "add", "-q", str(other), "HEAD", "--detach")
    git(root, "config", "core.worktree", str(other))
    (root / "service" / "b.py").write_text("print('x')\n")


def by_attributes(root: Path) -> None:
    """They would take a file out of `git archive`, and write others anew."""
    (root / ".git" / "info" / "attributes").write_text("service/b.py export-ignore export-subst text eol=crlf ident\n")
    (root / "service" / "b.py").unlink()
    git(root, "checkout", "--", ".")


@pytest.mark.parametrize(
    "made_to_say",
    [by_a_filter, by_fsmonitor, by_another_worktree, by_attributes],
)
def test_it_is_the_commit_s_whatever_the_working_tree_was_made_to_say(
    checkout: Path, tmp_path: Path, made_to_say: Callable[[Path], None]
) -> None:
    reviewed = build_artefact(checkout, "service", tmp_path / "reviewed")
    made_to_say(checkout)
    assert (checkout / "service" / "b.py").read_bytes() != b"print('b')\n", "it is not changed: nothing is shown"
    assert not source.read(checkout).dirty, "git is made to say so: nothing is shown"

    assert build_artefact(checkout, "service", tmp_path / "made").name == reviewed.name


@pytest.mark.parametrize("what", ["HEAD:service/b.py", "HEAD:service", "HEAD"])
def test_what_git_shows_in_place_of_an_object_is_not_in_it(checkout: Path, tmp_path: Path, what: str) -> None:
    reviewed = build_artefact(checkout, "service", tmp_path / "reviewed")
    (checkout / "service" / "b.py").write_text("print('x')\n")
    git(checkout, "add", "-A")
    commit(checkout)
    git(checkout, "tag", "other")
    git(checkout, "reset", "-q", "--hard", "HEAD~1")
    git(checkout, "replace", what, what.replace("HEAD", "other"))

    assert build_artefact(checkout, "service", tmp_path / "made").name == reviewed.name
    (checkout / "service" / "b.py").unlink()
    git(checkout, "checkout", "HEAD", "--", ".")
    assert (checkout / "service" / "b.py").read_text() == "print('x')\n", "it is not replaced: nothing is shown"
    assert source.read(checkout).dirty


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


@pytest.mark.parametrize("committed", [False, True])
def test_a_link_that_leads_out_by_way_of_another_is_refused_by_name(
    checkout: Path,
    tmp_path: Path,
    committed: bool,  # noqa: FBT001
) -> None:
    """Word for word it leads to service/b.py; by way of the linked folder it leads three folders above the service's."""
    deep = checkout / "service" / "one" / "two"
    deep.mkdir(parents=True)
    (deep / "folder").symlink_to("../../inner")
    (deep / "link").symlink_to("folder/../../../b.py")
    (deep / "fine").symlink_to("folder/../b.py")
    if committed:
        git(checkout, "add", "-A")
        commit(checkout)

    with pytest.raises(Refused) as refused:
        build_artefact(checkout, "service", tmp_path / "made")

    assert str(refused.value).splitlines()[1:] == [
        "  service/one/two/link is a link that leads out of the service's folder, to folder/../../../b.py"
    ]


def test_links_that_go_round_are_refused_by_name(checkout: Path, tmp_path: Path) -> None:
    (checkout / "service" / "one").symlink_to("other")
    (checkout / "service" / "other").symlink_to("one")

    with pytest.raises(Refused, match=r"service/one is a link that leads nowhere, to other\n.*service/other is"):
        build_artefact(checkout, "service", tmp_path / "made")


@pytest.mark.parametrize("committed", [False, True])
def test_a_name_that_is_not_utf_8_is_refused_by_name(
    checkout: Path,
    tmp_path: Path,
    committed: bool,  # noqa: FBT001
) -> None:
    (checkout / "service" / os.fsdecode(b"caf\xe9.txt")).write_text("")
    if committed:
        git(checkout, "add", "-A")
        commit(checkout)

    with pytest.raises(Refused, match=r"service/caf\\xe9\.txt.*not UTF-8; rename the file"):
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


def test_the_credentials_of_a_runners_login_never_enter_it(checkout: Path, tmp_path: Path) -> None:
    """Beside the service they are left out, of a clean tree and of a dirty one; committed they are refused by name."""
    clean = build_artefact(checkout, ".", tmp_path / "made")
    credentials = checkout / "gha-creds-0123456789abcdef.json"
    credentials.write_text("{}")
    assert build_artefact(checkout, ".", tmp_path / "made").name == clean.name

    (checkout / "more.py").write_text("")
    with tarfile.open(build_artefact(checkout, ".", tmp_path / "made")) as made:
        names = made.getnames()
    assert "more.py" in names
    assert credentials.name not in names

    git(checkout, "add", "-A")
    commit(checkout)
    with pytest.raises(Refused, match=rf"\n  {credentials.name} is the login of a GitHub runner .*: take it out"):
        build_artefact(checkout, ".", tmp_path / "made")
