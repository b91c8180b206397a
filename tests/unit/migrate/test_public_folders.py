"""Public folders of migrations, as their authors have them: tried, applied, undone and applied again; the schema is what dbmate makes.

Their SQL is fetched when this runs and never committed. Without a network the tests say so and skip. PUBLIC_REPOSITORIES names a
folder of clones (`OWNER+NAME`, bare or not) to take them from instead.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from pytest_deploy.migrate import lint
from pytest_deploy.migrate.adoption import examine, take_over
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.migration_folder import read_migrations
from pytest_deploy.migrate.rollback import roll_back
from pytest_deploy.migrate.session import connect, scratch_database
from pytest_deploy.migrate.snapshot import snapshot
from pytest_deploy.migrate.trial import run_trial
from tests.unit.migrate.other_tools import dbmate
from tests.unit.migrate.sample_migrations import ACTOR, PROGRAMS, as_superuser, do, versions

FETCH_S: Final = 60.0


@dataclass(frozen=True)
class Public:
    """A folder of a public repository, at one commit."""

    repository: str
    commit: str
    folder: str
    mends: tuple[tuple[str, str], ...] = ()
    """What its authors would have to write: a way down that does not restore, as it is and as it is mended."""
    role: str | None = None
    """The role that it makes, which an ordinary owner may not."""


FOLDERS: Final = (
    Public("AvrilMaleham/weather_db_dbmate", "33b454d7bc0986cc84e82ae34e17d0347778ee5f", "db/migrations"),
    Public("ParkerGits/go-sqlc-dbmate", "cbec0d5135f2f460b8fb21336e9b0fa0f7ee5366", "db/migrations"),
    Public("myuwi/takobox", "f5a245d5cd3cf57912bbce042e7f0fb800dbc037", "apps/backend/db/migrations"),
    Public("pepeul1191/northwind-mysql-postgres-dbmate", "07bdd4c9bc535d1f8418c72aa0eca1b4afe76311", "postgres"),
    Public(
        "bhatti/simple-storage", "a894a0cb1b9cc73abf527f005b774037a598f243", "db/db/migrations", role="storage_user"
    ),
)
WITHOUT_WAYS_DOWN: Final = Public("Mufraggi/db_test", "fe9c73da74c35651868511d38618f7c0dd8f6a47", "db/migrations")


def fetched(public: Public, into: Path) -> Path:
    """The folder's files, as they are at that commit; skips where they cannot be had."""
    mirror = os.environ.get("PUBLIC_REPOSITORIES")
    with tempfile.TemporaryDirectory() as place:
        source = Path(place)
        if mirror is not None:
            clone = Path(mirror, public.repository.replace("/", "+"))
            source = next((one for one in (clone / "repo", clone / ".git", clone) if (one / "HEAD").is_file()), clone)
        else:
            _fetch(public, source)
        listed = _git(source, "ls-tree", "-r", "--name-only", public.commit, f"{public.folder}/")
        into.mkdir()
        for name in listed.splitlines():
            if name.endswith(".sql"):
                (into / Path(name).name).write_text(_git(source, "show", f"{public.commit}:{name}"), encoding="utf-8")
    return into


def _fetch(public: Public, into: Path) -> None:
    url = f"https://github.com/{public.repository}.git"
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    _git(into, "init", "--quiet", "--bare")
    words = ["git", "-C", str(into), "fetch", "--quiet", "--depth=1", url, public.commit]
    try:
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=FETCH_S)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{url} does not answer: no network")
    if done.returncode != 0:
        pytest.skip(f"{url} cannot be fetched: {done.stderr.strip().splitlines()[-1]}")


def _git(repository: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(repository), *words], capture_output=True, text=True, check=True).stdout


def declared(folder: Path, public: Public) -> Path:
    """With what we ask of its authors: what each file means for the running revision, and that its rows go."""
    for file in folder.glob("*.sql"):
        text = file.read_text(encoding="utf-8")
        for old, new in public.mends:
            text = text.replace(old, new)
        file.write_text(f"-- deploy:compatible breaking\n-- deploy:lossy all of it is new\n{text}", encoding="utf-8")
    return folder


@pytest.mark.parametrize("public", FOLDERS, ids=lambda public: public.repository)
def test_a_public_folder_goes_up_down_and_up_to_what_dbmate_makes(
    each_database: str, tmp_path: Path, public: Public
) -> None:
    conninfo = as_superuser(each_database) if public.role else each_database
    folder = declared(fetched(public, tmp_path / "public"), public)
    migrations = read_migrations(folder)
    lint.lint(migrations, server_version=15)
    empty = snapshot(conninfo, PROGRAMS)
    with scratch_database(conninfo) as another:
        dbmate(another, folder, "up")
        by_dbmate = snapshot(another, PROGRAMS)
    _drop_role(conninfo, public.role)

    trial = run_trial(conninfo, migrations, actor=ACTOR)
    apply(conninfo, migrations, actor=ACTOR, expected=trial.schemas())
    made = snapshot(conninfo, PROGRAMS)
    roll_back(conninfo, migrations, to=[], actor=ACTOR, expected_schema=empty.catalog, save_into=tmp_path)
    apply(conninfo, migrations, actor=ACTOR, expected=trial.schemas())

    assert snapshot(conninfo, PROGRAMS).text == made.text == by_dbmate.text
    roll_back(conninfo, migrations, to=[], actor=ACTOR, save_into=tmp_path)
    _drop_role(conninfo, public.role)


def _drop_role(conninfo: str, role: str | None) -> None:
    """A role is the whole server's."""
    if role is not None:
        do(conninfo, f"drop role if exists {role}")


def test_a_public_folder_without_ways_down_is_adopted_where_dbmate_applied_it(
    each_database: str, tmp_path: Path
) -> None:
    folder = fetched(WITHOUT_WAYS_DOWN, tmp_path / "public")
    dbmate(each_database, folder, "up")
    found, files = examine(each_database, folder, actor="ann")
    migrations = read_migrations(folder, files)
    with connect(each_database, autocommit=True) as connection:
        take_over(connection, found, migrations)
    assert len(versions(each_database)) == len(migrations) == len(files)
    assert apply(each_database, migrations, actor=ACTOR) == ()
