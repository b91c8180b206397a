"""A loss that no migration declares is refused in the trial: rows written since the up are compared around its down."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.errors import MigrationsRefused
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.trial import run_trial
from pytest_deploy.migrate.trial_result import Trial
from tests.unit.migrate.sample_migrations import ACTOR, INDEX, PARTITIONED, VISIT, sample, text


def tried(conninfo: str, folder: Path, first: tuple[str, str], *ways: str) -> Trial:
    """The trial of what is pending on top of a first migration that is applied."""
    migrations = sample(folder, first, *ways)
    apply(conninfo, migrations[:1], actor=ACTOR)
    return run_trial(conninfo, migrations, actor=ACTOR)


def refused(conninfo: str, folder: Path, first: tuple[str, str], *ways: str) -> list[str]:
    with pytest.raises(MigrationsRefused) as caught:
        tried(conninfo, folder, first, *ways)
    return [str(fault).replace(f"{folder}/", "") for fault in caught.value.faults]


NULLABLE = (
    "alter table visit alter note drop not null;\n",
    "delete from visit where note is null;\nalter table visit alter note set not null;\n",
)
NOT_NULL = ("create table visit (id bigint primary key, note text not null);\n", "drop table visit;\n")
CUT = (
    "alter table visit alter note type text;\n",
    "alter table visit alter note type varchar(8) using left(note, 8);\n",
)
SHORT = ("create table visit (id bigint primary key, note varchar(8));\n", "drop table visit;\n")


DAY = (
    "alter table visit add day date;\n",
    "update visit set note = null where day is not null;\nalter table visit drop day;\n",
)
# The rows that the trial makes up are of today.
BY_DAY = ("create table m (id bigint, at date not null) partition by range (at);\n", "drop table m;\n")
ADDRESSED = (
    'create type address as (street text, "odd {zip}" varchar(5), since timestamptz, no int); create table home (at address);\n',
    "drop table home; drop type address;\n",
)
ATTRIBUTE = ("alter type address add attribute floor int;\n", "alter type address drop attribute floor;\n")
PARTITION = ("create table m_all partition of m default;\n", "drop table m_all;\n")


@pytest.mark.parametrize(
    "first,way,what",
    [
        (NOT_NULL, NULLABLE, "1 rows of public.visit (id)"),
        (SHORT, CUT, "2 rows of public.visit (note)"),
        (VISIT, DAY, "2 rows of public.visit (day, note)"),
        (BY_DAY, PARTITION, "2 rows of public.m_all (id, at)"),
        (ADDRESSED, ATTRIBUTE, "2 rows of public.home (at)"),
    ],
    ids=["deleted", "cut", "updated", "partition", "attribute of a composite type"],
)
def test_what_a_down_takes_is_refused_unless_it_is_declared(
    each_database: str, tmp_path: Path, first: tuple[str, str], way: tuple[str, str], what: str
) -> None:
    faults = refused(each_database, tmp_path / "a", first, text(*way))
    assert f"0002_step_2.sql:5: the way down takes rows with it: {what}; write `-- deploy:lossy REASON`" in faults[0]
    declared = tried(each_database, tmp_path / "b", first, text(*way, "lossy as agreed"))
    assert declared.steps[0].lost == (what,)


def test_rows_that_the_up_makes_again_are_no_loss(each_database: str, tmp_path: Path) -> None:
    kinds = (
        "insert into visit values (-1, 'first'), (-2, to_char(clock_timestamp(), 'SS.US'));\n",
        "delete from visit where id < 0;\n",
    )
    trial = tried(each_database, tmp_path, VISIT, text(*kinds))
    assert trial.steps[0].lost == ()


def test_content_that_the_up_makes_again_is_no_loss(database: str, tmp_path: Path) -> None:
    wrapped = (
        "alter table visit alter note type text[] using array[note];\n",
        "alter table visit alter note type text using note[1];\n",
    )
    first = ("create table visit (id bigint primary key, note text);\n", "drop table visit;\n")
    seeds = tmp_path / "rows"
    seeds.mkdir()
    (seeds / "0002.sql").write_text("insert into visit values (7, '{a}') on conflict do nothing", encoding="utf-8")
    migrations = sample(tmp_path / "m", first, text(*wrapped))
    apply(database, migrations[:1], actor=ACTOR)
    assert run_trial(database, migrations, actor=ACTOR, seeds=seeds).steps[0].lost == ()
    (seeds / "0002.sql").write_text("insert into visit values (7, '{a,b}') on conflict do nothing", encoding="utf-8")
    with pytest.raises(MigrationsRefused, match=r"takes rows with it: \d rows of public.visit \(note\)"):
        run_trial(database, migrations, actor=ACTOR, seeds=seeds)


def test_a_down_that_fails_only_on_rows_with_nothing_in_them_is_no_loss(database: str, tmp_path: Path) -> None:
    """It loses nothing: the real one fails too, and undoes nothing."""
    way = ("alter table visit alter note drop not null;\n", "alter table visit alter note set not null;\n")
    assert tried(database, tmp_path, NOT_NULL, text(*way)).steps[0].lost == ()


def test_rows_that_a_down_outside_a_transaction_deletes_must_be_declared(database: str, tmp_path: Path) -> None:
    down = "do $$ begin delete from visit where day is not null; alter table visit drop day; commit; end $$;\n"
    file = text(DAY[0], down, "outside-transaction it commits", options=" transaction:false")
    faults = refused(database, tmp_path / "a", VISIT, file)
    assert "takes rows with it: 2 rows of public.visit; write `-- deploy:lossy" in faults[0]


def test_an_undeclared_loss_is_told_though_the_next_cannot_be_tried(database: str, tmp_path: Path) -> None:
    """What runs outside a transaction cannot be brought back after others: that is not in place of the fault."""
    options = " transaction:false"
    file = text("create table x (id bigint);\n", "drop table x;\n", "outside-transaction it may", options=options)
    file = file.replace("-- migrate:down transaction:false", "-- migrate:down")
    (fault,) = refused(database, tmp_path, VISIT, file)
    assert "takes rows with it: 2 rows of public.x (id)" in fault


def test_what_loses_nothing_is_not_refused(database: str, tmp_path: Path) -> None:
    trial = tried(database, tmp_path, VISIT, text(*INDEX))
    assert trial.steps[0].lost == ()


EMPTY = [
    ("create table m_1999 partition of m for values from ('1999-01-01') to ('2000-01-01');\n", "drop table m_1999;\n"),
    ("create table shape (at point not null, sent macaddr not null);\n", "drop table shape;\n"),
]


@pytest.mark.parametrize("way", EMPTY, ids=["a partition", "a table of types that no row is made up for"])
def test_a_table_that_goes_without_a_row_to_show_for_it_is_a_loss(
    each_database: str, tmp_path: Path, way: tuple[str, str]
) -> None:
    """The release's users will write into it."""
    apply(each_database, sample(tmp_path, PARTITIONED), actor=ACTOR)
    with pytest.raises(MigrationsRefused, match=r"the way down takes rows with it: .*, which held no row here"):
        run_trial(each_database, sample(tmp_path, PARTITIONED, text(*way)), actor=ACTOR)
    trial = run_trial(each_database, sample(tmp_path, PARTITIONED, text(*way, "lossy it is new")), actor=ACTOR)
    assert [len(step.lost) for step in trial.steps] == [1]


def test_a_table_that_is_renamed_or_detached_is_none(each_database: str, tmp_path: Path) -> None:
    ways = (
        text("alter table m rename to visits;\n", "alter table visits rename to m;\n"),
        text("alter table m_2026 add check (id > 0);\n", "alter table m_2026 drop constraint m_2026_id_check;\n"),
    )
    apply(each_database, sample(tmp_path, PARTITIONED), actor=ACTOR)
    trial = run_trial(each_database, sample(tmp_path, PARTITIONED, *ways), actor=ACTOR)
    assert [step.lost for step in trial.steps] == [(), ()]
