"""Whose key signs: the one given, a rehearsal's throw-away key, git's; and somebody must own it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_deploy.approvals.rehearsal_roster import throw_away_key
from pytest_deploy.approvals.roster import Key, Roster
from pytest_deploy.approvals.sign_request import choose_signer
from pytest_deploy.errors import Refused, UsageError
from pytest_deploy.workspace import Workspace
from tests.required_programs import needs
from tests.unit.approvals.pending_request import NAMESPACE, TINA, make_keys, public
from tests.unit.record.sample_record import NOON
from tests.unit.sample_environment import environment


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    needs("ssh-keygen")
    return make_keys(tmp_path_factory.mktemp("keys"), [TINA.email, "stranger"])


@pytest.fixture
def roster(keys: Mapping[str, Path]) -> Roster:
    text = " ".join(public(keys[TINA.email]).split()[:2])
    return Roster({TINA.email: TINA}, (Key(TINA.email, text, NOON, NOON, NAMESPACE),))


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Production for real; git knows no key of the person at this desk."""
    environment(tmp_path, "production")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.chdir(tmp_path)
    return Workspace(tmp_path, "production")


def test_the_key_that_is_given_signs_for_its_person(
    context: Workspace, roster: Roster, keys: Mapping[str, Path]
) -> None:
    assert (TINA, keys[TINA.email]) == choose_signer(context, roster, "Tech Lead", keys[TINA.email])


def test_a_key_that_nobody_is_enrolled_with_signs_nothing(
    context: Workspace, roster: Roster, keys: Mapping[str, Path]
) -> None:
    with pytest.raises(Refused, match="the roster knows nobody with the key SHA256:"):
        choose_signer(context, roster, "Tech Lead", keys["stranger"])


def test_without_a_key_gits_own_signs_and_else_it_is_asked_for(
    context: Workspace, roster: Roster, keys: Mapping[str, Path]
) -> None:
    with pytest.raises(UsageError, match="say which key signs: --key FILE"):
        choose_signer(context, roster, "Tech Lead", None)

    words = ["git", "config", "--global", "user.signingkey", str(keys[TINA.email])]
    subprocess.run(words, check=True, capture_output=True, timeout=30)
    assert choose_signer(context, roster, "Tech Lead", None)[0] == TINA


def test_in_a_rehearsal_the_roles_throw_away_key_signs(
    context: Workspace, roster: Roster, keys: Mapping[str, Path]
) -> None:
    rehearsal = Workspace(context.root, "production", rehearsal=True)
    with pytest.raises(UsageError, match="no throw-away key for 'Tech Lead'"):
        choose_signer(rehearsal, roster, "Tech Lead", None)

    place = context.state / "keys" / "rehearsal" / "production" / "tech-lead"
    place.parent.mkdir(parents=True)
    for suffix in ("", ".pub"):
        place.with_name(f"tech-lead{suffix}").write_bytes(Path(f"{keys[TINA.email]}{suffix}").read_bytes())
    assert place == throw_away_key(rehearsal, "Tech Lead")
    assert (TINA, place) == choose_signer(rehearsal, roster, "Tech Lead", None)


def test_a_key_that_is_not_there_is_named(context: Workspace, roster: Roster, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--key .*/tinas: there is no such file"):
        choose_signer(context, roster, "Tech Lead", tmp_path / "tinas")
