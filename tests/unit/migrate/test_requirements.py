"""REQ-o00044, assertion by assertion: what is permitted and what is refused, on a real server of 15 and of 18.

The other files of this folder show each part in depth; this one shows that each assertion is met.
"""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from pytest_deploy.errors import MigrationFailed, MigrationsRefused, PlatformUnavailable
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.backup import back_up
from pytest_deploy.migrate.dry_run import dry_run
from pytest_deploy.migrate.migration_folder import read_migrations
from pytest_deploy.migrate.rollback import roll_back
from pytest_deploy.migrate.session import with_lock_timeout
from pytest_deploy.migrate.snapshot import snapshot
from pytest_deploy.migrate.trial import run_trial
from tests.unit.migrate.sample_migrations import (
    ACTOR,
    COLUMN,
    FIVE,
    INDEX,
    PROGRAMS,
    VISIT,
    do,
    exists,
    programs_of,
    rows,
    sample,
    text,
    versions,
    write,
)

BROKEN = ("alter table nowhere add x int;\n", "select 1;\n")


def test_a_migrations_are_applied_in_sequential_numbered_order(each_database: str, tmp_path: Path) -> None:
    """REQ-o00044-A. Permitted: 1 to 5, each needing the one before. Refused: a gap, and one that comes late."""
    done = apply(each_database, sample(tmp_path / "a", *FIVE), actor=ACTOR)
    assert [one.version for one in done] == ["0001", "0002", "0003", "0004", "0005"]
    assert [one.seq for one in done] == sorted(one.seq for one in done)
    write(tmp_path / "gap", VISIT)
    write(tmp_path / "gap", INDEX, first=3)
    with pytest.raises(MigrationsRefused, match="version 0002 before it is missing"):
        read_migrations(tmp_path / "gap")
    do(each_database, "delete from schema_migrations where version = '0002'")
    with pytest.raises(MigrationsRefused, match="it comes late"):
        apply(each_database, sample(tmp_path / "a", *FIVE), actor=ACTOR)


def test_b_all_or_nothing(each_database: str, tmp_path: Path) -> None:
    """REQ-o00044-B. Permitted: two together. Refused: the third fails, so the fourth and fifth are not there either."""
    apply(each_database, sample(tmp_path / "a", VISIT, INDEX), actor=ACTOR)
    with pytest.raises(MigrationFailed) as caught:
        apply(each_database, sample(tmp_path / "a", VISIT, INDEX, COLUMN, FIVE[3], BROKEN), actor=ACTOR)
    assert (caught.value.applied, caught.value.failed, caught.value.not_run) == ((), "0005", ("0003", "0004"))
    assert versions(each_database) == ["0001", "0002"]
    with pytest.raises(MigrationsRefused, match="COMMIT ends or opens a transaction"):
        sample(tmp_path / "b", (VISIT[0] + "commit;\n", VISIT[1]))


def test_c_execution_is_verified_after_completion(each_database: str, tmp_path: Path) -> None:
    """REQ-o00044-C. Permitted: the history has each. Refused: a migration that removes its predecessor's history."""
    apply(each_database, sample(tmp_path / "a", VISIT), actor=ACTOR)
    liar = ("delete from public.schema_migrations where version = '0002';\n", "select 1;\n")
    with pytest.raises(MigrationFailed, match="the engine applied 0003 instead of 0002, 0003"):
        apply(each_database, sample(tmp_path / "a", VISIT, INDEX, liar), actor=ACTOR)
    assert versions(each_database) == ["0001"]


def test_d_the_schema_is_validated_after_execution(each_database: str, tmp_path: Path) -> None:
    """REQ-o00044-D. Permitted: the rehearsed schema. Refused: another one, before it is committed."""
    migrations = sample(tmp_path, VISIT, INDEX)
    rehearsed = run_trial(each_database, migrations, actor=ACTOR).after
    do(each_database, "create table by_hand (x int)")
    with pytest.raises(MigrationFailed, match="is not the one of the trial"):
        apply(each_database, migrations, actor=ACTOR, expected={one.version: rehearsed for one in migrations})
    assert not exists(each_database, "visit")
    do(each_database, "drop table by_hand")
    apply(each_database, migrations, actor=ACTOR, expected={one.version: rehearsed for one in migrations})


def test_e_every_migration_has_a_rollback(each_database: str, tmp_path: Path) -> None:
    """REQ-o00044-E. Permitted: one with its way down, which is kept. Refused: one without."""
    apply(each_database, sample(tmp_path / "a", VISIT), actor=ACTOR)
    assert rows(each_database, "select way_down from deploy.applied") == [(VISIT[1],)]
    with pytest.raises(MigrationsRefused, match="`-- migrate:down` is missing"):
        sample(tmp_path / "b", f"-- deploy:compatible expand\n-- migrate:up\n{VISIT[0]}")


def test_f_rollbacks_are_tested_before_deployment(each_database: str, tmp_path: Path) -> None:
    """REQ-o00044-F. Permitted: a way down that restores. Refused: one that does nothing, with nothing applied."""
    assert len(run_trial(each_database, sample(tmp_path / "a", VISIT, INDEX), actor=ACTOR).steps) == 2
    with pytest.raises(MigrationsRefused, match="the way down does not restore the schema"):
        run_trial(each_database, sample(tmp_path / "b", VISIT, (INDEX[0], "select 1;\n")), actor=ACTOR)
    assert not exists(each_database, "visit")


def test_g_a_failure_is_rolled_back_by_itself(each_database: str, tmp_path: Path) -> None:
    """REQ-o00044-G. After a failure the schema is, to the byte, what it was; a success is not undone."""
    apply(each_database, sample(tmp_path, VISIT), actor=ACTOR)
    before = snapshot(each_database, PROGRAMS)
    with pytest.raises(MigrationFailed):
        apply(each_database, sample(tmp_path, VISIT, INDEX, BROKEN), actor=ACTOR)
    assert snapshot(each_database, PROGRAMS) == before


def test_h_there_is_a_manual_rollback(each_database: str, tmp_path: Path) -> None:
    """REQ-o00044-H. Permitted: back to a version that is applied. Refused: back to one that is not."""
    migrations = sample(tmp_path, *FIVE)
    apply(each_database, migrations, actor=ACTOR)
    assert len(roll_back(each_database, migrations, to=["0001", "0002"], actor="bob")) == 3
    with pytest.raises(MigrationsRefused, match="it shall remain, and it is not applied"):
        roll_back(each_database, migrations, to=["0001", "0002", "0003"], actor="bob")
    assert versions(each_database) == ["0001", "0002"]


def test_i_there_is_a_dry_run(each_database: str, tmp_path: Path) -> None:
    """REQ-o00044-I. Permitted: it tells the schema to come and leaves nothing. Refused: what would fail fails here."""
    seen = dry_run(each_database, sample(tmp_path / "a", VISIT), actor=ACTOR)
    assert "+relation public.visit" in seen.schema_diff
    assert not exists(each_database, "visit")
    with pytest.raises(MigrationFailed):
        dry_run(each_database, sample(tmp_path / "b", BROKEN), actor=ACTOR)


def test_j_there_is_a_backup_before(each_database: str, tmp_path: Path) -> None:
    """REQ-o00044-J. Permitted: one that was restored to prove it. Refused: where none can be made, an error stops the run."""
    apply(each_database, sample(tmp_path / "m", VISIT), actor=ACTOR)
    backup = back_up(each_database, tmp_path / "b", programs_of(each_database), prove=True)
    assert backup.restorable
    assert stat.S_IMODE(Path(backup.place).stat().st_mode) == 0o600
    with pytest.raises(PlatformUnavailable):
        back_up(f"{each_database}_gone", tmp_path / "c", PROGRAMS)


def test_k_locks_are_given_up_on(each_database: str, tmp_path: Path) -> None:
    """REQ-o00044-K. Refused: behind a reader, after the timeout, naming who blocks. Permitted: once the reader is gone."""
    apply(each_database, sample(tmp_path, VISIT), actor=ACTOR)
    migrations = sample(tmp_path, VISIT, COLUMN)
    with psycopg.connect(each_database, application_name="reporting") as reader:
        reader.execute("select * from visit")
        with pytest.raises(MigrationFailed, match=r"lock timeout; blocked by pid \d+ \(reporting, idle in transaction"):
            apply(with_lock_timeout(each_database, 0.8), migrations, actor=ACTOR)
    told: list[float] = []
    applied = apply(with_lock_timeout(each_database, 0.8), migrations, actor=ACTOR, on_lock_timeout=told.append)
    assert (len(applied), told) == (1, [0.8]), (
        "the limit in force is the server's own answer in the migrations' session"
    )
    apply(with_lock_timeout(each_database, 0.8), migrations, actor=ACTOR, on_lock_timeout=told.append)
    assert told == [0.8], "where nothing is pending no session had a limit"


def test_l_a_long_migration_alerts(each_database: str, tmp_path: Path) -> None:
    """REQ-o00044-L. Alert: while it runs past the budget (five minutes by default). No alert: within it."""
    alerts: list[str] = []
    slow = sample(tmp_path, VISIT, ("select pg_sleep(0.5);\n", "select 1;\n"))
    apply(each_database, slow[:1], actor=ACTOR, on_alert=alerts.append)
    assert alerts == []
    apply(each_database, slow, actor=ACTOR, on_alert=alerts.append, budget_s=0.2)
    assert alerts == ["the migration runs for more than 0.2 s and is not done"]


def test_m_time_user_and_duration_are_logged(each_database: str, tmp_path: Path) -> None:
    """REQ-o00044-M. Logged: a migration that was applied. Not logged: one that was rolled back with its transaction."""
    began = datetime.now(UTC)
    apply(each_database, sample(tmp_path, ("select pg_sleep(0.1);\n", "select 1;\n")), actor="github:7:ann")
    ((at, actor, duration_s),) = rows(each_database, "select at, actor, duration_s from deploy.migration_event")
    assert abs((at - began).total_seconds()) < 60
    assert (actor, 0.1 <= duration_s < 10) == ("github:7:ann", True)
    with pytest.raises(MigrationFailed):
        apply(each_database, sample(tmp_path, ("select pg_sleep(0.1);\n", "select 1;\n"), BROKEN), actor=ACTOR)
    assert rows(each_database, "select count(*) from deploy.migration_event") == [(1,)]


def test_n_the_schema_before_is_captured(each_database: str, tmp_path: Path) -> None:
    """REQ-o00044-N. Captured: version and bytes before. Refused: no program, no snapshot, an error."""
    before = snapshot(each_database, PROGRAMS)
    apply(each_database, sample(tmp_path / "m", VISIT), actor=ACTOR)
    assert before.version == "0"
    assert "visit" not in before.text
    with pytest.raises(PlatformUnavailable, match="is not there; install"):
        snapshot(each_database, tmp_path)


def test_o_the_schema_after_is_captured(each_database: str, tmp_path: Path) -> None:
    """REQ-o00044-O. Captured: version, bytes and the difference. No difference where nothing changed."""
    before = snapshot(each_database, PROGRAMS)
    apply(each_database, sample(tmp_path, VISIT), actor=ACTOR)
    after = snapshot(each_database, PROGRAMS)
    assert after.version == "0001"
    assert "CREATE TABLE public.visit (" in {*after.text.splitlines()} - {*before.text.splitlines()}
    assert after.text == snapshot(each_database, PROGRAMS).text


def test_p_rollbacks_are_logged(each_database: str, tmp_path: Path) -> None:
    """REQ-o00044-P. Logged: a way down, by whom, when, how long. Not logged: one that failed and undid nothing."""
    migrations = sample(tmp_path, VISIT, (INDEX[0], "drop index nowhere;\n"))
    apply(each_database, migrations[:1], actor=ACTOR)
    roll_back(each_database, migrations, to=[], actor="bob")
    logged = "select version, actor, duration_s > 0 from deploy.migration_event where direction = 'down'"
    assert rows(each_database, logged) == [("0001", "bob", True)]
    apply(each_database, migrations, actor=ACTOR)
    with pytest.raises(MigrationFailed):
        roll_back(each_database, migrations, to=["0001"], actor="bob")
    assert len(rows(each_database, logged)) == 1


def test_q_the_history_supports_part_11(each_database: str, tmp_path: Path) -> None:
    """REQ-o00044-Q (11.10(e)). Kept: who, what, when, beside every later entry. Refused: changing or deleting one."""
    migrations = sample(tmp_path, VISIT)
    apply(each_database, migrations, actor=ACTOR)
    roll_back(each_database, migrations, to=[], actor="bob")
    assert rows(each_database, "select direction, actor from deploy.migration_event order by seq") == [
        ("up", ACTOR),
        ("down", "bob"),
    ]
    for change in ("update deploy.migration_event set actor = 'x'", "delete from deploy.migration_event"):
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            do(each_database, change)


def test_r_pgmigrate_applies(each_database: str, tmp_path: Path) -> None:
    """REQ-o00044-R. The engine is yandex-pgmigrate, and its own table tells what it did; it refuses what fails."""
    apply(each_database, sample(tmp_path, VISIT), actor=ACTOR)
    assert rows(each_database, "select engine from deploy.applied") == [("pgmigrate",)]
    assert rows(each_database, "select version, description from schema_version") == [(1, "step_1")]
    with pytest.raises(MigrationFailed):
        apply(each_database, sample(tmp_path, VISIT, BROKEN), actor=ACTOR)


def test_s_rollbacks_are_required(tmp_path: Path) -> None:
    """REQ-o00044-S. Permitted: all have one that is not empty. Refused: one that is only a comment; all are told."""
    assert len(sample(tmp_path / "a", VISIT, INDEX)) == 2
    with pytest.raises(MigrationsRefused) as caught:
        sample(tmp_path / "b", (VISIT[0], "-- later\n"), (INDEX[0], ""))
    assert [fault.problem for fault in caught.value.faults] == ["the way down is empty"] * 2


def test_t_typical_migrations_end_within_five_minutes(each_database: str, tmp_path: Path) -> None:
    """REQ-o00044-T. Within: five usual ones, measured. Told: a rehearsal that took longer than its budget."""
    assert run_trial(each_database, sample(tmp_path / "a", *FIVE), actor=ACTOR).within_budget
    slow = sample(tmp_path / "b", text("select pg_sleep(0.3);\n", "select 1;\n"))
    assert not run_trial(each_database, slow, actor=ACTOR, budget_s=0.1).within_budget
