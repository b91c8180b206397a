"""The tools that move a schema: named, where they are missing, with the one command to type."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from pytest_deploy.errors import UsageError
from pytest_deploy.migrate import tools
from pytest_deploy.migrate.engine import Engine
from tests.unit.migrate.sample_migrations import VISIT, sample

REPOSITORY = Path(__file__).parents[3]


def test_where_everything_is_installed_nothing_is_said() -> None:
    tools.require_tools()
    assert tools.import_pgmigrate().__name__ == "pgmigrate"


def test_the_engine_that_is_asked_for_is_the_one_this_project_is_tested_with() -> None:
    first = (REPOSITORY / "requirements" / "pgmigrate.txt").read_text(encoding="utf-8").split()[0]
    assert first == tools.PGMIGRATE


def test_the_command_is_for_the_interpreter_that_misses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/home/me/my tools/bin/python")
    assert shlex.split(tools.pip_command("--no-deps", "x==1")) == [
        "/home/me/my tools/bin/python", "-m", "pip", "install", "--no-deps", "x==1"
    ]  # fmt: skip


def test_an_engine_that_cannot_be_imported_is_no_fault_of_the_migration(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "pgmigrate.py").write_text("import no_such_module_of_pgmigrates\n")
    monkeypatch.syspath_prepend(str(broken))
    monkeypatch.delitem(sys.modules, "pgmigrate", raising=False)
    (tmp_path / "migrations").mkdir()
    engine = Engine(database, sample(tmp_path / "migrations", VISIT), "local:test", lambda _: None)
    with pytest.raises(
        UsageError, match=r"pgmigrate cannot be imported \(No module named 'no_such_module_of_pgmigrates'\)"
    ):
        engine.run()
