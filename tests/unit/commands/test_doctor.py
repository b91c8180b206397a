"""`pytest-deploy doctor` tells each fact in a line, mends what is safe, and neither starts nor records anything."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_deploy.commands.doctor import doctor
from pytest_deploy.commands.init import init
from pytest_deploy.errors import Refused
from pytest_deploy.platform.embedded.places import ROOT_VARIABLE
from tests.postgres_server import PostgresServer
from tests.unit.commands.typed import typed
from tests.unit.starter.sample_repositories import SITE, write


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A static site that is ready to be deployed, made once."""
    root = write(tmp_path_factory.mktemp("ready"), SITE)
    typed(root, init)
    git(root, "init", "-q")
    commit(root)
    return root


@pytest.fixture
def root(ready: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(ready, tmp_path / "site")


def git(root: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=root, check=True, timeout=30)


def commit(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "-c", "user.name=a", "-c", "user.email=a@b.example", "commit", "-qm", "What there is")


def wrong(root: Path, env: str = "", **options: bool) -> list[str]:
    """The facts that are not right."""
    printed: list[str] = []
    ended = ""
    try:
        typed(root, doctor, env, printed=printed, **options)
    except Refused as refused:
        ended = str(refused)
    found = [line for line in printed if line.startswith("WRONG")]
    assert ended.startswith(f"{len(found)} fact") if found else not ended
    return found


def test_all_is_right_where_init_was_followed(root: Path) -> None:
    printed = typed(root, doctor, "")

    assert {line[:5] for line in printed} == {"ok   ", "note "}
    assert not {".deploy", "reports"} & {path.name for path in root.iterdir()}, "something was started or recorded"
    for name in (
        "python",
        "git",
        "ssh-keygen",
        "openssl",
        "deploy.yaml",
        "steps.lock",
        "service",
        "ignored",
        "ports",
        "data",
    ):
        assert any(line.split()[1] == name for line in printed), name


@pytest.fixture
def nobody_signed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)


@pytest.mark.usefixtures("nobody_signed_in")
def test_production_is_asked_as_it_is_rehearsed_and_google_as_it_is(root: Path) -> None:
    printed: list[str] = []
    with pytest.raises(Refused, match="1 fact is not right"):
        typed(root, doctor, "production", printed=printed)

    assert any(line.startswith("note  platform     production is rehearsed on this machine: `") for line in printed)
    assert any(line.startswith("ok    calendar     calendar.yaml covers ") for line in printed)
    assert any(line.startswith("WRONG sign-in      nobody is signed in to Google Cloud") for line in printed)


def test_a_container_needs_podman_and_what_its_image_is_made_of(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = root / "deploy.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("{kind: embedded}", "{kind: embedded, runtime: container}", 1), encoding="utf-8")
    here = root.parent / "bin"
    here.mkdir()
    monkeypatch.setenv("PATH", f"{here}{os.pathsep}/usr/local/sbin")
    assert [line for line in wrong(root) if "podman is not on PATH" in line]
    assert [line for line in wrong(root) if "holds no Containerfile and no Dockerfile: write one" in line]

    (here / "podman").symlink_to("/bin/true")
    (root / "Containerfile").write_text("FROM scratch\n", encoding="utf-8")
    assert not [line for line in wrong(root) if " containers " in line]


@pytest.mark.parametrize(
    "file, old, new, said",
    [
        ("deploy.yaml", "sla_s: 600 ", "sla_s: 6 ", "deploy.yaml:"),
        ("deploy.yaml", "source: .", "source: gone", "service.source: there is no folder gone"),
        ("deploy.yaml", "[sh, -c,", "[nowhere, -c,", "service.command: the program nowhere was not found"),
        ("deploy.yaml", "exec python", "exec nowhere", "service.command: the program nowhere was not found"),
        ("deploy.yaml", "checks: {}", "checks: {lint: [nolint]}", "service.checks.lint: the program nolint was not found"),
        ("deploy.yaml", "sla_s: 600 ", "plugins: [pytest-gone]\nsla_s: 600 ", "pytest-gone, which deploy.yaml lists"),
        ("deploy.yaml", "sla_s: 600 ", "requirements: gone.md\nsla_s: 600 ", "gone.md: it cannot be read"),
        ("deploy.yaml", "database: null", "database: {migrations: none}", "there is no such folder"),
        ("suites/steps.lock", "smoke       always    -        suites/", "#", "collected, but not in the lock"),
        ("suites/steps.lock", "standard-steps 0", "standard-steps 99", "is locked"),
        (".gitignore", "reports/", "", "git would take in reports/"),
    ],
)  # fmt: skip
def test_what_is_not_right_is_told_with_what_to_do(root: Path, file: str, old: str, new: str, said: str) -> None:
    text = (root / file).read_text(encoding="utf-8")
    assert old in text
    (root / file).write_text(text.replace(old, new, 1), encoding="utf-8")

    found = wrong(root)

    assert [line for line in found if said in line], found
    assert len(found) <= 2


KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n"


def test_what_no_artefact_may_hold_is_told_before_it_is_made(root: Path) -> None:
    (root / "test.pem").write_text(KEY, encoding="utf-8")
    (root / "out").symlink_to("/etc")
    commit(root)

    (said,) = wrong(root)

    assert "test.pem holds a private key" in said
    assert "out is a link that leads out of the service's folder" in said


@pytest.mark.parametrize("name", [".deploy", "reports"])
def test_what_a_deployment_cannot_write_into_the_checkout_is_told(root: Path, name: str) -> None:
    (root / name).write_text("a file", encoding="utf-8")

    (said,) = [line for line in wrong(root) if " checkout " in line]

    assert f"nothing can be written to {name}/ of {root}: let this user write there" in said


@pytest.mark.parametrize("parent", [".", "/nowhere", "/" + "x" * 100])
def test_a_place_for_data_that_will_not_do_is_told(root: Path, monkeypatch: pytest.MonkeyPatch, parent: str) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, parent)

    (said,) = wrong(root)

    assert f"{parent} " in said or f"{parent}:" in said
    assert f"name another folder in {ROOT_VARIABLE}" in said


def with_database(root: Path, settings: str) -> Path:
    text = (root / "deploy.yaml").read_text(encoding="utf-8")
    assert "database: null" in text
    changed = text.replace("database: null", f"database: {{migrations: null, {settings}}}")
    (root / "deploy.yaml").write_text(changed, encoding="utf-8")
    return root


def test_a_user_whose_name_postgresql_would_ask_for_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGHOST", raising=False)
    with_database(root, "lock_timeout_s: 5")
    assert wrong(root) == []
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)

    (said,) = wrong(root)

    assert "user id 54321 has none: add a line for it to /etc/passwd" in said


def test_a_database_by_a_variable_is_asked_and_may_be_made_yet(
    root: Path, monkeypatch: pytest.MonkeyPatch, postgres: PostgresServer
) -> None:
    with_database(root, "url_variable: PARCELS_DATABASE_URL")
    monkeypatch.delenv("PARCELS_DATABASE_URL", raising=False)
    (said,) = wrong(root)
    assert "PARCELS_DATABASE_URL, which database.url_variable names, is not set" in said

    monkeypatch.setenv("PARCELS_DATABASE_URL", postgres.url("not_there_yet"))
    assert wrong(root) == []
    (told,) = [line for line in typed(root, doctor, "") if line.split()[1] == "database"]
    assert "database not_there_yet, which the first deployment makes, as postgres" in told


TABLE = "-- deploy:compatible expand\n-- migrate:up\n{up}\n-- migrate:down\nselect 1;\n"


@pytest.mark.parametrize(
    "up, settings, said",
    [
        ("create table parcel (id bigint);", "", "db makes tables, and service_group is null: the service cannot read them"),
        ("create unlogged  table parcel (id bigint);", "", "the service cannot read them"),
        ("create table parcel (id bigint); -- grant select on parcel to public;", "", "the service cannot read them"),
        ("create table parcel (id bigint);", ", service_group: parcels_app", ""),
        ("create table parcel (id bigint); grant select on parcel to public;", "", ""),
        ("create function create_table() returns int language sql as 'select 1';", "", ""),
    ],
)  # fmt: skip
def test_tables_that_the_service_cannot_read_are_told(root: Path, up: str, settings: str, said: str) -> None:
    (root / "db").mkdir()
    (root / "db" / "0001_parcel.sql").write_text(TABLE.format(up=up), encoding="utf-8")
    with_database(root, f"lock_timeout_s: 5{settings}")
    file = root / "deploy.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("migrations: null", "migrations: db"), encoding="utf-8")

    told = [line for line in typed(root, doctor, "") if line.split()[1] == "rights"]

    assert [line for line in told if said in line and line.startswith("note ")] == told
    assert bool(told) == bool(said)


@pytest.mark.parametrize("settings, told", [("", True), (", service_group: parcels_app", False)])
def test_rights_by_a_step_of_their_own_are_told_where_no_group_is_named(
    root: Path, settings: str, *, told: bool
) -> None:
    with_database(root, f"lock_timeout_s: 5{settings}")

    found = [line for line in typed(root, doctor, "") if line.split()[1] == "rights"]

    assert [line.startswith("note ") and "what is granted to PUBLIC" in line for line in found] == [True] * told


@pytest.mark.usefixtures("nobody_signed_in")
def test_only_what_deploys_commits_alone_asks_for_a_commit(root: Path) -> None:
    (root / "public" / "new.html").write_text("new", encoding="utf-8")

    assert wrong(root) == []
    said, _ = wrong(root, "production")
    assert "something is not committed, and production deploys commits only" in said


@pytest.mark.parametrize("env", ["lokal", "production-2"])
def test_an_environment_that_is_not_there_is_told(root: Path, env: str) -> None:
    (said,) = wrong(root, env)

    assert f"there is no environment {env!r}" in said


def test_a_folder_without_anything_is_told_to_begin(tmp_path: Path) -> None:
    found = wrong(tmp_path)

    assert [line for line in found if "deploy.yaml" in line and "init`" in line]
    assert [line for line in found if "is no git checkout with a commit" in line]


def test_fix_writes_the_lock_and_the_lines_for_git_and_says_so(root: Path) -> None:
    lock = (root / "suites/steps.lock").read_text(encoding="utf-8")
    (root / "suites/steps.lock").unlink()
    (root / ".gitignore").write_text("mine", encoding="utf-8")
    assert len(wrong(root)) == 2

    printed = typed(root, doctor, "", fix=True)

    assert [line for line in printed if line.startswith("fixed")] == [
        "fixed .gitignore   .deploy/ reports/ __pycache__/ added",
        f"fixed steps.lock   suites/steps.lock: {sum(line[:1].isalpha() for line in lock.splitlines()) - 1} steps",
    ]
    assert (root / "suites/steps.lock").read_text(encoding="utf-8") == lock
    assert (root / ".gitignore").read_text(encoding="utf-8") == "mine\n.deploy/\nreports/\n__pycache__/\n"


def test_fix_changes_no_lock_that_is_there(root: Path) -> None:
    text = (
        (root / "suites/steps.lock")
        .read_text(encoding="utf-8")
        .replace("suites/smoke/test_grosse", "suites/smoke/test_other")
    )
    (root / "suites/steps.lock").write_text(text, encoding="utf-8")

    assert wrong(root, fix=True)

    assert (root / "suites/steps.lock").read_text(encoding="utf-8") == text
