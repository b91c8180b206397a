"""`deploy.py migrate`: the schema is looked at anywhere, and moved by hand only where nobody must be asked."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pytest_deploy.cli import app
from pytest_deploy.commands.migrate import check, down, dry_run, status, up
from pytest_deploy.commands.migration_files import new, renumber
from pytest_deploy.commands.restore_saved import restore_saved
from pytest_deploy.errors import MigrationsRefused, Refused, UsageError
from pytest_deploy.migrate.migration_folder import read_migrations
from pytest_deploy.platform.embedded.places import ROOT_VARIABLE
from tests.project_checkout import Checkout
from tests.stories.checkout_changes import ASKED, PARCEL
from tests.unit.commands.typed import typed


def test_schema_is_looked_at_tried_moved_and_taken_back(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(checkout.memory))

    def typed_here(command: Callable[..., None], **options: Any) -> list[str]:
        return typed(checkout.path, command, "local", **options)

    assert typed_here(status)[-1] == "0 applied, 7 pending"
    *told, last = typed_here(check)
    assert any(line.startswith("tried in a throw-away server: PostgreSQL 18 of ") for line in told)
    assert "0005 loses with its way down, as declared: 1 rows of diary.entry_version (reason)" in told
    assert last.startswith("7 pending, none faulty; ")

    tried = "\n".join(typed_here(dry_run))
    for said in ("0007 would take ", "+ column diary.account.id uuid", "+ table diary.audit"):
        assert said in tried
    assert typed_here(status)[-1] == "0 applied, 7 pending"

    tried, *moved = typed_here(up, to="0003")
    assert tried.startswith("tried in a throw-away server: PostgreSQL 18 of ")
    assert [line[:4] for line in moved if " applied in " in line] == ["0001", "0002", "0003"]
    assert "the schema is at version 0003 " in moved[-1]
    (third,) = [line for line in typed_here(status) if line.startswith("0003 ")]
    assert " by local:" in third
    assert "locks diary.entry_version: AccessExclusiveLock" in typed_here(dry_run)

    with pytest.raises(UsageError, match="0003 is applied already; the way back is migrate down --to 0002"):
        typed_here(up, to="0002")

    undone = typed_here(down, to="1")
    assert [line[:4] for line in undone if " undone in " in line] == ["0003", "0002"]
    assert "the schema is at version 0001 " in undone[-1]
    told = [event.type for event in checkout.events() if event.type.startswith("lease.")]
    assert told == ["lease.taken", "lease.released"] * 2


def test_status_says_where_the_database_stands_also_while_a_file_is_faulty(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(checkout.memory))
    typed(checkout.path, up, "local", to="0002")
    checkout.write("migrations/0008_half.sql", "-- migrate:up\nselect 1;\n")
    edited = checkout.path / "migrations" / "0002_sessions.sql"
    checkout.write("migrations/0002_sessions.sql", edited.read_text(encoding="utf-8") + "commit;\n")

    printed: list[str] = []
    with pytest.raises(MigrationsRefused) as refused:
        typed(checkout.path, status, "local", printed=printed)

    told = "\n".join(printed)
    assert re.search(r"^0001 accounts +applied .* by local:", told, re.MULTILINE)
    assert re.search(r"^0002 sessions .*, edited$", told, re.MULTILINE)
    assert re.search(r"^0008 half +pending$", told, re.MULTILINE)
    assert "2 applied, 6 pending" in told
    assert "the line `-- migrate:down` is missing" in str(refused.value)


def test_a_loss_that_nobody_declared_is_told_by_check_and_dry_run(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(checkout.memory))
    checkout.write("migrations/0008_parcel.sql", PARCEL.replace("-- deploy:lossy parcels go with their table\n", ""))
    for command in (check, dry_run):
        with pytest.raises(
            MigrationsRefused, match=r"takes rows with it: .* of diary\.parcel .*; write `-- deploy:lossy"
        ):
            typed(checkout.path, command, "local")
    assert typed(checkout.path, status, "local")[-1] == "0 applied, 8 pending"


def test_policy_says_where_the_trial_runs_and_with_which_rows(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(checkout.memory))
    policy = checkout.path / "deploy.yaml"
    text = policy.read_text(encoding="utf-8")
    keys = "  migrations: migrations\n  seeds: rows\n"
    checkout.write("deploy.yaml", text.replace("  migrations: migrations\n", keys))
    checkout.write("rows/0001.sql", "insert into nowhere values (1);\n")
    with pytest.raises(
        MigrationsRefused, match=r'rows/0001\.sql: the representative rows do not go in: relation "nowhere"'
    ):
        typed(checkout.path, up, "local", to="0001")
    checkout.write("rows/0001.sql", "select 1;\n")
    assert typed(checkout.path, up, "local", to="0001")[0].startswith("tried in a throw-away server: ")

    checkout.write("deploy.yaml", text.replace("  migrations: migrations\n", f"{keys}  trial: beside\n"))
    assert typed(checkout.path, up, "local", to="0002")[0].startswith(
        "tried beside the target, on its server: deploy.yaml"
    )
    checkout.write("rows/0099.sql", "select 1;\n")
    with pytest.raises(MigrationsRefused, match=r"rows/0099\.sql: there is no migration of this version"):
        typed(checkout.path, up, "local", to="0003")


def test_schema_is_not_moved_by_hand_where_somebody_must_be_asked(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(checkout.memory))
    policy = checkout.path / "deploy.yaml"
    policy.write_text(policy.read_text(encoding="utf-8") + ASKED, encoding="utf-8")
    for command, to in ((up, None), (down, "0"), (restore_saved, Path("lost.csv"))):
        with pytest.raises(Refused, match="guarded asks for approval, so its schema moves in a run alone"):
            typed(checkout.path, command, "guarded", to)
    assert typed(checkout.path, status, "guarded")[-1] == "0 applied, 7 pending"


def test_a_new_migration_is_written_and_one_that_comes_late_renumbered(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(checkout.memory))
    assert typed(checkout.path, new, "add_visit_day", None) == ["written: migrations/0008_add_visit_day.sql"]
    written = checkout.path / "migrations" / "0008_add_visit_day.sql"
    with pytest.raises(MigrationsRefused) as refused:
        read_migrations(written.parent)
    faults = [str(fault) for fault in refused.value.faults]
    assert all("0008_add_visit_day.sql" in fault for fault in faults)
    assert any("`-- deploy:compatible expand|contract|breaking` says nothing known" in fault for fault in faults)
    assert any("the way up is empty" in fault for fault in faults)
    with pytest.raises(UsageError, match="right are letters, digits, - and _"):
        typed(checkout.path, new, "../x", None)

    text = written.read_text(encoding="utf-8").replace("expand|contract|breaking", "expand")
    sound = text.replace("up\n\n", "up\ncreate table late ();\n").replace("down\n\n", "down\ndrop table late;\n")
    written.unlink()
    assert typed(checkout.path, renumber, "local") == ["each file has its place: nothing was renamed"]
    typed(checkout.path, up, "local", "0002")
    (checkout.path / "migrations" / "0002_late.sql").write_text(sound, encoding="utf-8")
    with pytest.raises(MigrationsRefused, match=r"version 0002 is there twice .*`pytest-deploy migrate renumber ENV`"):
        typed(checkout.path, status, "local")
    renamed = typed(checkout.path, renumber, "local")
    assert renamed == ["renamed: migrations/0002_late.sql -> 0008_late.sql", "1 renamed; commit them"]
    assert typed(checkout.path, status, "local")[-1] == "2 applied, 6 pending"


def test_a_folder_that_environments_do_not_share_is_asked_for(checkout: Checkout) -> None:
    policy = checkout.path / "deploy.yaml"
    other = "\n  other:\n    extends: local\n    database: {migrations: elsewhere}\n"
    policy.write_text(policy.read_text(encoding="utf-8") + other, encoding="utf-8")
    with pytest.raises(UsageError, match=r"several folders .elsewhere, migrations.; add --env ENV"):
        typed(checkout.path, new, "x", None)
    assert typed(checkout.path, new, "x", "other") == ["written: elsewhere/0001_x.sql"]
    (checkout.path / "elsewhere" / "rollback").mkdir()
    pair = ["written: elsewhere/0002_y.sql", "written: elsewhere/rollback/0002_rollback.sql"]
    assert typed(checkout.path, new, "y", "other") == pair


@pytest.mark.parametrize(
    "words", [("down", "local", "--to", ""), ("up", "local", "--to", "-1"), ("up", "local", "--to", "three")]
)
def test_what_names_no_version_moves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=re.escape(f"--to {words[-1]!r}: right is a version, e.g. 0003")):
        CliRunner().invoke(app, ["migrate", *words], catch_exceptions=False)
    assert list(tmp_path.iterdir()) == []
