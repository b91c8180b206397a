"""A migration cannot write its own history, nor change what keeps it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.errors import MigrationFailed
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.rollback import roll_back
from tests.unit.migrate.sample_migrations import ACTOR, VISIT, do, exists, rows, sample

CLAIMS = (
    "select set_config('deploy.actor', 'ci:qa-lead', {local}), set_config('deploy.engine', 'flyway', {local}),"
    " set_config('deploy.began', '2020-01-01', {local}), set_config('deploy.migration', '{{\"version\": \"1\"}}', {local});\n"
)


@pytest.mark.parametrize("local", ["true", "false"])
def test_what_a_migration_says_of_itself_is_not_what_the_history_says(
    each_database: str, tmp_path: Path, local: str
) -> None:
    claims = CLAIMS.format(local=local)
    migrations = sample(tmp_path, VISIT, (claims, claims))
    done = apply(each_database, migrations, actor=ACTOR)
    assert [(one.actor, one.engine, one.sha256) for one in done] == [
        (ACTOR, "pgmigrate", migration.sha256) for migration in migrations
    ]
    assert all(one.duration_s is not None and one.duration_s < 60 for one in done)
    roll_back(each_database, migrations, to=[], actor="bob")
    told = "select distinct actor, engine, duration_s < 60 from deploy.migration_event where direction = 'down'"
    assert rows(each_database, told) == [("bob", "pytest-deploy", True)]


CHANGES = {
    "alter table deploy.migration_event disable trigger append_only": "triggers",
    "create rule quiet as on insert to deploy.migration_event do also select 1": "triggers",
    "create or replace function deploy.refuse_change() returns trigger language plpgsql as 'begin return new; end'": "functions",
    "alter table deploy.migration_event alter actor set default 'nobody'": "tables",
    "grant insert on deploy.migration_event to public": "rights",
    "create table deploy.more ()": "tables",
    "alter table deploy.migration_event add column more int": "tables",
    "create or replace view public.schema_version as select * from public.schema_version where false": "tables",
    "insert into deploy.migration_event (version, direction, engine, actor) values ('0007', 'noted', 'x', 'y')": "2 new rows instead of 1",
    "alter table deploy.migration_event disable trigger append_only; update deploy.migration_event set actor = 'nobody';"
    " alter table deploy.migration_event enable trigger append_only": "rows from before are not what they were",
    "alter table deploy.migration_event disable trigger append_only; delete from deploy.migration_event;"
    " alter table deploy.migration_event enable trigger append_only": "rows from before are not what they were",
}


def hidden(change: str) -> str:
    """The change, as no scan of the text sees it."""
    quoted = change.replace("'", "''").replace("deploy", "dep' || 'loy")
    return f"do $body$ begin execute '{quoted}'; end $body$;\n"


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_history_is_not_committed(each_database: str, tmp_path: Path, change: str) -> None:
    migrations = sample(tmp_path, VISIT, (hidden(change), "select 1;\n"))
    apply(each_database, migrations[:1], actor=ACTOR)
    with pytest.raises(MigrationFailed) as caught:
        apply(each_database, migrations, actor=ACTOR)
    said = str(caught.value)
    assert said.startswith(f"{tmp_path}/0002_step_2.sql:4: it changed the history of migrations: ")
    assert CHANGES[change] in said
    assert said.endswith("; nothing was committed")
    assert rows(each_database, "select version, actor from deploy.applied") == [("0001", ACTOR)]


@pytest.mark.parametrize("change", CHANGES)
def test_a_way_down_does_not_change_it_either(database: str, tmp_path: Path, change: str) -> None:
    migrations = sample(tmp_path, VISIT, ("select 1;\n", hidden(change)))
    apply(database, migrations, actor=ACTOR)
    with pytest.raises(
        MigrationFailed, match=r"the way down of 0002 changed the history of migrations: .*; nothing was committed"
    ):
        roll_back(database, migrations, to=["0001"], actor=ACTOR)
    assert len(rows(database, "select from deploy.applied")) == 2


@pytest.mark.parametrize("schema", ["public", "deploy"])
def test_dropping_the_schema_that_it_lies_in_is_refused_by_name(
    each_database: str, tmp_path: Path, schema: str
) -> None:
    gone = hidden(f"drop schema {schema} cascade; create schema {schema}")
    with pytest.raises(MigrationFailed) as caught:
        apply(each_database, sample(tmp_path, VISIT, (gone, "select 1;\n"), VISIT), actor=ACTOR)
    assert str(caught.value).startswith(f"{tmp_path}/0002_step_2.sql:4: it takes the history of migrations away")
    assert str(caught.value).endswith("; nothing was committed")
    assert (exists(each_database, "deploy.migration_event"), exists(each_database, "schema_version")) == (True, True)


def test_what_another_tool_wrote_before_is_no_change(each_database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, VISIT, ("select 1;\n", "select 1;\n"))
    apply(each_database, migrations[:1], actor=ACTOR)
    do(
        each_database,
        "insert into schema_migrations values ('0002')",
        "delete from schema_migrations where version = '0002'",
    )
    assert [done.version for done in apply(each_database, migrations, actor=ACTOR)] == ["0002"]
