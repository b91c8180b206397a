"""The release's migrations on a scratch database, up and down and up again, before the real one is touched."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pytest_deploy.errors import MigrationsRefused, PlatformUnavailable
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.migration_folder import read_migrations
from pytest_deploy.migrate.session import scratch_database
from pytest_deploy.migrate.snapshot import snapshot
from pytest_deploy.migrate.trial import run_trial
from pytest_deploy.migrate.trial_result import Trial
from tests.unit.migrate.sample_migrations import (
    ACTOR,
    COLUMN,
    FIVE,
    INDEX,
    PROGRAMS,
    VISIT,
    as_superuser,
    do,
    rows,
    sample,
    text,
)

TYPE = "create type state as enum ('open', 'closed');\n"


def refused(conninfo: str, folder: Path, *ways: tuple[str, str] | str, seeds: Path | None = None) -> list[str]:
    with pytest.raises(MigrationsRefused) as caught:
        run_trial(conninfo, sample(folder, *ways), actor=ACTOR, seeds=seeds)
    return [str(fault).replace(f"{folder}/", "") for fault in caught.value.faults]


def test_a_rehearsal_tells_the_schema_that_applying_reaches(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, *FIVE)
    apply(each_database, migrations[:2], actor=ACTOR)
    before = snapshot(each_database, PROGRAMS)
    trial = run_trial(each_database, migrations, actor=ACTOR)
    assert [step.version for step in trial.steps] == ["0003", "0004", "0005"]
    assert snapshot(each_database, PROGRAMS) == before
    apply(each_database, migrations, actor=ACTOR, expected={one.version: trial.after for one in migrations})
    assert snapshot(each_database, PROGRAMS).catalog == trial.after
    assert trial.within_budget
    assert trial.without_rows == ()


def test_with_nothing_pending_it_tells_the_schema_as_it_is(database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT)
    apply(database, migrations, actor=ACTOR)
    trial = run_trial(database, migrations, actor=ACTOR)
    assert trial.steps == ()
    assert trial.before == trial.after == snapshot(database, PROGRAMS).catalog


def test_it_names_the_files_that_were_tried_by_their_digests(database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT, INDEX)
    trial = run_trial(database, migrations, actor=ACTOR)
    assert [(step.version, step.sha256) for step in trial.steps] == [(one.version, one.sha256) for one in migrations]


def test_it_can_be_attached_and_read_back(database: str, tmp_path: Path) -> None:
    trial = run_trial(database, sample(tmp_path, VISIT), actor=ACTOR)
    assert Trial.from_json(trial.to_json()) == trial


@pytest.mark.parametrize("kept", ["", "{}", "[1]", '{"steps": 1}', '{"steps": [{}]}'])
def test_what_is_no_trials_result_is_refused(kept: str) -> None:
    with pytest.raises(MigrationsRefused, match="no trial's result"):
        Trial.from_json(kept)


def test_a_down_that_does_nothing_is_caught(each_database: str, tmp_path: Path) -> None:
    (fault,) = refused(each_database, tmp_path, VISIT, (COLUMN[0], "select 1;\n"))
    assert fault.startswith("0002_step_2.sql:6: the way down does not restore the schema:")
    assert "+column public.visit 0003 {" in fault


def test_a_down_that_fails_is_caught(each_database: str, tmp_path: Path) -> None:
    (fault,) = refused(each_database, tmp_path, (VISIT[0], "drop table vist;\n"))
    assert "the way down of 0001 failed" in fault


def test_an_up_that_fails_is_caught_on_its_line(each_database: str, tmp_path: Path) -> None:
    (fault,) = refused(each_database, tmp_path, VISIT, ("create index i on visit (nowhere);\n", "drop index i;\n"))
    assert '0002_step_2.sql:4: column "nowhere" does not exist' in fault


def test_a_down_that_restores_too_much_is_caught(each_database: str, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    apply(each_database, sample(folder, VISIT), actor=ACTOR)
    (fault,) = refused(each_database, folder, VISIT, (INDEX[0], INDEX[1] + "alter table visit drop note;\n"))
    assert "does not restore the schema" in fault


def test_rows_that_go_with_the_down_must_be_declared(each_database: str, tmp_path: Path) -> None:
    (fault,) = refused(each_database, tmp_path / "a", text(*VISIT))
    assert "the way down takes rows with it: 2 rows of public.visit (id, note); write `-- deploy:lossy REASON`" in fault
    declared = run_trial(each_database, sample(tmp_path / "b", text(*VISIT, "lossy they were notes")), actor=ACTOR)
    assert declared.steps[0].lost == ("2 rows of public.visit (id, note)",)


def test_rows_that_the_up_destroys_must_be_declared(each_database: str, tmp_path: Path) -> None:
    first = text(*VISIT, "lossy it goes")
    destroys = ("alter table visit drop column note;\n", "alter table visit add column note text;\n")
    (fault,) = refused(each_database, tmp_path / "a", first, text(*destroys))
    assert "up and down do not give back the rows that were there: " in fault
    assert "of public.visit" in fault
    run_trial(each_database, sample(tmp_path / "b", first, text(*destroys, "lossy as agreed")), actor=ACTOR)


def test_rows_that_are_changed_in_place_must_be_declared(each_database: str, tmp_path: Path) -> None:
    first = text(*VISIT, "lossy it goes")
    apply(each_database, sample(tmp_path / "a", first), actor=ACTOR)
    (fault,) = refused(each_database, tmp_path / "a", first, text("update visit set note = 'x';\n", "select 1;\n"))
    assert "2 of public.visit" in fault


def test_every_fault_is_told_at_once(each_database: str, tmp_path: Path) -> None:
    faults = refused(each_database, tmp_path, VISIT, (INDEX[0], "select 1;\n"), (FIVE[3][0], "select 2;\n"))
    assert [fault.split(": ")[0] for fault in faults] == ["0002_step_2.sql:6", "0003_step_3.sql:6"]


def test_another_schema_the_second_time_up_is_caught(each_database: str, tmp_path: Path) -> None:
    """The up looks at rows that its own down left behind where no schema shows them."""
    up = (
        "do $$ begin if (select count(*) from visit) % 2 = 0 then create table even (); else create table odd (); end if;"
        " insert into visit values (-1 - (select count(*) from visit), 'trace'); end $$;\n"
    )
    folder = tmp_path / "m"
    apply(each_database, sample(folder, VISIT), actor=ACTOR)
    (fault, *_) = refused(each_database, folder, VISIT, (up, "drop table if exists even, odd;\n"))
    assert "gives another schema" in fault or "one by one" in fault


def test_a_second_time_up_that_fails_is_caught(each_database: str, tmp_path: Path) -> None:
    """The down leaves a row that the up cannot add twice."""
    folder = tmp_path / "m"
    apply(each_database, sample(folder, VISIT), actor=ACTOR)
    twice = ("insert into visit values (-7, 'x');\ncreate table a ();\n", "drop table a;\n")
    (fault,) = refused(each_database, folder, VISIT, twice)
    assert "duplicate key value" in fault


def test_several_together_may_restore_what_each_alone_does_not(each_database: str, tmp_path: Path) -> None:
    """The first way down leaves a column, the second removes it: together all is well, and each must be well alone."""
    leaves = ("create index i on visit (note);\n", "drop index i;\nalter table visit drop column day;\n")
    adds = ("alter table visit add column day date;\n", "select 1;\n")
    folder = tmp_path / "m"
    apply(each_database, sample(folder, VISIT), actor=ACTOR)
    faults = refused(each_database, folder, VISIT, leaves, adds)
    assert any("0002_step_2.sql" in fault for fault in faults)


def test_a_schema_that_has_drifted_is_refused(each_database: str, tmp_path: Path) -> None:
    apply(each_database, sample(tmp_path, VISIT), actor=ACTOR)
    do(each_database, "create table by_hand (x int)")
    (fault,) = refused(each_database, tmp_path, VISIT, INDEX)
    assert "the database's schema is not what its 1 migrations make" in fault
    assert "+relation public.by_hand" in fault


def test_what_works_only_in_a_transaction_of_its_own_is_caught(each_database: str, tmp_path: Path) -> None:
    """A new label of an old enum cannot be used before its transaction ends, and the release is one transaction."""
    folder = tmp_path / "m"
    first = (TYPE + "create table a (s state);\n", "drop table a;\ndrop type state;\n")
    apply(each_database, sample(folder, first), actor=ACTOR)
    label = ("alter type state add value 'late';\n", "select 1;\n")
    use = ("insert into a values ('late');\n", "delete from a;\n")
    (fault,) = refused(each_database, folder, first, label, use)
    assert "unsafe use of new value" in fault


def test_the_authors_rows_are_used_where_there_are_some(each_database: str, tmp_path: Path) -> None:
    folder, seeds = tmp_path / "m", tmp_path / "rows"
    guarded = text(
        "create table a (x int primary key check (x + 4 = 4715));\n",
        "drop table a;\n",
        "lossy a goes",
        compatible="expand",
    )
    destroys = text("delete from a;\n", "select 1;\n")
    migrations = sample(folder, guarded)
    assert run_trial(each_database, migrations, actor=ACTOR).without_rows == ("public.a",)
    seeds.mkdir()
    (seeds / "0001.sql").write_text("insert into a values (4711);\n", encoding="utf-8")
    assert run_trial(each_database, migrations, actor=ACTOR, seeds=seeds).without_rows == ()
    apply(each_database, migrations, actor=ACTOR)
    (fault,) = refused(each_database, folder, guarded, destroys, seeds=seeds)
    assert "1 of public.a" in fault
    (seeds / "0001.sql").write_text("insert into a values (1);\n", encoding="utf-8")
    (fault,) = refused(each_database, folder, guarded, destroys, seeds=seeds)
    assert "the representative rows do not go in" in fault


def test_a_slow_release_is_told(database: str, tmp_path: Path) -> None:
    """REQ-o00044-T."""
    migrations = sample(tmp_path, ("select pg_sleep(0.3);\n", "select 1;\n"))
    assert not run_trial(database, migrations, actor=ACTOR, budget_s=0.2).within_budget


def databases(conninfo: str) -> set[str]:
    return {name for (name,) in rows(conninfo, "select datname from pg_database")}


def test_nothing_is_left_of_a_scratch_database(database: str) -> None:
    names: list[str] = []

    def fail() -> None:
        with scratch_database(database) as place:
            names.append(str(conninfo_to_dict(place)["dbname"]))
            assert names[0] in databases(database)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert names[0] not in databases(database)


def test_one_that_a_killed_process_left_is_gone_after_a_day(database: str) -> None:
    stale, young = (f"deploy_scratch_{day}_{uuid.uuid4().hex[:12]}" for day in ("20200101", "29990101"))
    do(database, f"create database {stale}", f"create database {young}")
    with scratch_database(database):
        found = databases(database)
    do(database, f"drop database {young}")
    assert found & {stale, young} == {young}


def test_who_may_not_create_databases_is_told(database: str) -> None:
    role = f"role_{uuid.uuid4().hex[:12]}"
    do(as_superuser(database), f"create role {role} login")
    try:
        with (
            pytest.raises(PlatformUnavailable, match="grant CREATEDB"),
            scratch_database(make_conninfo(database, user=role)),
        ):
            pass
    finally:
        do(as_superuser(database), f"drop role {role}")


def test_the_reference_services_migrations_pass(each_database: str) -> None:
    folder = Path(__file__).parents[3] / "migrations"
    trial = run_trial(as_superuser(each_database), read_migrations(folder), actor=ACTOR)  # they make a role
    assert trial.without_rows == ()
