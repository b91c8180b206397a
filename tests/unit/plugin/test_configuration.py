"""Which checkout a deployment is of; where there is none, what writes a first one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_deploy.errors import UsageError
from pytest_deploy.plugin.configuration import root_of, suites_of


def test_the_next_deploy_yaml_above_is_meant(tmp_path: Path) -> None:
    (tmp_path / "suites" / "smoke").mkdir(parents=True)
    (tmp_path / "deploy.yaml").touch()

    assert root_of(["--deploy-env=local"], tmp_path / "suites" / "smoke") == tmp_path


@pytest.mark.parametrize("names, missing", [((), "there is no deploy.yaml"), (("deploy.yaml",), "there is no suites/")])
def test_where_something_is_missing_init_is_offered(tmp_path: Path, names: tuple[str, ...], missing: str) -> None:
    for name in names:
        (tmp_path / name).touch()

    with pytest.raises(UsageError, match=f"{missing} .*; `pytest-deploy init` writes a first one"):
        root_of(["--deploy-env=local"], tmp_path)


def _project(folder: Path) -> Path:
    (folder / "suites").mkdir(parents=True)
    (folder / "deploy.yaml").touch()
    return folder


@pytest.mark.parametrize("name", ["[parcels]", "of::parcels", "Größe 100%", "new\nline"])
def test_a_folder_may_have_any_name_that_is_text(tmp_path: Path, name: str, pytestconfig: pytest.Config) -> None:
    root = _project(tmp_path / name)
    (root / "suites" / "smoke").mkdir()

    for start in (root, root / "suites", root / "suites" / "smoke"):
        assert root_of(["--deploy-env=local"], start) == root
    assert suites_of(pytestconfig) == os.path.relpath(pytestconfig.rootpath / "suites", Path.cwd())


def test_what_pytest_would_take_apart_of_another_folders_name_is_refused(tmp_path: Path) -> None:
    root = _project(tmp_path / "[parcels]")

    with pytest.raises(UsageError, match=r"nothing was started: pytest takes apart a path .*: start it in "):
        root_of(["--deploy-config=[parcels]/deploy.yaml"], tmp_path)
    assert root_of(["--deploy-config=deploy.yaml"], root) == root


def test_a_path_that_no_record_could_hold_is_refused(tmp_path: Path) -> None:
    root = _project(Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff")))

    with pytest.raises(UsageError, match=r"is not UTF-8 where this runs, .*udcff: give the folder another name$"):
        root_of(["--deploy-env=local"], root)
