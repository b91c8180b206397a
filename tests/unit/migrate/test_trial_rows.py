"""Rows that a trial makes up refuse nothing; those of the project's own, and of the migrations, do."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.errors import MigrationFailed, MigrationsRefused
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.dry_run import dry_run
from pytest_deploy.migrate.trial import require_seeds, run_trial
from pytest_deploy.migrate.trial_result import Trial
from tests.unit.migrate.sample_migrations import ACTOR, do, sample, text

CODES = ("create table w (id bigint primary key, code text not null);\n", "drop table w;\n")
FORM = (
    "alter table w add constraint code_form check (code ~ '^[A-Z]{3}$');\n",
    "alter table w drop constraint code_form;\n",
)
LATER = (
    "alter table w add constraint code_form check (code ~ '^[A-Z]{3}$') not valid;\nalter table w validate constraint code_form;\n",
    FORM[1],
)


def trial_of(conninfo: str, folder: Path, *ways: tuple[str, str] | str, seeds: Path | None = None) -> Trial:
    return run_trial(conninfo, sample(folder, *ways), actor=ACTOR, seeds=seeds)


def seeds_of(folder: Path, **rows: str) -> Path:
    folder.mkdir()
    for version, statements in rows.items():
        (folder / f"{version[1:]}.sql").write_text(statements, encoding="utf-8")
    return folder


@pytest.mark.parametrize("way", [FORM, LATER])
@pytest.mark.parametrize("applied", [0, 1])
def test_a_check_that_only_made_up_rows_violate_passes_and_the_table_is_named(
    each_database: str, tmp_path: Path, way: tuple[str, str], applied: int
) -> None:
    apply(each_database, sample(tmp_path, CODES)[:applied], actor=ACTOR)
    trial = trial_of(each_database, tmp_path, CODES, way)
    assert trial.without_rows == ("public.w",)
    assert trial.steps[-1].without_rows == ("public.w",)
    assert trial.told[1] == (
        "0002 was tried without rows in public.w: it failed on rows that the trial made up; "
        "database.seeds would have it tried with rows of your own"
    )


def test_foreign_keys_added_after_their_tables_pass(each_database: str, tmp_path: Path) -> None:
    """As the public Northwind folder has it: six tables, then all the foreign keys."""
    names = ("region", "territory", "employee", "customer", "orders", "detail")
    tables = [
        (
            f"create table {name} (id bigint primary key, {other}_id bigint not null, note text);\n",
            f"drop table {name};\n",
        )
        for name, other in zip(names, ("region", *names), strict=False)
    ]
    pairs = list(zip(names[1:], names, strict=False))
    keys = (
        "".join(
            f"alter table {one} add constraint {one}_fk foreign key ({other}_id) references {other};\n"
            for one, other in pairs
        ),
        "".join(f"alter table {one} drop constraint {one}_fk;\n" for one, _ in pairs),
    )
    trial = trial_of(each_database, tmp_path, *tables, keys)
    assert [step.version for step in trial.steps if step.without_rows] == ["0007"]


def test_the_steps_before_and_after_have_rows(each_database: str, tmp_path: Path) -> None:
    """A loss in the same table is still found: only the migration that failed on them is tried without."""
    destroys = text("update w set id = id + 1000000;\n", "select 1;\n")
    for place, ways in (("a", (CODES, destroys, FORM)), ("b", (CODES, FORM, destroys))):
        with pytest.raises(MigrationsRefused, match=r"do not give back the rows that were there: \d of public\.w"):
            trial_of(each_database, tmp_path / place, *ways)


def test_what_fails_without_any_row_too_is_refused(each_database: str, tmp_path: Path) -> None:
    up = "\n".join(["insert into w values (1, 'no');", FORM[0]])
    down = "\n".join([FORM[1], "delete from w where id = 1;\n"])
    with pytest.raises(MigrationsRefused, match=r"code_form.*; the row is of the migrations; mend it"):
        trial_of(each_database, tmp_path, CODES, (up, down))


def test_a_new_column_that_no_row_can_have_is_refused(each_database: str, tmp_path: Path) -> None:
    """Any row of the real database would do as well."""
    column = ("alter table w add column kind text not null;\n", "alter table w drop column kind;\n")
    with pytest.raises(
        MigrationsRefused, match="the row is one that the trial made up, and any other would do: kind is new"
    ):
        trial_of(each_database, tmp_path, CODES, column)


def test_the_projects_own_rows_have_it_tried_with_rows(each_database: str, tmp_path: Path) -> None:
    seeds = seeds_of(tmp_path / "rows", v0001="insert into w values (1, 'AAA'), (2, 'BBB');\n")
    trial = trial_of(each_database, tmp_path / "m", CODES, FORM, seeds=seeds)
    assert [step.version for step in trial.steps] == ["0001", "0002"]


def test_the_projects_own_rows_refuse_and_their_file_is_named(each_database: str, tmp_path: Path) -> None:
    seeds = seeds_of(tmp_path / "rows", v0001="insert into w values (1, 'not so');\n")
    with pytest.raises(MigrationsRefused, match=r"code_form.*; the row is of 0001\.sql or of the migrations"):
        trial_of(each_database, tmp_path / "m", CODES, FORM, seeds=seeds)
    apply(each_database, sample(tmp_path / "m", CODES)[:1], actor=ACTOR)
    with pytest.raises(MigrationsRefused, match=r"code_form.*; the row is of 0001\.sql or of the migrations"):
        trial_of(each_database, tmp_path / "m", CODES, FORM, seeds=seeds)


@pytest.mark.parametrize(
    "there, said", [(True, "there is no migration of this version"), (False, "there is no such folder")]
)
def test_rows_for_nothing_are_refused(tmp_path: Path, said: str, *, there: bool) -> None:
    seeds = seeds_of(tmp_path / "rows", v0009="select 1;\n") if there else tmp_path / "rows"
    with pytest.raises(MigrationsRefused, match=said):
        require_seeds(seeds, sample(tmp_path / "m", CODES))


def test_real_rows_that_violate_it_are_found_on_the_real_database_and_said(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, CODES, FORM)
    apply(each_database, migrations[:1], actor=ACTOR)
    do(each_database, "insert into w values (1, 'AAA')")
    assert dry_run(each_database, migrations, actor=ACTOR).versions == ("0002",)
    do(each_database, "insert into w values (2, 'of-a-subject')")
    with pytest.raises(MigrationFailed, match=r"rows of the real database violate it \(public\.w holds 2\)") as caught:
        dry_run(each_database, migrations, actor=ACTOR)
    assert "of-a-subject" not in str(caught.value)


def test_rows_of_the_migrations_own_are_not_said_to_be_real(database: str, tmp_path: Path) -> None:
    way = ("create table v (x int);\ninsert into v values (1);\nalter table v add check (x > 1);\n", "drop table v;\n")
    with pytest.raises(MigrationFailed, match=r"the migrations themselves put rows into public\.v that violate it"):
        dry_run(database, sample(tmp_path, way), actor=ACTOR)


@pytest.mark.parametrize(
    "check",
    [
        "code in ('open', 'closed')",
        "code = 'open' or code = 'closed'",
        "code ~ '^[A-Z]{3}-[0-9]+$'",
        "char_length(code) = 12",
        "length(code) between 20 and 22",
        "code like 'AB-%'",
        "id > 4000 and id % 2 = 0",
        "id between 71 and 75",
    ],
)
def test_rows_are_made_to_satisfy_a_declared_check(each_database: str, tmp_path: Path, check: str) -> None:
    way = (f"create table w (id bigint primary key, code text not null, check ({check}));\n", "drop table w;\n")
    assert trial_of(each_database, tmp_path, way).without_rows == ()


def test_one_that_no_row_is_found_for_is_named(each_database: str, tmp_path: Path) -> None:
    way = ("create table w (code text not null check (md5(code) ~ '^abcdef'));\n", "drop table w;\n")
    assert trial_of(each_database, tmp_path, way).without_rows == ("public.w",)


def test_the_true_fault_is_told_where_a_later_stage_is_refused(each_database: str, tmp_path: Path) -> None:
    """The undeclared loss of a migration that must be alone, and not that it is not alone on the trial's new database."""
    apply(each_database, sample(tmp_path, CODES), actor=ACTOR)
    outside = text(
        "create table x (id bigint primary key);\n",
        "drop table x;\n",
        "outside-transaction for the sake of it",
        options=" transaction:false",
    ).replace("-- migrate:down transaction:false", "-- migrate:down")
    with pytest.raises(MigrationsRefused, match=r"the way down takes rows with it: 2 rows of public\.x") as caught:
        trial_of(each_database, tmp_path, CODES, outside)
    assert len(caught.value.faults) == 1
