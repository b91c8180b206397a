"""`deploy.py keys rotate` by its words: what it asks for, what it says, what it leaves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pytest_deploy.commands.keys import init, rotate
from pytest_deploy.errors import RecordError, UsageError
from pytest_deploy.verify.verify import verify
from tests.unit.commands.typed import typed
from tests.unit.sample_environment import REPOSITORY, environment

VERSION = "projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/2"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout in which local's record and the rehearsal of production have begun."""
    environment(tmp_path, "production")
    for name, rehearsal in (("local", False), ("production", True)):
        typed(tmp_path, init, name, rehearse=rehearsal)
    return tmp_path


def key_files(root: Path) -> list[str]:
    return sorted(path.name for path in (root / ".deploy" / "keys").glob("*.pem*"))


def test_the_command_rotates_and_says_what_to_keep(root: Path) -> None:
    words = [sys.executable, str(REPOSITORY / "deploy.py"), "keys", "rotate", "local", "--reason", "yearly"]
    ran = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False, timeout=60)

    assert (ran.returncode, ran.stderr) == (0, "")
    found = verify(root / "reports" / "local")
    assert (found.ok, found.size) == (True, 3)
    assert f"log key   {found.vkey}" in ran.stdout.splitlines()
    assert key_files(root) == ["local.pem", "rehearsal-production.pem"]


def test_a_retired_key_is_kept_where_that_is_asked_for(root: Path) -> None:
    printed = typed(root, rotate, "production", rehearse=True, reason="yearly", keep_old=True)

    (kept,) = [name for name in key_files(root) if "retired" in name]
    assert f"kept      .deploy/keys/{kept}: whoever reads it can sign as the retired key" in printed


@pytest.mark.parametrize(
    "env, to, reason, fault",
    [
        ("local", "", " ", "say --reason"),
        ("local", "projects/p", "yearly", "projects/p is no key version in full"),
        ("rehearsal production", VERSION, "yearly", "a rehearsal's key is a file"),
        ("production", "", "yearly", "make a new key version and say --to"),
    ],
)
def test_what_was_not_asked_rightly_changes_nothing(root: Path, env: str, to: str, reason: str, fault: str) -> None:
    before, name = key_files(root), env.rsplit(maxsplit=1)[-1]

    with pytest.raises(UsageError, match=fault):
        typed(root, rotate, name, rehearse=env.startswith("rehearsal"), to=to, reason=reason)

    assert before == key_files(root)
    assert {1} == {verify(store).size for store in (root / "reports/local", root / "reports/rehearsal/production")}


def test_a_key_version_that_nobody_here_may_use_changes_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the file would be gone, and nothing could sign any more."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(root / "none.json"))
    before = key_files(root)

    with pytest.raises(RecordError, match="signing in to Google Cloud"):
        typed(root, rotate, "local", to=VERSION, reason="yearly")

    assert before == key_files(root)
    assert verify(root / "reports/local").size == 1
