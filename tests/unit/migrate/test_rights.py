"""What the migrations' user lacks is said before anything starts, all of it at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pytest_deploy.errors import PlatformUnavailable
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.trial import run_trial
from tests.unit.migrate.sample_migrations import ACTOR, VISIT, as_superuser, do, exists, sample


@pytest.fixture
def guest(each_database: str) -> Iterator[str]:
    """The connection string of a role that may log in and no more."""
    name = f"{conninfo_to_dict(each_database)['dbname']}_guest"
    do(as_superuser(each_database), f"create role {name} login")
    yield make_conninfo(each_database, user=name)
    do(as_superuser(each_database), f"drop owned by {name}", f"drop role {name}")


def test_what_is_missing_is_said_with_what_gives_it(each_database: str, guest: str, tmp_path: Path) -> None:
    user, database = (conninfo_to_dict(guest)[key] for key in ("user", "dbname"))
    for start in (apply, run_trial):
        with pytest.raises(PlatformUnavailable) as caught:
            start(guest, sample(tmp_path, VISIT), actor=ACTOR)
        said = str(caught.value)
        assert said.startswith(
            f"{user} cannot migrate {database}, and nothing was started: it needs to create schemas in"
        )
        assert f"`GRANT CREATE ON DATABASE {database} TO {user}`" in said
        assert f"`GRANT CREATE ON SCHEMA public TO {user}`" in said
    assert not exists(each_database, "deploy.migration_event")


def test_with_what_is_told_it_goes(each_database: str, guest: str, tmp_path: Path) -> None:
    user, database = (conninfo_to_dict(guest)[key] for key in ("user", "dbname"))
    do(
        as_superuser(each_database),
        f"grant create on database {database} to {user}",
        f"grant create on schema public to {user}",
    )
    assert len(apply(guest, sample(tmp_path, VISIT), actor=ACTOR)) == 1


def test_a_history_that_is_somebody_elses_is_named(each_database: str, guest: str, tmp_path: Path) -> None:
    user, database = (conninfo_to_dict(guest)[key] for key in ("user", "dbname"))
    apply(each_database, sample(tmp_path, VISIT), actor=ACTOR)
    do(
        as_superuser(each_database),
        f"grant create on database {database} to {user}",
        f"grant create on schema public to {user}",
    )
    with pytest.raises(PlatformUnavailable, match="it needs to own the history of migrations"):
        apply(guest, sample(tmp_path, VISIT), actor=ACTOR)


def test_a_database_without_the_schema_public_is_named(each_database: str, tmp_path: Path) -> None:
    do(as_superuser(each_database), "drop schema public")
    with pytest.raises(PlatformUnavailable, match="`CREATE SCHEMA public AUTHORIZATION"):
        apply(each_database, sample(tmp_path, VISIT), actor=ACTOR)
