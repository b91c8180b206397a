"""What a migration leaves behind in its session is no other migration's, and not the history's."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.errors import MigrationFailed
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.migration import Migration
from pytest_deploy.migrate.rollback import roll_back
from tests.unit.migrate.sample_migrations import ACTOR, VISIT, exists, rows, sample, text, versions

SET_ROLE = "do $$ begin execute format('set role %I', session_user || '_group'); end $$"
LEFT = {
    "role": (SET_ROLE, "current_user <> session_user"),
    "statement_timeout": ("set statement_timeout = '7s'", "current_setting('statement_timeout') <> '0'"),
    "a setting, for the session": ("set work_mem = '77MB'", "current_setting('work_mem') = '77MB'"),
    "a setting, by its function": (
        "select set_config('timezone', 'Asia/Tokyo', true)",
        "current_setting('timezone') = 'Asia/Tokyo'",
    ),
    "a setting of the project's": ("set app.tenant = 'ours'", "current_setting('app.tenant', true) = 'ours'"),
    "search_path": ("set search_path = pg_catalog", "current_setting('search_path') = 'pg_catalog'"),
    "the bound of locks": ("select set_config('lock_timeout', '0', false)", "current_setting('lock_timeout') = '0'"),
    "a temporary table": ("create temp table held as select 1", "to_regclass('pg_temp.held') is not null"),
    "a temporary function": (
        "create function pg_temp.held() returns int language sql as 'select 1'",
        "exists (select from pg_proc where proname = 'held')",
    ),
    "a prepared statement": ("prepare held as select 1", "exists (select from pg_prepared_statements where from_sql)"),
    "a cursor": ("declare held cursor with hold for select 1", "exists (select from pg_cursors where is_holdable)"),
}


def probe(condition: str) -> str:
    return f"do $$ begin if {condition} then raise exception 'it was left behind'; end if; end $$;\n"


@pytest.mark.parametrize("what", LEFT)
def test_it_is_not_the_next_migrations(each_database: str, tmp_path: Path, what: str) -> None:
    made, condition = LEFT[what]
    with pytest.raises(MigrationFailed, match="it was left behind"):  # within one migration it holds
        apply(each_database, sample(tmp_path / "one", (f"{made};\n{probe(condition)}", "select 1;\n")), actor=ACTOR)
    migrations = sample(tmp_path / "two", (f"{made};\n", probe(condition)), (probe(condition), f"{made};\n"))
    assert [done.actor for done in apply(each_database, migrations, actor=ACTOR)] == [ACTOR, ACTOR]
    assert [undone.version for undone in roll_back(each_database, migrations, to=[], actor=ACTOR)] == ["0002", "0001"]


def test_all_that_is_temporary_goes_whatever_its_name(each_database: str, tmp_path: Path) -> None:
    made = (
        "create temp table deploy_copy (id serial); create temp table held (id serial); create temp view seen as select * from held;\n"
        "create function pg_temp.held() returns int language sql as 'select 1';\n"
    )
    left = "exists (select from pg_class where relnamespace = pg_my_temp_schema())"
    left += " or exists (select from pg_proc where pronamespace = pg_my_temp_schema())"
    migrations = sample(tmp_path, (made, "select 1;\n"), (probe(left), "select 1;\n"))
    assert len(apply(each_database, migrations, actor=ACTOR)) == 2


def refused(conninfo: str, migrations: tuple[Migration, ...]) -> str:
    with pytest.raises(MigrationFailed) as caught:
        apply(conninfo, migrations, actor=ACTOR)
    assert versions(conninfo) == []
    assert str(caught.value).endswith("; nothing was committed")
    return str(caught.value)


def test_an_advisory_lock_of_the_session_is_refused_by_name(each_database: str, tmp_path: Path) -> None:
    held = ("select pg_advisory_lock(7);\n", "select 1;\n")
    said = refused(each_database, sample(tmp_path / "held", VISIT, held))
    assert said.startswith(f"{tmp_path}/held/0002_step_2.sql:4: it left an advisory lock of the session")
    until_the_commit = ("select pg_advisory_xact_lock(7), pg_advisory_lock(8), pg_advisory_unlock(8);\n", "select 1;\n")
    assert len(apply(each_database, sample(tmp_path / "let go", VISIT, until_the_commit), actor=ACTOR)) == 2


def test_an_advisory_lock_of_a_way_down_is_refused(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, (VISIT[0], "select pg_advisory_lock(7); drop table visit;\n"))
    apply(each_database, migrations, actor=ACTOR)
    with pytest.raises(MigrationFailed, match=r"0001 left an advisory lock of the session.*nothing was committed"):
        roll_back(each_database, migrations, to=[], actor=ACTOR)
    assert exists(each_database, "visit")


def test_a_transaction_made_read_only_is_refused_by_name(each_database: str, tmp_path: Path) -> None:
    said = refused(each_database, sample(tmp_path, VISIT, ("set transaction read only;\n", "select 1;\n"), VISIT))
    assert said.startswith(f"{tmp_path}/0002_step_2.sql:4: it leaves the transaction read only")


def test_a_deferred_violation_is_that_of_the_migration_that_made_it(each_database: str, tmp_path: Path) -> None:
    answer = (
        "create table answer (visit bigint references visit (id) deferrable initially deferred);\n",
        "drop table answer;\n",
    )
    later = (
        "insert into answer values (1);\ninsert into visit values (1);\n",
        "delete from answer; delete from visit;\n",
    )
    never = ("\ninsert into answer values (2);\n", "select 1;\n")
    said = refused(
        each_database, sample(tmp_path / "never", VISIT, answer, later, never, ("select 1;\n", "select 1;\n"))
    )
    assert said.startswith(
        f'{tmp_path}/never/0004_step_4.sql:5: insert or update on table "answer" violates foreign key'
    )
    again = (later[0].replace("1", "3"), later[1])
    assert len(apply(each_database, sample(tmp_path / "later", VISIT, answer, later, again), actor=ACTOR)) == 4


def test_outside_a_transaction_the_history_is_still_the_runners(each_database: str, tmp_path: Path) -> None:
    up = "do $$ begin execute format('set role %I', session_user || '_group'); perform set_config('deploy.actor', 'nobody', false); end $$ -- no semicolon\n"
    alone = text(up, "select 1;\n", "outside-transaction it shows", options=" transaction:false")
    alone = alone.replace("-- migrate:down\n", "-- migrate:down transaction:false\n").replace("select 1;\n", up)
    migrations = sample(tmp_path, VISIT, alone)
    apply(each_database, migrations[:1], actor=ACTOR)
    (done,) = apply(each_database, migrations, actor=ACTOR)
    assert (done.actor, done.engine) == (ACTOR, "pgmigrate")
    roll_back(each_database, migrations, to=["0001"], actor="bob")
    down = "select actor, engine, description, duration_s < 5 from deploy.migration_event where direction = 'down'"
    assert rows(each_database, down) == [("bob", "pytest-deploy", "step_2", True)]
