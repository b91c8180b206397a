"""A folder of migrations is read whole or refused whole."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from pytest_deploy.errors import MigrationsRefused
from pytest_deploy.migrate.migration_folder import read_migrations
from tests.unit.migrate.sample_migrations import FIVE, INDEX, VISIT, text, write


def refused(folder: Path) -> list[str]:
    """The faults, without the folder's path."""
    with pytest.raises(MigrationsRefused) as caught:
        read_migrations(folder)
    return [str(fault).replace(f"{folder}/", "") for fault in caught.value.faults]


def test_a_sound_folder_is_read_in_order(tmp_path: Path) -> None:
    migrations = read_migrations(write(tmp_path, *FIVE))
    assert [migration.version for migration in migrations] == ["0001", "0002", "0003", "0004", "0005"]
    assert [up for up, _ in FIVE] == [migration.up.sql for migration in migrations]
    assert [down for _, down in FIVE] == [migration.down.sql for migration in migrations]


def test_what_is_declared_is_kept(tmp_path: Path) -> None:
    declared = ("lossy the notes go", "accept prefer-text-field: the length is fixed by the protocol")
    (migration,) = read_migrations(write(tmp_path, text(*VISIT, *declared, compatible="breaking")))
    assert migration.compatible == "breaking"
    assert migration.lossy == "the notes go"
    assert migration.accepted == (("prefer-text-field", "the length is fixed by the protocol"),)
    assert migration.up.transactional


def test_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    (migration,) = read_migrations(write(tmp_path, VISIT))
    assert hashlib.sha256(migration.path.read_bytes()).hexdigest() == migration.sha256


def test_a_line_of_a_section_is_found_in_the_file(tmp_path: Path) -> None:
    (migration,) = read_migrations(write(tmp_path, VISIT))
    lines = migration.path.read_text(encoding="utf-8").splitlines()
    assert VISIT[0].strip() == lines[migration.up.line - 1]
    assert VISIT[1].strip() == lines[migration.down.line - 1]
    assert f"{migration.path}:{migration.down.line}" == migration.down.place()


def test_an_empty_folder_holds_no_migrations(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("later", encoding="utf-8")
    assert read_migrations(tmp_path) == ()


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    assert "there is no such folder" in refused(tmp_path / "nowhere")[0]


def test_the_two_file_layout_is_read_as_well(tmp_path: Path) -> None:
    (tmp_path / "rollback").mkdir()
    up, down = tmp_path / "001_visit.sql", tmp_path / "rollback" / "001_rollback.sql"
    up.write_text(f"-- deploy:compatible expand\n{VISIT[0]}", encoding="utf-8")
    down.write_text(VISIT[1], encoding="utf-8")
    (migration,) = read_migrations(tmp_path)
    digests = "".join(hashlib.sha256(path.read_bytes()).hexdigest() + "\n" for path in (up, down))
    assert hashlib.sha256(digests.encode()).hexdigest() == migration.sha256
    assert ("001", VISIT[1], down, 1) == (
        migration.version,
        migration.down.sql,
        migration.down.path,
        migration.down.line,
    )


def test_in_the_two_file_layout_each_needs_its_own_rollback(tmp_path: Path) -> None:
    (tmp_path / "rollback").mkdir()
    for number in (1, 2, 3):
        body = f"-- deploy:compatible expand\n{VISIT[0]}" + ("-- migrate:down\n" if number == 2 else "")
        (tmp_path / f"00{number}_visit.sql").write_text(body, encoding="utf-8")
    (tmp_path / "rollback" / "002_rollback.sql").write_text(VISIT[1], encoding="utf-8")
    (tmp_path / "rollback" / "003_rollback.sql").write_bytes(b"drop table \xff")
    (tmp_path / "rollback" / "007_rollback.sql").write_text(VISIT[1], encoding="utf-8")
    (tmp_path / "rollback" / "undo.sql").write_text(VISIT[1], encoding="utf-8")
    faults = "\n".join(refused(tmp_path))
    assert "001_visit.sql: its way down is missing" in faults
    assert "002_visit.sql:3: a dbmate marker" in faults
    assert "rollback/003_rollback.sql:1: byte 11 is not UTF-8" in faults
    assert "rollback/007_rollback.sql: there is no such migration" in faults
    assert "rollback/undo.sql: the name is not that of a rollback" in faults


@pytest.mark.parametrize(
    "content, fault",
    [
        (VISIT[0], "0001_step_1.sql:1: the line `-- migrate:up` and `-- migrate:down` is missing"),
        (f"-- migrate:up\n{VISIT[0]}", "0001_step_1.sql:1: the line `-- migrate:down` is missing"),
        (text(*VISIT) + text(*INDEX), "0001_step_1.sql:9: it has more than one way up and one way down"),
        (text(VISIT[0], ""), "0001_step_1.sql:5: the way down is empty"),
        (text(VISIT[0], "-- drop table visit;\n"), "0001_step_1.sql:5: the way down is empty"),
        (text("", VISIT[1]), "0001_step_1.sql:3: the way up is empty"),
        ("select 1;\n" + text(*VISIT), "0001_step_1.sql:1: there is SQL above `-- migrate:up`"),
        (text("select 1;\ncommit;\n", VISIT[1]), "0001_step_1.sql:4: COMMIT ends or opens a transaction"),
        (text(VISIT[0], "begin;\ndrop table visit;"), "0001_step_1.sql:5: BEGIN ends or opens a transaction"),
        (text("vacuum;\n", VISIT[1]), "0001_step_1.sql:3: VACUUM cannot run in a transaction"),
        (text("copy a from stdin;\n", VISIT[1]), "0001_step_1.sql:3: COPY A FROM reads rows from the client"),
        (text("\\connect x\n", VISIT[1]), "0001_step_1.sql:3: a psql command is not SQL"),
        (text("set lock_timeout = 0;\n", VISIT[1]), "SET LOCK_TIMEOUT takes lock_timeout out of the runner's hands"),
        (text('set "lock_timeout" = 0;\n', VISIT[1]), "SET LOCK_TIMEOUT takes lock_timeout out of the runner's hands"),
        (text("set session_replication_role = replica;\n", VISIT[1]), "out of the runner's hands"),
        (
            text(VISIT[0], "select 1;\nalter table deploy.migration_event disable trigger all;\n"),
            "0001_step_1.sql:6: ALTER TABLE DEPLOY.MIGRATION_EVENT touches the schema deploy",
        ),
        (
            text("drop schema if exists deploy cascade;\n", "select 1;\n"),
            "0001_step_1.sql:3: DROP SCHEMA IF touches the schema deploy",
        ),
        (text(*VISIT, compatible="maybe"), "0001_step_1.sql:1: `-- deploy:compatible maybe` says nothing known"),
        (text(*VISIT, "lossy"), "0001_step_1.sql:2: `-- deploy:lossy ` says nothing known"),
        (text(*VISIT, "accept rule"), "0001_step_1.sql:2: `-- deploy:accept rule` says nothing known"),
        (text(*VISIT, options=" transaction:never"), "0001_step_1.sql:2: unknown option transaction:never"),
        (text(*VISIT, options=" transaction:false"), "a section outside a transaction and its declaration go together"),
        (text(*VISIT, "outside-transaction why"), "a section outside a transaction and its declaration go together"),
        (
            text("vacuum; vacuum;\n", "select 1;\n", "outside-transaction why", options=" transaction:false"),
            "0001_step_1.sql:4: 2 statements outside a transaction can half-happen",
        ),
        ("\ufeff" + text(*VISIT), "0001_step_1.sql:1: the file begins with a byte order mark"),
        (text("select '\0';\n", VISIT[1]), "0001_step_1.sql:3: there is a NUL character"),
        (
            "-- migrate:up\nselect 1;\n-- migrate:down\nselect 1;\n",
            "does not say whether the running revision survives",
        ),
    ],
)
def test_a_faulty_file_is_refused_at_its_line(tmp_path: Path, content: str, fault: str) -> None:
    assert fault in "\n".join(refused(write(tmp_path, content)))


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0001_visit.sql").write_bytes(text(*VISIT).encode() + b"-- caf\xe9\n")
    assert refused(tmp_path) == ["0001_visit.sql:6: byte 137 is not UTF-8; save the file as UTF-8"]


def test_every_fault_of_every_file_is_told_at_once(tmp_path: Path) -> None:
    write(tmp_path, VISIT)
    write(tmp_path, (INDEX[0], ""), first=3)
    (tmp_path / "0003_again.sql").write_text(text(*INDEX), encoding="utf-8")
    (tmp_path / "00005_wide.sql").write_text(text(*INDEX), encoding="utf-8")
    (tmp_path / "0000_zero.sql").write_text(text(*INDEX), encoding="utf-8")
    (tmp_path / "12_short.sql").write_text(text(*INDEX), encoding="utf-8")
    (tmp_path / "0004_x.sql.orig").write_text(text(*INDEX), encoding="utf-8")
    faults = "\n".join(refused(tmp_path))
    for fault in (
        "0000_zero.sql: version 0 is the empty database",
        "0003_again.sql: version 0002 before it is missing",
        "0003_step_3.sql: version 0003 is there twice (0003_again.sql)",
        "00005_wide.sql: version 00004 before it is missing",
        "12_short.sql: the name is not that of a migration",
        "0004_x.sql.orig: the name is not that of a migration",
        "00005_wide.sql: by name it stands before version 0003",
    ):
        assert fault in faults


STAMPED = ("20240102030405", "20240102030500", "20250601000000")


def named(folder: Path, *versions: str) -> Path:
    """A folder of sound migrations with these versions."""
    folder.mkdir(exist_ok=True)
    for number, version in enumerate(versions):
        way = (f"create table t{number} (id bigint primary key);\n", f"drop table t{number};\n")
        (folder / f"{version}_t{number}.sql").write_text(text(*way, "lossy it goes"), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "versions",
    [STAMPED, ("0001", "0002", *STAMPED), ("20240102", "20240305"), ("1704164645", "1704164700")],
    ids=["timestamps", "numbers and then timestamps", "dates", "seconds"],
)
def test_timestamps_need_no_sequence(tmp_path: Path, versions: tuple[str, ...]) -> None:
    assert tuple(one.version for one in read_migrations(named(tmp_path, *versions))) == versions


@pytest.mark.parametrize(
    "versions, fault",
    [
        (("0001", "0003", STAMPED[0]), "0003_t1.sql: version 0002 before it is missing"),
        (("00000001", "00000003"), "00000003_t1.sql: version 00000002 before it is missing"),
        (("20240102", "202401020304", "20240305"), "202401020304_t1.sql: by name it stands before version 20240305"),
    ],
    ids=["a gap beside timestamps", "padded numbers are no timestamps", "an order that dbmate would not keep"],
)
def test_an_order_that_is_not_plain_is_refused(tmp_path: Path, versions: tuple[str, ...], fault: str) -> None:
    assert fault in "\n".join(refused(named(tmp_path, *versions)))


@pytest.mark.parametrize(
    "around,what",
    [
        ("/* as it was\n{}\n*/ select 1;\n", "a comment that begins on line 4"),
        ("select 'as it was\n{}\n';\n", "a string that begins on line 4"),
        ("do $body$ begin\n  {}\nend $body$;\n", "a dollar-quoted text that begins on line 4"),
        ('select 1 as "as it was\n{}\n";\n', "a quoted name that begins on line 4"),
    ],
)
def test_a_marker_inside_of_something_is_called_that(tmp_path: Path, around: str, what: str) -> None:
    said = f"stands inside {what}, and dbmate takes it for a marker; word it otherwise there"
    for marker in ("-- migrate:up", "-- migrate:down"):
        (fault,) = refused(write(tmp_path, (around.format(marker), "select 1;\n")))
        assert fault == f"0001_step_1.sql:5: `{marker}` {said}"
    assert len(read_migrations(write(tmp_path, (around.format("- - migrate:up"), "select 1;\n")))) == 1


def test_a_rollback_file_says_itself_that_it_runs_outside_a_transaction(tmp_path: Path) -> None:
    (tmp_path / "rollback").mkdir()
    down = tmp_path / "rollback" / "001_rollback.sql"
    (tmp_path / "001_index.sql").write_text(f"-- deploy:compatible expand\n{INDEX[0]}", encoding="utf-8")
    down.write_text("drop index concurrently visit_note;\n", encoding="utf-8")
    (fault,) = refused(tmp_path)
    assert fault.endswith("put it alone in this file that says `-- deploy:outside-transaction REASON`")
    down.write_text(
        "-- deploy:outside-transaction readers go on\ndrop index concurrently visit_note;\n", encoding="utf-8"
    )
    (migration,) = read_migrations(tmp_path)
    assert (migration.up.transactional, migration.down.transactional) == (True, False)
    down.write_text("-- deploy:outside-transaction readers go on\nselect 1; select 2;\n", encoding="utf-8")
    assert refused(tmp_path) == [
        "rollback/001_rollback.sql:2: 2 statements outside a transaction can half-happen; leave one statement in it"
    ]


def test_the_migration_of_a_pair_says_it_for_its_own_way_alone(tmp_path: Path) -> None:
    (tmp_path / "rollback").mkdir()
    up, down = tmp_path / "001_index.sql", tmp_path / "rollback" / "001_rollback.sql"
    up.write_text("-- deploy:compatible expand\ncreate index concurrently a on b (c);\n", encoding="utf-8")
    down.write_text("drop index a;\n", encoding="utf-8")
    (fault,) = refused(tmp_path)
    assert fault.endswith("put it alone in a file that says `-- deploy:outside-transaction REASON`")
    up.write_text(f"-- deploy:outside-transaction big\n{up.read_text(encoding='utf-8')}", encoding="utf-8")
    (migration,) = read_migrations(tmp_path)
    assert (migration.up.transactional, migration.down.transactional) == (False, True)
    down.write_text("-- deploy:lossy it goes\ndrop index a;\n", encoding="utf-8")
    (fault,) = refused(tmp_path)
    assert fault.startswith("rollback/001_rollback.sql:1: a rollback file cannot say `-- deploy:lossy`")


def test_faults_that_many_files_share_are_told_once_with_their_places(tmp_path: Path) -> None:
    bare = "-- migrate:up\nselect 1;\n-- migrate:down\nselect 1;\n"
    with pytest.raises(MigrationsRefused) as caught:
        read_migrations(write(tmp_path, *[bare] * 5, text("select 1;\n", "")))
    lines = str(caught.value).replace(f"{tmp_path}/", "").splitlines()
    assert lines[0].endswith(": 6 faults")
    assert lines[1].startswith(
        "  5 times: it does not say whether the running revision survives it; write `-- deploy:compat"
    )
    assert lines[2:] == [
        *(f"    000{number}_step_{number}.sql:1" for number in range(1, 6)),
        "  0006_step_6.sql:5: the way down is empty; write the statements that make it",
    ]
    with pytest.raises(MigrationsRefused) as few:
        read_migrations(write(tmp_path / "few", *[bare] * 3))
    assert "times" not in str(few.value)
    assert len(str(few.value).splitlines()) == 4


def test_a_file_larger_than_256_mebibytes_is_refused_unread_and_one_of_that_size_is_read(tmp_path: Path) -> None:
    migration = tmp_path / "0001_rows.sql"
    migration.touch()
    os.truncate(migration, 256 * 1024**2 + 1)
    [too_large] = refused(tmp_path)
    assert too_large.startswith("0001_rows.sql: it has 256 MiB, more than 256")
    assert "load the rows by a step of your own" in too_large
    os.truncate(migration, 256 * 1024**2)  # it is read now, and holds nothing but NUL
    assert any("NUL character" in fault for fault in refused(tmp_path))


def test_a_marker_is_found_whatever_ends_its_line(tmp_path: Path) -> None:
    for ending in ("\n", "\r\n"):
        written = text(*VISIT, "lossy it goes").replace("\n", ending)
        (tmp_path / "0001_visit.sql").write_bytes(written.encode())
        (migration,) = read_migrations(tmp_path)
        assert migration.up.sql == VISIT[0].replace("\n", ending)
        assert migration.lossy == "it goes"
        assert migration.down.place().endswith(":6")


def test_a_form_feed_is_no_end_of_a_line(tmp_path: Path) -> None:
    (tmp_path / "0001_visit.sql").write_text(
        "-- deploy:compatible expand\n\f-- migrate:up\nselect 1;\fselect 2;\n-- migrate:down\nselect 3;\ncommit;\n",
        encoding="utf-8",
    )
    assert refused(tmp_path) == [
        "0001_visit.sql:6: COMMIT ends or opens a transaction; remove it: all migrations of a release are one transaction"
    ]
