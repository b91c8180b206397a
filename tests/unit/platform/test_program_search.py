"""Programs of a service: beside the interpreter first, then on PATH, and a clear word where there is none."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from pytest_deploy.errors import Failed
from pytest_deploy.platform.program_search import find_program, search_path
from tests.unprivileged import as_nobody, open_folder

BESIDE = Path(sys.executable).parent


def program(path: Path, *, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n", encoding="utf-8")
    path.chmod(mode)
    return path


def find(words: list[str], folder: Path, path: str = "") -> list[str]:
    return find_program(words, folder=folder, path=path, setting="service.command")


def test_the_interpreters_folder_comes_before_path() -> None:
    assert search_path({"PATH": "/usr/bin:/bin"}) == f"{BESIDE}{os.pathsep}/usr/bin{os.pathsep}/bin"
    assert search_path({}) == f"{BESIDE}{os.pathsep}{os.defpath}"
    assert search_path({"PATH": ""}) == str(BESIDE)


def test_python_is_the_interpreter_that_runs_the_deployment(tmp_path: Path) -> None:
    program(tmp_path / "bin" / "python")

    assert find(["python", "-m", "app"], tmp_path, str(tmp_path / "bin")) == [sys.executable, "-m", "app"]


def test_the_first_of_path_is_taken(tmp_path: Path) -> None:
    first, second = program(tmp_path / "a" / "serve"), program(tmp_path / "b" / "serve")

    assert find(["serve", "-x"], tmp_path, f"{first.parent}:{second.parent}") == [str(first), "-x"]
    assert find(["serve"], tmp_path, f"{tmp_path}/none:{second.parent}") == [str(second)]


def test_what_may_not_be_executed_is_passed_over(tmp_path: Path) -> None:
    program(tmp_path / "a" / "serve", mode=0o644)
    second = program(tmp_path / "b" / "serve")

    assert find(["serve"], tmp_path, f"{tmp_path}/a:{second.parent}") == [str(second)]


def test_a_name_with_a_slash_lies_in_the_services_folder(tmp_path: Path) -> None:
    own = program(tmp_path / "bin" / "serve")

    assert find(["./bin/serve"], tmp_path) == [str(own)]
    assert find([str(own)], tmp_path / "elsewhere") == [str(own)]


def test_a_program_that_is_nowhere_is_named_with_where_was_looked_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Failed) as caught:
        find(["gunicorn", "app:app"], tmp_path, search_path({"PATH": "/usr/sbin:/usr/sbin"}))

    assert str(caught.value) == (
        f"service.command: the program gunicorn was not found; looked in {BESIDE} (beside the interpreter), /usr/sbin. "
        f"Install it into the environment that runs the deployment (into {BESIDE}), or give its whole path"
    )


@pytest.mark.parametrize(
    "name, said",
    [
        ("./none", r"there is no .*/none; a name with a / is looked for in the service's own folder"),
        ("./plain", r".*/plain is no program: it may not be executed; `chmod \+x` it"),
        ("./folder", r"there is no .*/folder"),
    ],
)
def test_a_path_that_is_no_program_is_refused(tmp_path: Path, name: str, said: str) -> None:
    program(tmp_path / "plain", mode=0o644)
    (tmp_path / "folder").mkdir()

    with pytest.raises(Failed) as caught:
        find([name], tmp_path)

    assert re.match(f"service.command: {said}", str(caught.value))


def test_a_folder_of_path_that_is_closed_to_this_user_is_passed_over() -> None:
    with open_folder() as home:
        (home / "closed").mkdir(mode=0o700)
        found = program(home / "bin" / "serve")
        path = f"{home / 'closed'}{os.pathsep}{home / 'bin'}"
        with as_nobody():
            assert find(["serve"], home, path) == [str(found)]
            with pytest.raises(Failed, match="the program other was not found"):
                find(["other"], home, path)
