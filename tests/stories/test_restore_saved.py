"""`migrate restore-saved`: what a down by hand printed is typed, and the rows are there again."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pytest_deploy.cli import app
from pytest_deploy.commands.migrate import down, up
from pytest_deploy.commands.migration_session import opened
from pytest_deploy.commands.restore_saved import restore_saved
from pytest_deploy.errors import UsageError
from pytest_deploy.platform.embedded.places import ROOT_VARIABLE
from tests.project_checkout import Checkout
from tests.stories.checkout_changes import PARCEL
from tests.unit.commands.typed import typed
from tests.unit.migrate.sample_migrations import do, rows


def test_rows_that_a_down_took_are_put_back(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(checkout.memory))
    checkout.write("migrations/0008_parcel.sql", PARCEL)

    def parcels(*statements: str) -> list[tuple[Any, ...]]:
        with contextlib.chdir(checkout.path), opened("local") as (_, migrations):
            do(migrations.access.owner, *statements)
            return rows(migrations.access.owner, "select * from diary.parcel order by id")

    with contextlib.chdir(checkout.path), opened("local"):  # the server runs for as long as one of us is there
        typed(checkout.path, up, "local")
        wrote = parcels("insert into diary.parcel (note) values ('one'), (null), ('a, \"b\"')")
        undone = typed(checkout.path, down, "local", to="7")
        (command,) = [line for line in undone if "migrate restore-saved" in line]
        assert any("3 rows of diary.parcel (id, note) saved whole in " in line for line in undone)
        assert any(line.startswith("0008 ") for line in typed(checkout.path, up, "local"))
        assert parcels() == []

        words = shlex.split(command.partition(" restore-saved ")[2])
        with pytest.raises(UsageError, match="say where they belong: --table NAME"):
            typed(checkout.path, restore_saved, "local", Path(words[1]))
        (said,) = CliRunner().invoke(app, ["migrate", "restore-saved", *words]).output.splitlines()
        assert said.startswith("3 rows of diary.parcel restored (sha256 ")
        assert parcels() == wrote
        assert parcels("insert into diary.parcel (note) values ('next')")[-1] == (4, "next")
