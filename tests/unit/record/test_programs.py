"""Which git, ssh-keygen and the like are asked, and which are refused: PATH's opinion of that is not asked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_deploy.errors import Refused
from pytest_deploy.record import programs

JUDGES = ("git", "ssh-keygen", "openssl", "pg_dump", "pg_restore")


@pytest.fixture(autouse=True)
def nothing_configured() -> Iterator[None]:
    yield
    programs.use({})


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's own folder, with each of the programs, first on PATH."""
    folder = tmp_path / "system"
    monkeypatch.setattr(programs, "SYSTEM_FOLDERS", (folder,))
    monkeypatch.setenv("PATH", str(folder))
    for name in JUDGES:
        program(folder, name)
    return folder


def program(folder: Path, name: str, says: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{says}\n")
    path.chmod(0o755)
    return path


def test_the_systems_own_first_on_path_are_not_refused(system: Path) -> None:
    programs.refuse_strangers("production")


def test_a_folder_before_it_without_any_of_them_is_not_refused(
    system: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "mine", "ls")
    monkeypatch.setenv("PATH", f"{tmp_path}/mine:{system}")

    programs.refuse_strangers("production")


@pytest.mark.parametrize("name", JUDGES)
def test_one_that_comes_before_the_systems_is_refused_by_name_and_not_used(
    system: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    mine = program(tmp_path / "mine", name)
    monkeypatch.setenv("PATH", f"{tmp_path}/mine:{system}")

    assert programs.system_program(name) == str(system / name)
    said = re.escape(f"\n  {name}: PATH gives {mine} first; the one that is used is {system / name}")
    with pytest.raises(Refused, match=f"production is judged by programs of the system's folders.*{said}$"):
        programs.refuse_strangers("production")


def test_another_name_of_the_systems_own_is_not_refused(
    system: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As /bin/git is where /bin leads to /usr/bin."""
    (tmp_path / "bin").symlink_to(system)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{system}")

    programs.refuse_strangers("production")


def test_where_the_system_has_none_paths_is_used_and_refused_by_name(
    system: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (system / "git").unlink()
    mine = program(tmp_path / "mine", "git")
    monkeypatch.setenv("PATH", f"{tmp_path}/mine:{system}")

    assert programs.system_program("git") == str(mine)
    with pytest.raises(Refused, match=f"git: PATH gives {mine} first; the system's folders hold none"):
        programs.refuse_strangers("production")


def test_one_that_nobody_has_is_not_refused(system: Path) -> None:
    """Openssl is needed where an authority's timestamps are, and pg_dump comes with the embedded server."""
    (system / "openssl").unlink()

    programs.refuse_strangers("production")


def test_the_path_that_policy_names_is_used_and_not_refused(
    system: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = program(tmp_path / "mine", "git")
    monkeypatch.setenv("PATH", f"{tmp_path}/mine:{system}")

    programs.use({"git": str(mine)})

    assert programs.system_program("git") == str(mine)
    assert programs.system_program("openssl") == str(system / "openssl")
    programs.refuse_strangers("production")


def test_a_path_that_policy_names_and_that_is_not_there_is_refused_and_nothing_stands_in_for_it(system: Path) -> None:
    programs.use({"git": "/nowhere/git"})

    with pytest.raises(FileNotFoundError):
        programs.system_program("git")
    with pytest.raises(Refused, match=r"git: /nowhere/git, which deploy\.yaml names, is no program"):
        programs.refuse_strangers("production")


# --- what the record says of them


def test_each_is_told_by_its_path_its_own_words_and_its_digest(system: Path) -> None:
    git = program(system, "git", "echo git version 9.9")
    program(system, "ssh", "echo OpenSSH_9.9 >&2")
    (system / "openssl").unlink()

    assert programs.used() == {
        "git": {"path": str(git), "version": "git version 9.9", "sha256": hashlib.sha256(git.read_bytes()).hexdigest()},
        "ssh-keygen": {
            "path": f"{system}/ssh-keygen",
            "version": "OpenSSH_9.9",
            "sha256": hashlib.sha256((system / "ssh-keygen").read_bytes()).hexdigest(),
        },
    }


def test_one_that_was_replaced_is_read_anew(system: Path) -> None:
    before = programs.described(program(system, "git", "echo one"))

    after = programs.described(program(system, "git", "echo other"))

    assert (before["version"], after["version"]) == ("one", "other")
    assert before["sha256"] != after["sha256"]


def test_one_that_does_not_say_its_version_has_none(system: Path) -> None:
    assert programs.described(program(system, "git", "echo sorry; exit 1"))["version"] == ""


def test_this_machines_own_are_told() -> None:
    told = programs.used()

    assert {"git", "ssh-keygen"} <= told.keys()
    assert told["git"]["version"].startswith("git version ")
    assert told["ssh-keygen"]["version"].startswith("OpenSSH")
