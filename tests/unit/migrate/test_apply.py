"""All pending migrations of a release, or none."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import psycopg
import pytest

from pytest_deploy.errors import (
    Interrupted,
    ManualInterventionRequired,
    MigrationFailed,
    MigrationsRefused,
    PlatformUnavailable,
    Refused,
)
from pytest_deploy.migrate import ledger
from pytest_deploy.migrate.apply import apply, settled_versions
from pytest_deploy.migrate.session import RUNNER_KEY, server_message, with_lock_timeout
from pytest_deploy.migrate.snapshot import snapshot
from tests.unit.migrate.sample_migrations import (
    ACTOR,
    FIVE,
    INDEX,
    PROGRAMS,
    VIEW,
    VISIT,
    do,
    exists,
    rows,
    sample,
    text,
    versions,
)

SLOW = ("select pg_sleep(30);\n", "select 1;\n")


def whole_chain(error: BaseException | None) -> str:
    """What an error and everything that it could be printed with say."""
    said = []
    while error is not None:
        said.append(str(error))
        error = error.__cause__ or error.__context__
    return "\n".join(said)


def failed(conninfo: str, tmp_path: Path, *ways: tuple[str, str] | str) -> MigrationFailed:
    with pytest.raises(MigrationFailed) as caught:
        apply(conninfo, sample(tmp_path, *ways), actor=ACTOR)
    return caught.value


def test_pending_migrations_are_applied_in_order_and_once(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, *FIVE)
    assert [done.version for done in apply(each_database, migrations, actor=ACTOR)] == [
        "0001",
        "0002",
        "0003",
        "0004",
        "0005",
    ]
    assert apply(each_database, migrations, actor=ACTOR) == ()
    with psycopg.connect(each_database) as connection:
        assert ledger.pending(migrations, ledger.applied(connection)) == ()


def test_only_what_is_new_is_applied(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, *FIVE)
    apply(each_database, migrations[:3], actor=ACTOR)
    assert [done.version for done in apply(each_database, migrations, actor=ACTOR)] == ["0004", "0005"]


def test_a_failure_in_the_middle_leaves_nothing(each_database: str, tmp_path: Path) -> None:
    error = failed(each_database, tmp_path, VISIT, ("select 1;\n\nalter table vist add x int;\n", "select 1;"), VIEW)
    assert (error.applied, error.failed, error.not_run) == ((), "0002", ("0001", "0003"))
    assert not exists(each_database, "visit")
    assert versions(each_database) == []


def test_the_message_points_into_the_authors_file(each_database: str, tmp_path: Path) -> None:
    error = failed(each_database, tmp_path, ("select 1;\n\tselect 'ä', nowhere;\n", "select 1;"))
    file = tmp_path / "0001_step_1.sql"
    assert str(error).startswith(
        f"{file}:5: column \"nowhere\" does not exist; nothing was committed\n  \tselect 'ä', nowhere;\n  \t            ^"
    )


def test_a_failure_without_a_place_names_the_section(each_database: str, tmp_path: Path) -> None:
    error = failed(
        each_database, tmp_path, ("do $$ begin raise exception 'no' using detail = 'row 7'; end $$;\n", "select 1;")
    )
    assert f"{tmp_path / '0001_step_1.sql'}:4: no; nothing was committed" == str(error)


@pytest.mark.parametrize(
    "up,line,fault",
    [
        ("-- a note\ncreate table a ();\n\n-- another; and\nalter table nowhere\n  add x int;\n", 8, "does not exist"),
        ("create table a (b text);\ninsert into a values ('x;y');\n\ndo $$ begin\n  raise exception 'no';\nend $$;\n", 7, "no"),
        ("create table a (b int primary key);\ninsert into a values (1);\ninsert into a values (1);\n", 6, "duplicate key"),
        ("create table a (b int primary key); insert into a values (1);\ninsert into a values (1);\n", 5, "duplicate key"),
        ("select 1;\nselect 1 / (select 0);\nselect 1 / (select 0);\n", 5, "division by zero"),
    ],
)  # fmt: skip
def test_an_error_names_the_line_of_its_own_statement(
    each_database: str, tmp_path: Path, up: str, line: int, fault: str
) -> None:
    error = failed(each_database, tmp_path, (up, "select 1;"))
    assert str(error).startswith(f"{tmp_path / '0001_step_1.sql'}:{line}: ")
    assert fault in str(error)
    assert "nothing was committed" in str(error)


def test_a_release_that_sets_role_or_time_limit_binds_nobody_after_it(each_database: str, tmp_path: Path) -> None:
    role = "do $$ begin execute format('set role %I', session_user || '_group'); end $$"
    sets = (f"{role};\nset statement_timeout = '50ms';\n", "select 1;")
    slow = ("select pg_sleep(0.1);\ncreate table a ();\n", "drop table a;")
    assert len(apply(each_database, sample(tmp_path, sets, slow), actor=ACTOR)) == 2


def test_who_breaks_the_history_is_named(each_database: str, tmp_path: Path) -> None:
    breaks = (
        "select 1;\ndo $$ begin execute 'drop schema public cascade'; execute 'create schema public'; end $$;\n",
        "select 1;",
    )
    error = failed(each_database, tmp_path, VISIT, breaks, ("select 2;\n", "select 1;"))
    assert (error.failed, error.not_run) == ("0002", ("0001", "0003"))


def test_rows_do_not_reach_the_message(each_database: str, tmp_path: Path) -> None:
    way = ("insert into visit values (1, 'secret');\ninsert into visit values (1, 'secret');\n", "select 1;")
    error = failed(each_database, tmp_path, VISIT, way)
    assert "secret" not in whole_chain(error)


@pytest.mark.parametrize("word", ["commit", "rollback"])
def test_the_server_itself_refuses_to_end_the_transaction(each_database: str, tmp_path: Path, word: str) -> None:
    hidden = (f"create table a ();\ndo $$ begin execute '{word}'; end $$;\n", "drop table a;")
    error = failed(each_database, tmp_path, hidden)
    assert "not implemented" in str(error) or "cannot" in str(error) or "invalid transaction" in str(error)
    assert not exists(each_database, "a")


def test_a_constraint_that_waits_for_the_commit_fails_before_it(each_database: str, tmp_path: Path) -> None:
    deferred = (
        (
            "create table a (id int primary key, b int references a deferrable initially deferred);\n"
            "insert into a values (1, 2);\n"
        ),
        "drop table a;",
    )
    error = failed(each_database, tmp_path, deferred)
    assert f'{tmp_path}/0001_step_1.sql:4: insert or update on table "a" violates foreign key constraint' in str(error)
    assert (error.applied, error.failed, error.not_run) == ((), "0001", ())


def test_the_rehearsed_schema_is_committed_and_another_is_not(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT, INDEX)
    apply(each_database, migrations[:1], actor=ACTOR)
    with pytest.raises(MigrationFailed, match="the schema after 0002 is not the one of the trial"):
        apply(each_database, migrations, actor=ACTOR, expected={one.version: "0" * 64 for one in migrations})
    assert versions(each_database) == ["0001"]
    do(each_database, "create index visit_note on visit (note)")
    rehearsed = snapshot(each_database, PROGRAMS).catalog
    do(each_database, "drop index visit_note")
    apply(each_database, migrations, actor=ACTOR, expected={one.version: rehearsed for one in migrations})
    assert versions(each_database) == ["0001", "0002"]


def test_a_lock_that_is_held_is_given_up_on(each_database: str, tmp_path: Path) -> None:
    """REQ-o00044-K."""
    migrations = sample(tmp_path, VISIT, INDEX)
    apply(each_database, migrations[:1], actor=ACTOR)
    with psycopg.connect(each_database) as reader:
        reader.execute("lock table visit")
        began = time.monotonic()
        with pytest.raises(MigrationFailed, match="canceling statement due to lock timeout"):
            apply(with_lock_timeout(each_database, 0.2), migrations, actor=ACTOR)
        assert 0.2 <= time.monotonic() - began < 5
    assert len(apply(with_lock_timeout(each_database, 0.2), migrations, actor=ACTOR)) == 1


def test_an_alert_comes_while_it_runs_and_not_for_a_quick_one(each_database: str, tmp_path: Path) -> None:
    """REQ-o00044-L."""
    alerts: list[tuple[str, bool]] = []
    slow = sample(tmp_path, VISIT, ("select pg_sleep(0.6);\n", "select 1;\n"))

    def alert(message: str) -> None:
        alerts.append((message, exists(each_database, "visit")))

    apply(each_database, slow[:1], actor=ACTOR, on_alert=alert)
    assert alerts == []
    apply(
        each_database,
        slow,
        actor=ACTOR,
        budget_s=0.2,
        on_alert=lambda message: alerts.append((message, versions(each_database) == ["0001"])),
    )
    assert alerts == [("the migration runs for more than 0.2 s and is not done", True)]


def test_an_interruption_stops_the_server_and_leaves_nothing(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT, SLOW)

    def interrupt(_message: str) -> None:
        raise Interrupted(signal.SIGTERM)

    began = time.monotonic()
    with pytest.raises(Interrupted):
        apply(each_database, migrations, actor=ACTOR, budget_s=0.3, on_alert=interrupt)
    assert time.monotonic() - began < 5
    assert not exists(each_database, "visit")
    assert rows(
        each_database,
        "select count(*) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())",
    ) == [(0,)]


def test_another_runner_is_waited_for_with_a_bound(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT)
    with psycopg.connect(each_database, autocommit=True, application_name="other") as other:
        other.execute("select pg_advisory_lock(%s)", (RUNNER_KEY,))
        with pytest.raises(Refused, match=r"another runner is migrating \(other, pid \d+, since .* UTC\)"):
            apply(each_database, migrations, actor=ACTOR, wait_s=0.3)
        threading.Timer(0.3, other.execute, ("select pg_advisory_unlock_all()",)).start()
        assert len(apply(each_database, migrations, actor=ACTOR, wait_s=20)) == 1


def test_a_lost_connection_is_told_with_the_state_it_left(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT, SLOW)

    def kill(_message: str) -> None:
        do(
            each_database,
            "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(30)%' and pid <> pg_backend_pid()",
        )

    with pytest.raises(MigrationFailed) as caught:
        apply(each_database, migrations, actor=ACTOR, budget_s=0.3, on_alert=kill)
    assert (caught.value.applied, caught.value.failed, caught.value.not_run) == ((), "0002", ("0001",))


def test_a_server_that_cuts_every_session_is_told_with_the_state_it_left(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT, SLOW)

    def cut(_message: str) -> None:
        everybody = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
        do(each_database, f"{everybody} and pid <> pg_backend_pid()")

    with pytest.raises(MigrationFailed) as caught:
        apply(each_database, migrations, actor=ACTOR, budget_s=0.3, on_alert=cut)
    assert caught.value.applied == ()
    assert len(apply(each_database, migrations[:1], actor=ACTOR)) == 1


def test_a_server_that_does_not_tell_what_it_did_needs_a_person(database: str, tmp_path: Path) -> None:
    with pytest.raises(ManualInterventionRequired, match="nobody knows yet whether the migrations were committed"):
        settled_versions(f"{database}_gone")
    apply(database, sample(tmp_path, VISIT), actor=ACTOR)
    assert settled_versions(database) == {1}


def test_an_unreachable_server_is_told_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(PlatformUnavailable) as caught:
        apply(f"host={tmp_path} user=ann password=canary dbname=x", sample(tmp_path / "m", VISIT), actor=ACTOR)
    assert "canary" not in whole_chain(caught.value)


def test_history_and_files_that_disagree_are_refused_before_anything_runs(each_database: str, tmp_path: Path) -> None:
    apply(each_database, sample(tmp_path, VISIT), actor=ACTOR)
    with pytest.raises(MigrationsRefused, match="edited after it was applied"):
        apply(each_database, sample(tmp_path, (VISIT[0] + "\n", VISIT[1]), INDEX), actor=ACTOR)
    assert versions(each_database) == ["0001"]


def test_one_migration_does_not_inherit_the_search_path_of_another(each_database: str, tmp_path: Path) -> None:
    moved = ("create schema other;\nset search_path = other;\ncreate table here ();\n", "drop schema other cascade;\n")
    apply(each_database, sample(tmp_path, moved, VISIT), actor=ACTOR)
    assert exists(each_database, "other.here")
    assert exists(each_database, "public.visit")


def test_any_text_can_stand_in_a_migration(each_database: str, tmp_path: Path) -> None:
    tricky = (
        (
            "create function f() returns text language plpgsql as $body$ begin return '$$;commit;%s{}'; end $body$;\n"
            "comment on function f() is E'it''s \\' 100% ünïcode';\n"
        ),
        "drop function f();\n",
    )
    apply(each_database, sample(tmp_path, text(*tricky)), actor="o'hara: 100% \\ ünïcode")
    assert rows(each_database, "select f(), obj_description('f()'::regprocedure)") == [
        ("$$;commit;%s{}", "it's ' 100% ünïcode")
    ]
    assert rows(each_database, "select actor from deploy.applied") == [("o'hara: 100% \\ ünïcode",)]


def test_an_error_without_a_diagnosis_is_told_by_its_first_line() -> None:
    assert server_message(RuntimeError("first\nsecond")) == "first"
    assert server_message(RuntimeError()) == "RuntimeError"
