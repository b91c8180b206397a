"""CREATE INDEX CONCURRENTLY and its like: alone in their release, and never half-made afterwards."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from pytest_deploy.errors import MigrationFailed, MigrationsRefused
from pytest_deploy.migrate import ledger
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.rollback import roll_back
from pytest_deploy.migrate.snapshot import snapshot
from pytest_deploy.migrate.trial import run_trial
from tests.unit.migrate.sample_migrations import (
    ACTOR,
    COLUMN,
    INDEX,
    PARTITIONED,
    PROGRAMS,
    VISIT,
    do,
    exists,
    rows,
    sample,
    text,
    versions,
)

UNIQUE = text(
    "create unique index concurrently visit_unique on visit (note);\n",
    "drop index concurrently visit_unique;\n",
    "outside-transaction the table is big",
    options=" transaction:false",
)


def test_it_is_applied_and_undone_like_any_other(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT, UNIQUE)
    apply(each_database, migrations[:1], actor=ACTOR)
    before = snapshot(each_database, PROGRAMS).catalog
    (done,) = apply(each_database, migrations, actor=ACTOR)
    assert (done.version, done.sha256, done.actor) == ("0002", migrations[1].sha256, ACTOR)
    assert done.duration_s is not None
    assert exists(each_database, "visit_unique")
    (back,) = roll_back(each_database, migrations, to=["0001"], actor="bob", expected_schema=before)
    assert (back.version, back.actor) == ("0002", "bob")
    assert not exists(each_database, "visit_unique")
    assert versions(each_database) == ["0001"]


def test_it_is_refused_together_with_others(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT, UNIQUE, INDEX)
    apply(each_database, migrations[:1], actor=ACTOR)
    for refused in (apply, run_trial):
        with pytest.raises(MigrationsRefused, match="1 others are pending with it; release it alone"):
            refused(each_database, migrations, actor=ACTOR)


def test_once_it_is_released_the_next_one_is(each_database: str, tmp_path: Path) -> None:
    """A trial replays what was released; the rule about a release does not hold for it."""
    migrations = sample(tmp_path, VISIT, UNIQUE, INDEX)
    for upto in (1, 2, 3):
        trial = run_trial(each_database, migrations[:upto], actor=ACTOR)
        apply(each_database, migrations[:upto], actor=ACTOR, expected=trial.schemas())
    assert versions(each_database) == ["0001", "0002", "0003"]


def test_an_empty_database_reaches_the_end_in_one_run_and_goes_back_in_one(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT, UNIQUE, INDEX, COLUMN)
    committed: list[list[str]] = []
    trial = run_trial(each_database, migrations, actor=ACTOR)
    apply(
        each_database,
        migrations,
        actor=ACTOR,
        expected=trial.schemas(),
        on_batch=lambda batch: committed.append([one.version for one in batch]),
    )
    assert committed == [["0001"], ["0002"], ["0003", "0004"]]
    back = roll_back(each_database, migrations, to=[], actor=ACTOR, save_into=tmp_path)
    assert [one.version for one in back] == ["0004", "0003", "0002", "0001"]
    assert versions(each_database) == []


def test_a_release_commits_step_by_step_where_policy_allows(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT, UNIQUE, INDEX)
    apply(each_database, migrations[:1], actor=ACTOR)
    before = snapshot(each_database, PROGRAMS).catalog
    trial = run_trial(each_database, migrations, actor=ACTOR, several=True)
    apply(each_database, migrations, actor=ACTOR, expected=trial.schemas(), several=True)
    assert versions(each_database) == ["0001", "0002", "0003"]
    roll_back(each_database, migrations, to=["0001"], actor=ACTOR, expected_schema=before)
    assert versions(each_database) == ["0001"]


def test_what_was_committed_before_a_later_batch_failed_is_told_and_goes_back(
    each_database: str, tmp_path: Path
) -> None:
    broken = text("insert into visit (id) select id from visit;\n", "select 1;\n")  # fails where there are rows
    migrations = sample(tmp_path, VISIT, UNIQUE, broken, COLUMN)
    apply(each_database, migrations[:1], actor=ACTOR)
    before = snapshot(each_database, PROGRAMS).catalog
    do(each_database, "insert into visit values (1, 'one')")
    with pytest.raises(MigrationFailed, match="batches before it were committed: 0002") as caught:
        apply(each_database, migrations, actor=ACTOR, several=True)
    told = caught.value
    assert (told.applied, told.failed, told.not_run) == (("0002",), "0003", ("0004",))
    assert versions(each_database) == ["0001", "0002"]
    roll_back(each_database, migrations, to=["0001"], actor=ACTOR, expected_schema=before)


def test_a_batch_commits_no_other_schema_than_the_tried_one(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT, UNIQUE, INDEX)
    expected = {one.version: "0" * 64 for one in migrations}
    with pytest.raises(MigrationFailed, match="the schema after 0001 is not the one of the trial") as caught:
        apply(each_database, migrations, actor=ACTOR, expected=expected)
    assert (caught.value.applied, caught.value.not_run) == ((), ("0002", "0003"))
    assert versions(each_database) == []


def test_what_was_undone_before_a_batch_failed_is_told(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT, UNIQUE, INDEX)
    apply(each_database, migrations, actor=ACTOR)
    do(each_database, "drop index visit_unique")
    with pytest.raises(MigrationFailed, match="undone before it, and committed: 0003"):
        roll_back(each_database, migrations, to=["0001"], actor=ACTOR)
    assert versions(each_database) == ["0001", "0002"]


def test_an_index_that_is_left_invalid_is_dropped_and_the_step_fails(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT, UNIQUE)
    apply(each_database, migrations[:1], actor=ACTOR)
    do(each_database, "insert into visit values (1, 'twice'), (2, 'twice')")
    with pytest.raises(MigrationFailed) as caught:
        apply(each_database, migrations, actor=ACTOR)
    assert "the index public.visit_unique was left invalid, and was dropped" in str(caught.value)
    assert (caught.value.applied, caught.value.failed) == ((), "0002")
    assert not exists(each_database, "visit_unique")
    do(each_database, "delete from visit where id = 2")
    assert len(apply(each_database, migrations, actor=ACTOR)) == 1


def test_what_a_killed_attempt_left_is_dropped_and_somebody_elses_is_not(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT, UNIQUE)
    apply(each_database, migrations[:1], actor=ACTOR)
    do(each_database, "insert into visit values (1, 'twice'), (2, 'twice')")
    for name in ("visit_unique", "theirs"):
        with pytest.raises(psycopg.errors.UniqueViolation):
            do(each_database, f"create unique index concurrently {name} on visit (note)")
    do(each_database, "delete from visit where id = 2")
    with pytest.raises(MigrationFailed, match=r"already exists; the index public\.visit_unique was left invalid"):
        apply(each_database, migrations, actor=ACTOR)
    assert exists(each_database, "theirs")
    assert len(apply(each_database, migrations, actor=ACTOR)) == 1


def test_another_schema_than_the_rehearsed_is_told_though_it_stays(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT, UNIQUE)
    apply(each_database, migrations[:1], actor=ACTOR)
    with pytest.raises(MigrationFailed, match="it stays: it ran outside a transaction") as caught:
        apply(each_database, migrations, actor=ACTOR, expected={one.version: "0" * 64 for one in migrations})
    assert caught.value.applied == ("0002",)


def test_it_is_rehearsed_like_any_other(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT, UNIQUE)
    apply(each_database, migrations[:1], actor=ACTOR)
    rehearsal = run_trial(each_database, migrations, actor=ACTOR)
    apply(each_database, migrations, actor=ACTOR, expected={one.version: rehearsal.after for one in migrations})


def test_a_way_down_outside_a_transaction_that_fails_is_told(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT, UNIQUE)
    for upto in (1, 2):
        apply(each_database, migrations[:upto], actor=ACTOR)
    do(each_database, "drop index visit_unique")
    with pytest.raises(MigrationFailed, match='the way down of 0002 failed: index "visit_unique" does not exist'):
        roll_back(each_database, migrations, to=["0001"], actor=ACTOR)
    with psycopg.connect(each_database) as connection:
        assert len(ledger.applied(connection)) == 2
    assert rows(each_database, "select count(*) from deploy.migration_event where direction = 'down'") == [(0,)]


OUTSIDE = (
    ("reindex index concurrently visit_note;\n", "select 1;\n"),
    ("vacuum (analyze) visit;\n", "select 1;\n"),
    (
        "alter table m detach partition m_2026 concurrently;\n",
        # PostgreSQL leaves a constraint behind where it detaches like this.
        """alter table m attach partition m_2026 for values from ('2026-01-01') to ('2027-01-01');
        alter table m_2026 drop constraint m_2026_at_check;
        """,
    ),
)


@pytest.mark.parametrize("up, down", OUTSIDE, ids=["reindex", "vacuum", "detach"])
def test_each_kind_is_tried_applied_and_undone_with_its_lines_in_the_history(
    each_database: str, tmp_path: Path, up: str, down: str
) -> None:
    outside = text(up, down, "outside-transaction it can run nowhere else", options=" transaction:false")
    outside = outside.replace("-- migrate:down transaction:false", "-- migrate:down")
    migrations = sample(tmp_path, VISIT, INDEX, PARTITIONED, outside)
    apply(each_database, migrations[:3], actor=ACTOR)
    before = snapshot(each_database, PROGRAMS).catalog
    trial = run_trial(each_database, migrations, actor=ACTOR)
    (done,) = apply(each_database, migrations, actor=ACTOR, expected=trial.schemas())
    assert (done.version, done.actor) == ("0004", ACTOR)
    roll_back(each_database, migrations, to=["0001", "0002", "0003"], actor=ACTOR, expected_schema=before)
    events = "select direction, actor from deploy.migration_event where version = '0004' order by seq"
    assert rows(each_database, events) == [("up", ACTOR), ("down", ACTOR)]


HALF = text(
    "do $$ begin create table x (); {}; raise exception 'boom'; end $$;\n",
    "drop table x;\n",
    "outside-transaction it commits as it goes",
    "lossy it goes",
    options=" transaction:false",
)


@pytest.mark.parametrize("then,what", [("commit", "is no longer what it was"), ("rollback", "is what it was")])
def test_what_was_committed_before_a_failure_is_told(each_database: str, tmp_path: Path, then: str, what: str) -> None:
    migrations = sample(tmp_path, VISIT, HALF.format(then))
    apply(each_database, migrations[:1], actor=ACTOR)
    with pytest.raises(MigrationFailed) as caught:
        apply(each_database, migrations, actor=ACTOR)
    assert "nothing was committed" not in str(caught.value)
    assert f"what it did before stays: the schema {what}" in str(caught.value).replace(";", ":")
    assert exists(each_database, "x") is (then == "commit")


def test_what_a_way_down_did_before_it_failed_is_told(each_database: str, tmp_path: Path) -> None:
    undone = "do $$ begin drop table x; commit; raise exception 'boom'; end $$;\n"
    made = text(
        "create table x ();\n", undone, "lossy it goes", "outside-transaction it commits", options=" transaction:false"
    )
    made = made.replace("-- migrate:down\n", "-- migrate:down transaction:false\n")
    migrations = sample(tmp_path, VISIT, made)
    for upto in (1, 2):
        apply(each_database, migrations[:upto], actor=ACTOR)
    with pytest.raises(MigrationFailed) as caught:
        roll_back(each_database, migrations, to=["0001"], actor=ACTOR)
    assert "nothing was undone" not in str(caught.value)
    assert "what it did before stays: the schema is no longer what it was" in str(caught.value)


def test_what_became_pending_after_the_trial_is_not_applied(each_database: str, tmp_path: Path) -> None:
    """The trial saw nothing pending, or less; then another tool took a migration back, or a file came."""
    migrations = sample(tmp_path, VISIT, UNIQUE, INDEX)
    apply(each_database, migrations[:2], actor=ACTOR)
    nothing = run_trial(each_database, migrations[:2], actor=ACTOR)
    with pytest.raises(MigrationsRefused, match="no trial has tried it"):
        apply(each_database, migrations, actor=ACTOR, expected=nothing.schemas())
    assert versions(each_database) == ["0001", "0002"]
    tried = run_trial(each_database, migrations, actor=ACTOR)
    apply(each_database, migrations, actor=ACTOR, expected=tried.schemas())
    assert versions(each_database) == ["0001", "0002", "0003"]
