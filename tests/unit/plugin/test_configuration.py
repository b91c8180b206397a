"""Which checkout a deployment is of; where there is none, what writes a first one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.errors import UsageError
from pytest_deploy.plugin.configuration import root_of


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
