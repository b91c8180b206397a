"""A trial beside the target, on its server: what it would do to the server is refused by name, and not done."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pytest_deploy.errors import MigrationsRefused
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.trial import run_trial
from tests.unit.migrate.sample_migrations import ACTOR, VISIT, as_superuser, do, rows, sample, text

OUTSIDE = "outside-transaction the server wants it so"


@pytest.fixture
def each_database(each_database: str) -> str:
    """As superuser: who makes roles and databases, and alters the system, is no ordinary owner."""
    return as_superuser(each_database)


@pytest.fixture
def role(each_database: str) -> Iterator[str]:
    """A role that is there and may log in."""
    name = f"role_{uuid.uuid4().hex[:12]}"
    do(each_database, f"create role {name} login")
    yield name
    do(each_database, f"drop role if exists {name}")


def refused(conninfo: str, folder: Path, *ways: tuple[str, str] | str) -> list[str]:
    with pytest.raises(MigrationsRefused) as caught:
        run_trial(conninfo, sample(folder, *ways), actor=ACTOR, where="beside")
    return [str(fault).replace(f"{folder}/", "") for fault in caught.value.faults]


def may_log_in(conninfo: str, role: str) -> bool:
    return (role, True) in rows(conninfo, "select rolname, rolcanlogin from pg_roles")


def test_what_touches_no_server_is_tried(each_database: str, tmp_path: Path) -> None:
    index = text(
        "create index concurrently visit_note on visit (note);\n",
        "drop index visit_note;\n",
        OUTSIDE,
        options=" transaction:false",
    ).replace("-- migrate:down transaction:false", "-- migrate:down")
    apply(each_database, sample(tmp_path, VISIT), actor=ACTOR)
    trial = run_trial(each_database, sample(tmp_path, VISIT, index), actor=ACTOR, where="beside")
    assert trial.where == "beside"
    assert trial.told == ("tried beside the target, on its server: deploy.yaml says database.trial: beside",)


def test_statements_that_say_so_are_refused_before_anything_runs(each_database: str, role: str, tmp_path: Path) -> None:
    """Each with its line, and the others are told with it."""
    faults = refused(
        each_database,
        tmp_path,
        VISIT,
        (f"alter role {role} nologin;\n", f"alter role {role} login;\n"),
        ("create role another_one;\n", "select 1;\n"),
    )
    assert [fault.split(" changes")[0] for fault in faults] == [
        f"0002_step_2.sql:4: ALTER ROLE {role.upper()}",
        f"0002_step_2.sql:6: ALTER ROLE {role.upper()}",
        "0003_step_3.sql:4: CREATE ROLE ANOTHER_ONE",
    ]
    assert "database.trial: server" in faults[0]
    assert may_log_in(each_database, role)


@pytest.mark.parametrize(
    "up, down",
    [
        ("create database other;\n", "drop database other;\n"),
        ("alter system set work_mem = '7MB';\n", "alter system reset work_mem;\n"),
        ("do $$ begin execute 'create role r'; commit; end $$;\n", "drop table visit;\n"),
        ("call anything();\n", "drop table visit;\n"),
    ],
)
def test_what_runs_outside_a_transaction_is_refused(each_database: str, tmp_path: Path, up: str, down: str) -> None:
    way = text(up, down, "lossy it goes", OUTSIDE, options=" transaction:false")
    way = way.replace("-- migrate:down transaction:false", "-- migrate:down") if "visit" in down else way
    apply(each_database, sample(tmp_path, VISIT), actor=ACTOR)
    (fault, *_) = refused(each_database, tmp_path, VISIT, way)
    assert fault.startswith("0002_step_2.sql:5: ")


def test_what_a_block_does_is_refused_by_name_and_not_committed(each_database: str, role: str, tmp_path: Path) -> None:
    """Only the transaction knows. The one of two that does it is named."""
    lock = (
        f"do $$ begin execute 'alter role {role} nologin'; end $$;\n",
        f"do $$ begin execute 'alter role {role} login'; end $$;\n",
    )
    (fault,) = refused(each_database, tmp_path, VISIT, lock)
    assert fault.startswith("0002_step_2.sql: 0002: it changes the server, where the trial may change nothing: ")
    assert f"role {role}; nothing was committed" in fault
    assert may_log_in(each_database, role)


def test_what_a_block_in_a_down_does_is_refused_too(each_database: str, role: str, tmp_path: Path) -> None:
    lock = ("create table t ();\n", f"drop table t;\ndo $$ begin execute 'drop role {role}'; end $$;\n")
    (fault,) = refused(each_database, tmp_path, lock)
    assert f"it changes the server, where the trial may change nothing: role {role}" in fault
    assert may_log_in(each_database, role)


def test_a_block_that_finds_its_role_there_is_tried(each_database: str, role: str, tmp_path: Path) -> None:
    """As a migration does that other databases of the server share a role with."""
    up = (
        f"do $$ begin if not exists (select from pg_roles where rolname = '{role}') then create role {role}; end if; end $$;\n"
        f"create table t ();\ngrant select on t to {role};\n"
    )
    run_trial(each_database, sample(tmp_path, (up, "drop table t;\n")), actor=ACTOR, where="beside")


@pytest.mark.parametrize(
    "statement, kind, made",
    [
        ("grant pg_monitor to {role}", "membership", True),
        ("alter database {here} set work_mem = '5MB'", "setting", True),
        ("grant temporary on database {here} to {role}", "database", True),
        ("comment on role {role} is 'x'", "comment", True),
        ("create table t ()", "", False),
    ],
)
def test_every_kind_of_effect_is_seen(
    each_database: str, role: str, tmp_path: Path, statement: str, kind: str, *, made: bool
) -> None:
    here = str(conninfo_to_dict(each_database)["dbname"])
    block = f"do $$ begin execute $x${statement.format(role=role, here=here)}$x$; end $$;\n"
    way = (block, "drop table if exists t;\n")
    if made:
        (fault,) = refused(each_database, tmp_path, way)
        assert f"the trial may change nothing: {kind} " in fault
    else:
        run_trial(each_database, sample(tmp_path, way), actor=ACTOR, where="beside")


def test_an_ordinary_owner_who_may_make_databases_is_enough(each_database: str, role: str, tmp_path: Path) -> None:
    here = str(conninfo_to_dict(each_database)["dbname"])
    do(each_database, f"alter role {role} createdb createrole", f"alter database {here} owner to {role}")
    owner = make_conninfo(each_database, user=role)
    try:
        assert run_trial(owner, sample(tmp_path / "a", VISIT), actor=ACTOR, where="beside").where == "beside"
        block = (f"do $$ begin execute 'create role {role}_more'; end $$;\n", "select 1;\n")
        (fault,) = refused(owner, tmp_path / "b", block)
        assert f"role {role}_more" in fault
    finally:
        do(each_database, f"alter database {here} owner to current_user", f"drop owned by {role}")
