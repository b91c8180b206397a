"""The first deploy.yaml of each kind of repository loads, and says what the repository tells."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from pytest_deploy.policy.load import environments, load
from pytest_deploy.policy.policy import Policy
from pytest_deploy.starter.files import calendar_text
from pytest_deploy.starter.policy_text import flow, policy_text
from pytest_deploy.starter.repository import Repository, read
from pytest_deploy.starter.told import TO_BE_SAID
from tests.unit.starter.sample_repositories import DJANGO, EMPTY, FLASK, KINDS, MONOREPO, NODE, write


def found(tmp_path: Path, kind: str, *, database: bool = True) -> Repository:
    files, service = KINDS[kind]
    return read(write(tmp_path, files), service or None, database=database)


def written(repository: Repository, environment: str = "local") -> Policy:
    (repository.root / "calendar.yaml").write_text(calendar_text(2026), encoding="utf-8")
    path = repository.root / "deploy.yaml"
    path.write_text(policy_text(repository), encoding="utf-8")
    return load(path, environment)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("database", [True, False], ids=["as found", "no database"])
def test_every_environment_of_every_kind_loads_and_can_be_rehearsed(
    tmp_path: Path, kind: str, *, database: bool
) -> None:
    repository = found(tmp_path, kind, database=database)
    policy = written(repository)

    names = environments(repository.root / "deploy.yaml")
    assert names == ("local", "staging", "production")
    for name in names:
        assert load(repository.root / "deploy.yaml", name, rehearsal=name != "local").service == policy.service
    assert database or policy.database is None


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_the_reference_service_stands_there(tmp_path: Path, kind: str) -> None:
    text = policy_text(found(tmp_path, kind)).lower()

    assert [word for word in ("diary", "clinical", "req-o", "deploy.py") if word in text] == []
    assert len(text.splitlines()) < 90


@pytest.mark.parametrize(
    "kind, name, command, health, checks",
    [
        ("flask", "parcels-api", ["gunicorn", "parcels.web:app", "--workers", "2"], "/healthz",
         {"lint": ["ruff", "check", "."], "types": ["mypy"], "tests": ["pytest", "-q", "tests"]}),
        ("fastapi", "grosse-7-shop", ["sh", "-c", 'exec uvicorn api.main:app --host "${HOST:-0.0.0.0}" --port "$PORT"'], "/health",
         {"tests": ["pytest", "-q"]}),
        ("django", "grosse-7-shop", ["gunicorn", "shop.wsgi"], "/health/",
         {"lint": ["python", "manage.py", "check"], "tests": ["python", "manage.py", "test"]}),
        ("alembic", "depot", ["./start"], "/health", {}),
        ("node", "price-api", ["node", "server.js", "--quiet"], "/health",
         {"lint": ["npm", "run", "lint"], "tests": ["npm", "test"]}),
        ("go", "parcels", ["go", "run", "./cmd/parcels"], "/livez",
         {"lint": ["go", "vet", "./..."], "tests": ["go", "test", "./..."]}),
        ("static site", "grosse-7-shop",
         ["sh", "-c", 'exec python -m http.server "$PORT" --bind "${HOST:-0.0.0.0}" --directory public'], "/", {}),
        ("empty", "grosse-7-shop", ["./start"], "/health", {}),
        ("monorepo", "parcels", ["npm", "start"], "/health", {}),
    ],
)  # fmt: skip
def test_the_service_is_what_its_files_say(
    tmp_path: Path, kind: str, *, name: str, command: list[str], health: str, checks: dict[str, list[str]]
) -> None:
    service = written(found(tmp_path, kind)).service

    assert (service.name, list(service.command), service.health) == (name, command, health)
    assert {check: list(words) for check, words in service.checks if words is not None} == checks


@pytest.mark.parametrize(
    "kind, migrations, group",
    [
        ("flask", "db/migrations", "parcels_app"),
        ("django", None, None),
        ("alembic", None, "depot_app"),
        ("monorepo", None, None),
    ],
)
def test_a_database_has_the_migrations_that_this_program_runs(
    tmp_path: Path, kind: str, migrations: str | None, group: str | None
) -> None:
    database = written(found(tmp_path, kind)).database

    assert database is not None
    assert (database.migrations, database.service_group) == (migrations, group)


@pytest.mark.parametrize("kind", ["fastapi", "node", "go", "static site", "empty"])
def test_where_nothing_points_to_a_database_there_is_none(tmp_path: Path, kind: str) -> None:
    assert written(found(tmp_path, kind)).database is None


@pytest.mark.parametrize(
    "files, service, line",
    [
        (EMPTY, "", "command: [./start]"),
        (EMPTY, "", "health: /health"),
        (EMPTY, "", "checks: {}"),
        (EMPTY, "", "domain: deploy.example.org"),
        (DJANGO, "", "service_group: null"),
        (MONOREPO, "services/parcels", "migrations: null"),
    ],
)
def test_what_no_file_tells_a_person_is_asked_for(
    tmp_path: Path, files: dict[str, str], service: str, line: str
) -> None:
    text = policy_text(read(write(tmp_path, files), service or None, database=True))

    assert [said for said in text.splitlines() if said.strip().startswith(line) and TO_BE_SAID in said]


@pytest.mark.parametrize("kind", KINDS)
def test_a_comment_stands_apart_from_what_it_is_about(tmp_path: Path, kind: str) -> None:
    """A long command as well: without a blank before it no parser of YAML but ours takes a comment."""
    lines = policy_text(found(tmp_path, kind)).splitlines()

    assert [line for line in lines if re.search(r"[^\s#]#", line)] == []


@pytest.mark.parametrize("files, line", [(FLASK, "command: [gunicorn"), (NODE, "health: /health")])
def test_what_a_file_tells_nobody_is_asked_for(tmp_path: Path, files: dict[str, str], line: str) -> None:
    text = policy_text(read(write(tmp_path, files), None, database=True))

    (said,) = [said for said in text.splitlines() if said.strip().startswith(line)]
    assert "# from " in said


@pytest.mark.parametrize(
    "words",
    [["a b"], ["parcels:app"], ["it's"], ["true"], ["1"], ["[x]", "{y}", "#z"], ["tab\there"], ["-"], ["*", "&a"], ["--x=y"], ["k:"], ["ü"]],
)  # fmt: skip
def test_words_mean_in_yaml_what_they_meant(words: list[str]) -> None:
    assert yaml.safe_load(f"command: {flow(words)}  # said") == {"command": words}
