"""`pytest-deploy init` writes what a first deployment needs, says what is left, and changes nothing that is there."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_deploy.commands.init import init
from pytest_deploy.errors import ConfigurationError, UsageError
from pytest_deploy.pipeline import steps_lock
from pytest_deploy.policy.load import load
from tests.printed_commands import commands_in, fault_of
from tests.unit.commands.typed import typed
from tests.unit.starter.sample_repositories import ALEMBIC, DJANGO, FLASK, MONOREPO, NODE, SITE, write

WRITTEN = ("deploy.yaml", "calendar.yaml", "suites/steps.lock", ".gitignore")


def contents(root: Path) -> Mapping[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_it_writes_what_a_first_deployment_needs(tmp_path: Path) -> None:
    root = write(tmp_path, NODE)
    before = contents(root)

    printed = typed(root, init)

    after = contents(root)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {*WRITTEN, "suites/smoke/test_price_api.py"}
    own = [step.nodeid for step in steps_lock.read(root / "suites/steps.lock") if step.nodeid.startswith("suites/")]
    assert own == ["suites/smoke/test_price_api.py::test_price_api_answers"]
    assert (root / ".gitignore").read_text() == ".deploy/\nreports/\n__pycache__/\n"
    assert "written   deploy.yaml" in printed


def test_what_is_left_to_do_is_numbered_and_its_commands_can_be_pasted(tmp_path: Path) -> None:
    printed = typed(write(tmp_path, FLASK), init)

    left = printed[printed.index("left to do") + 1 :]
    assert [line[:3] for line in left] == [f" {number}." for number in range(1, len(left) + 1)]
    commands = commands_in("\n".join(left))
    assert [fault for command in commands if (fault := fault_of(command))] == []
    assert len(commands) == 4
    assert [line for line in left if line.endswith("migrate check local") and "takes rows with it" in line]
    assert "db/migrations" in left[1]
    assert any(line.endswith("git init") for line in left)
    assert any(line.endswith("git add --all . && git commit -m 'Deployments'") for line in left)


@pytest.mark.parametrize(
    "files, name, command",
    [(DJANGO, "grosse_7_shop", "manage.py migrate"), (ALEMBIC, "depot", "alembic upgrade heads")],
    ids=["django", "alembic"],
)
def test_a_projects_own_migrations_get_a_step_and_a_way_back(
    tmp_path: Path, files: Mapping[str, str], name: str, command: str
) -> None:
    root = write(tmp_path, files)

    printed = typed(root, init)

    database = load(root / "deploy.yaml", "local").database
    assert database is not None
    assert database.migrations is None
    steps = [(step.nodeid, step.changes) for step in steps_lock.read(root / "suites/steps.lock")]
    at_forward = steps.index((f"suites/migration/test_{name}.py::test_migrations_are_applied", True))
    at_back = steps.index((f"suites/rollback/test_{name}.py::test_migrations_are_taken_back", True))
    order = [nodeid for nodeid, _ in steps]
    assert at_forward < order.index(
        "pytest_deploy/suites/migration/test_service.py::test_service_role_has_what_it_needs"
    )
    assert at_back < order.index("pytest_deploy/suites/rollback/test_restore.py::test_schema_is_what_it_was")
    assert [line for line in printed if command in line and "suites/rollback" in line and line[:2] == " 2"]
    assert not any("migrate check" in line for line in printed)


@pytest.mark.parametrize("reads", [True, False])
def test_a_command_that_does_not_find_its_database_is_left_to_do(tmp_path: Path, *, reads: bool) -> None:
    root = write(tmp_path, ALEMBIC)
    if not reads:
        (root / "alembic/env.py").write_text("url = 'postgresql:///depot'\n", encoding="utf-8")

    printed = typed(root, init)

    assert any("let Alembic find its database by the variable DATABASE_URL" in line for line in printed) == (not reads)


@pytest.mark.parametrize("there", ["deploy.yaml", "suites/migration/test_own.py"])
def test_where_something_moves_the_schema_already_no_step_is_written_for_it(tmp_path: Path, there: str) -> None:
    root = write(tmp_path, ALEMBIC)
    typed(root, init)
    policy = (root / "deploy.yaml").read_text(encoding="utf-8")
    shutil.rmtree(root / "suites")
    (root / "deploy.yaml").unlink()
    (root / there).parent.mkdir(parents=True, exist_ok=True)
    (root / there).write_text(policy if there == "deploy.yaml" else "def test_own(): pass\n", encoding="utf-8")

    typed(root, init)

    found = [path.relative_to(root).as_posix() for path in root.glob("suites/*/test_*.py")]
    assert [name for name in found if name.startswith(("suites/migration/", "suites/rollback/"))] == [
        name for name in [there] if name.startswith("suites/")
    ]


def test_a_repository_with_a_commit_takes_in_what_was_written_alone(tmp_path: Path) -> None:
    root = write(tmp_path, SITE)
    for words in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b.example", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *words], cwd=root, check=True, timeout=30)

    left = [line for line in typed(root, init) if "git" in line]

    assert [line.partition("  ")[2] for line in left if "git add" in line] == [
        "git add deploy.yaml calendar.yaml suites .gitignore && git commit -m 'Deployments'"
    ]
    assert not any(line.endswith("git init") for line in left)


@pytest.mark.parametrize("name", [*WRITTEN[:3], "suites/smoke/test_own.py"])
def test_a_file_that_is_there_is_left_as_it_is(tmp_path: Path, name: str) -> None:
    root = write(tmp_path, {**NODE, ".gitignore": "reports"})
    typed(root, init)
    text = {"suites/smoke/test_own.py": "def test_own(): pass\n"}.get(name) or (root / name).read_text() + "# mine\n"
    for written in (*WRITTEN[:3], "suites/smoke/test_price_api.py"):
        (root / written).unlink()
    (root / name).write_text(text, encoding="utf-8")

    printed = typed(root, init)

    assert (root / name).read_text(encoding="utf-8") == text
    if name == "suites/smoke/test_own.py":
        assert not (root / "suites/smoke/test_price_api.py").exists()
    else:
        assert f"left      {name}: it was there already" in printed
    assert (root / ".gitignore").read_text() == "reports\n.deploy/\n__pycache__/\n"


def test_a_service_of_a_monorepo_is_named_from_here(tmp_path: Path) -> None:
    root = write(tmp_path, MONOREPO)

    typed(root, init, service="services/parcels")

    policy = load(root / "deploy.yaml", "local")
    assert (policy.service.source, policy.service.name) == ("services/parcels", "parcels")


def test_without_a_database_none_is_described(tmp_path: Path) -> None:
    root = write(tmp_path, FLASK)

    typed(root, init, no_database=True)

    assert load(root / "deploy.yaml", "local").database is None


@pytest.mark.parametrize("service", ["services/none", "/srv", "package.json"])
def test_a_service_that_is_not_there_is_refused_and_nothing_is_written(tmp_path: Path, service: str) -> None:
    root = write(tmp_path, NODE)
    before = contents(root)

    with pytest.raises(UsageError, match="--service"):
        typed(root, init, service=service)

    assert contents(root) == before


def test_a_deploy_yaml_that_would_not_load_is_not_written(tmp_path: Path) -> None:
    (root := write(tmp_path, NODE)).joinpath("back\\slash").mkdir()

    with pytest.raises(ConfigurationError, match="source"):
        typed(root, init, service="back\\slash")

    assert not (root / "deploy.yaml").exists()
