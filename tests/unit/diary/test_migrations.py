"""The migrations on PostgreSQL 15 and 18: each goes up, down to exactly where it was, and up again.

By dbmate, and in one transaction as pgmigrate runs them; and none alarms squawk without a written reason.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import psycopg
import pytest

from tests.conftest import skip_or_fail_missing
from tests.postgres_server import DEBIAN_15
from tests.unit.diary.diary_service import MIGRATIONS, dbmate

FILES = sorted(MIGRATIONS.glob("*.sql"))
SESSION_RULES = {"require-lock-timeout", "require-statement-timeout"}
"""The runner sets both timeouts for its whole session."""


def schema(conninfo: str, programs: Path) -> str:
    """What pg_dump sees of the schema, but for its key that differs each time."""
    line = [str(programs / "pg_dump"), "--schema-only", "--dbname", conninfo]
    dumped = subprocess.run(line, capture_output=True, text=True, check=True, timeout=60).stdout
    return re.sub(r"^\\(un)?restrict .*$", "", dumped, flags=re.MULTILINE)


def sections(file: Path) -> tuple[str, str]:
    """A file's up and down."""
    _, both = file.read_text().split("-- migrate:up\n")
    up, down = both.split("-- migrate:down\n")
    return up, down


@pytest.fixture
def programs(each_database: str) -> Path:
    """The client programs of the server's version."""
    with psycopg.connect(each_database) as connection:
        if connection.info.server_version < 160000:
            return DEBIAN_15
    from pytest_deploy.platform.embedded.postgres import embedded_programs

    return embedded_programs()


def test_each_migration_goes_up_down_and_up_again_by_dbmate(each_database: str, programs: Path, tmp_path: Path) -> None:
    dbmate(each_database, "up", folder=with_file(tmp_path, FILES[0]))
    dbmate(each_database, "rollback", folder=tmp_path)  # dbmate's own table stays: from here on only ours differ
    for file in FILES:
        with_file(tmp_path, file)
        before = schema(each_database, programs)

        dbmate(each_database, "up", folder=tmp_path)
        after = schema(each_database, programs)
        dbmate(each_database, "rollback", folder=tmp_path)
        assert before == schema(each_database, programs), f"{file.name}: its down leaves another schema"
        dbmate(each_database, "up", folder=tmp_path)

        assert before != after
        assert after == schema(each_database, programs), f"{file.name}: its second up makes another schema"


def with_file(folder: Path, file: Path) -> Path:
    """The folder, with this migration added."""
    shutil.copy(file, folder)
    return folder


def test_all_go_up_and_down_in_one_transaction_inside_do_blocks(each_database: str) -> None:
    with psycopg.connect(each_database) as connection:
        for number, file in enumerate(FILES, 1):
            execute_in_do(connection, sections(file)[0])
            assert connection.execute("select diary.schema_version()").fetchone() == (number,)
        for file in reversed(FILES):
            execute_in_do(connection, sections(file)[1])
        assert connection.execute("select to_regnamespace('diary'), 'diary_app'::regrole::text").fetchone() == (
            None,
            "diary_app",
        )


def execute_in_do(connection: psycopg.Connection[tuple[object, ...]], section: str) -> None:
    connection.execute(f"do $outer$ begin execute $inner${section}$inner$; end $outer$".encode())


def test_every_file_says_how_compatible_it_is() -> None:
    said = {file.name: re.findall(r"^-- deploy:compatible (\w+)$", file.read_text(), re.MULTILINE) for file in FILES}

    assert Counter(len(words) for words in said.values()) == {1: 7}
    assert {word for words in said.values() for word in words} <= {"expand", "contract", "breaking"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_squawk_finds_nothing_that_the_file_does_not_accept_with_a_reason(file: Path) -> None:
    squawk = Path(sys.executable).parent / "squawk"
    if not squawk.exists():
        skip_or_fail_missing("squawk", "pip install squawk-cli")
    up, _ = sections(file)

    line = [
        str(squawk),
        "--assume-in-transaction",
        "--pg-version",
        "15",
        "--reporter",
        "json",
        "--stdin-filepath",
        file.name,
    ]
    found = json.loads(subprocess.run(line, input=up, capture_output=True, text=True, check=False, timeout=30).stdout)

    accepted = dict(re.findall(r"^-- deploy:accept ([a-z-]+): (.+)$", up, re.MULTILINE))
    assert {finding["rule_name"] for finding in found} - SESSION_RULES == accepted.keys()
