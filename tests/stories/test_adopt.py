"""A database that dbmate moved until now: adopted at once where nobody is asked, else by the next approved deployment."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from pytest_deploy.commands.adopt import adopt
from pytest_deploy.commands.migrate import status
from pytest_deploy.commands.migration_session import opened
from pytest_deploy.errors import MigrationsRefused, Refused, UsageError
from pytest_deploy.migrate.adopted import FILE, read_adopted
from pytest_deploy.migrate.migration_folder import read_migrations
from pytest_deploy.platform.embedded.places import ROOT_VARIABLE
from tests.project_checkout import Checkout
from tests.stories.checkout_changes import ASKED
from tests.unit.commands.typed import typed

KNOWN = 7


@pytest.fixture
def moved_by_dbmate(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """The databases of `local` and of `guarded`, which asks for approval, as dbmate leaves them after all files."""
    monkeypatch.setenv(ROOT_VARIABLE, str(checkout.memory))
    monkeypatch.chdir(checkout.path)
    policy = checkout.path / "deploy.yaml"
    policy.write_text(policy.read_text(encoding="utf-8") + ASKED, encoding="utf-8")
    for environment in ("local", "guarded"):
        with opened(environment) as (_, migrations), psycopg.connect(migrations.access.owner) as connection:
            connection.execute("create table schema_migrations (version varchar(128) primary key)")
            for migration in migrations.files():
                connection.execute(migration.up.sql.encode())
                connection.execute("insert into schema_migrations values (%s)", (migration.version,))
    return checkout


def applied_by(root: Path, environment: str) -> set[str]:
    return {line.split(" by ")[1] for line in typed(root, status, environment) if " by " in line}


def test_it_is_taken_over_at_once_where_nobody_is_asked(moved_by_dbmate: Checkout) -> None:
    root = moved_by_dbmate.path
    told = typed(root, adopt, "local", None)
    assert told[0].startswith("local: dbmate up to 0007, schema ")
    assert told[1].startswith("written: migrations/adopted.json; commit it")
    assert "kept here from now on" in told[2]
    assert typed(root, status, "local")[-1] == f"{KNOWN} applied, 0 pending"
    assert applied_by(root, "local") == {"database:unknown (adopted) (dbmate)"}
    assert all(migration.adopted for migration in read_migrations(root / "migrations"))
    with pytest.raises(MigrationsRefused, match="its history is kept here already"):
        typed(root, adopt, "local", None)


def test_it_waits_for_an_approved_deployment_where_somebody_is_asked(moved_by_dbmate: Checkout) -> None:
    root = moved_by_dbmate.path
    told = typed(root, adopt, "guarded", None)
    assert "taken over by the next approved deployment: `" in told[2]
    assert set(read_adopted(root / "migrations").databases) == {"guarded"}
    assert applied_by(root, "guarded") == {"database:unknown (dbmate)"}
    with opened("guarded") as (_, migrations):
        migrations.apply(trial=migrations.trial())
    assert applied_by(root, "guarded") == {"database:unknown (adopted) (dbmate)"}
    with opened("local") as (_, migrations), pytest.raises(MigrationsRefused, match="nobody adopted it"):
        migrations.apply(trial=migrations.trial())


def test_what_nobody_may_declare_is_refused(moved_by_dbmate: Checkout) -> None:
    with pytest.raises(Refused, match="guarded asks for approval, and a baseline is nobody's history"):
        typed(moved_by_dbmate.path, adopt, "guarded", "0007")
    with pytest.raises(UsageError, match="--baseline 'x': right is a version"):
        typed(moved_by_dbmate.path, adopt, "local", "x")
    assert not (moved_by_dbmate.path / "migrations" / FILE).exists()
