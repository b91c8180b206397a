"""The steps that move a schema by the project's own command: they are Python, and stand where their project lies."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from pytest_deploy.starter.migration_steps import migration_steps
from pytest_deploy.starter.repository import read
from tests.unit.starter.sample_repositories import ALEMBIC, DJANGO, FLASK, SITE, write


@pytest.mark.parametrize("files", [DJANGO, ALEMBIC], ids=["django", "alembic"])
@pytest.mark.parametrize("service", ["", "services/it's"], ids=["in the root", "in a folder"])
def test_a_step_is_python_that_knows_where_the_project_lies(
    tmp_path: Path, files: dict[str, str], service: str
) -> None:
    below = f"{service}/" if service else ""
    root = write(tmp_path, {f"{below}{name}": text for name, text in files.items()})

    steps = migration_steps(read(root, service or None, database=True))

    assert [name.rpartition("/")[0] for name in steps] == ["suites/migration", "suites/rollback"]
    for name, text in steps.items():
        place = next(
            node for node in ast.parse(text).body if isinstance(node, ast.Assign) and "PROJECT" in ast.dump(node)
        )
        found = eval(  # noqa: S307  # the line that was written
            ast.unparse(place.value), {"Path": Path, "__file__": str(root / name)}
        )
        assert found == root / service


@pytest.mark.parametrize(
    "files, database", [(FLASK, True), (SITE, True), (DJANGO, False)], ids=["dbmate", "site", "no database"]
)
def test_where_this_program_moves_the_schema_or_none_is_there_no_step_is_written(
    tmp_path: Path, files: dict[str, str], *, database: bool
) -> None:
    assert migration_steps(read(write(tmp_path, files), None, database=database)) == {}
