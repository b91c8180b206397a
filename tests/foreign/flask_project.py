"""A Flask service as its authors have it: PostgreSQL, dbmate's own names for migrations, gunicorn."""

from __future__ import annotations

from typing import Final

from tests.foreign.strangers_machine import Machine, last_run

PACKAGES: Final = ("flask==3.1.3", "gunicorn==27.0.1")

_APP = """\
import os

import psycopg
from flask import Flask, jsonify, request

app = Flask(__name__)


def asked(query, *given):
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        return connection.execute(query, given).fetchall()


@app.get("/healthz")
def healthz():
    return "", 204


@app.post("/parcels")
def hand_in():
    (row,) = asked("insert into parcels.parcel (sender) values (%s) returning id", request.args["sender"])
    return jsonify(id=row[0]), 201


@app.get("/parcels/<int:number>")
def found(number):
    rows = asked("select sender from parcels.parcel where id = %s", number)
    return jsonify([sender for (sender,) in rows])
"""
_CREATE = """\
-- deploy:compatible expand
-- deploy:lossy the first release has nothing before it
-- migrate:up
do $$ begin
  if not exists (select from pg_roles where rolname = 'parcels_app') then create role parcels_app nologin; end if;
end $$;
create schema parcels;
create table parcels.parcel (id bigint generated always as identity primary key, sender text not null);
grant usage on schema parcels to parcels_app;
grant select, insert on parcels.parcel to parcels_app;

-- migrate:down
drop schema parcels cascade;
"""
_INDEX = """\
-- deploy:compatible expand
-- deploy:outside-transaction the table is large elsewhere
-- deploy:accept require-timeout-settings the runner sets them
-- migrate:up transaction:false
create index concurrently parcel_sender on parcels.parcel (sender);

-- migrate:down transaction:false
drop index concurrently parcels.parcel_sender;
"""
_COUNT = """\
-- deploy:compatible expand
-- migrate:up
create function parcels.handed_in() returns bigint language sql stable as 'select count(*) from parcels.parcel';

-- migrate:down
drop function parcels.handed_in();
"""
_SMOKE = '''\
"""What a stranger can do: hand in a parcel, and find it again."""

import pytest


@pytest.mark.step(rollback=True)
def test_a_parcel_is_found_again(service, record):
    handed_in = service.call("POST", "/parcels?sender=synthetic")

    answer = service.call("GET", f"/parcels/{handed_in.body['id']}")

    record.expect(["synthetic"], answer.body)
    assert answer.body == ["synthetic"]
'''
FIRST, INDEX, COUNT = "20240102030405", "20240203040506", "20240304050607"
FILES: Final = {
    "app.py": _APP,
    "gunicorn.conf.py": "import os\n\nbind = f\"127.0.0.1:{os.environ['PORT']}\"\nworkers = 1\n",
    f"db/migrations/{FIRST}_create_parcel.sql": _CREATE,
    f"db/migrations/{INDEX}_parcel_sender.sql": _INDEX,
    f"db/migrations/{COUNT}_handed_in.sql": _COUNT,
    "requirements.txt": "flask\ngunicorn\npsycopg[binary]\n",
    "suites/smoke/test_parcels.py": _SMOKE,
    ".gitignore": "*.pyc\n",
}
"""By name: the repository before this project comes to it, and what its authors write for it."""

WEIGHT: Final = """\
-- deploy:compatible expand
-- deploy:lossy weights are new with it
-- migrate:up
alter table parcels.parcel add column grams integer;

-- migrate:down
alter table parcels.parcel drop column grams;
"""
"""A migration of a later release."""

SMOKE: Final = "suites/smoke/test_parcels.py::test_a_parcel_is_found_again"
MIGRATION: Final = "pytest_deploy/suites/migration/test_migration.py::test_pending_migrations_are_applied"

_SAID: Final = {
    "checks": ("  checks: {}", "  checks: {tests: [python, -m, compileall, -q, app.py]}"),
    "required": ("  service_group:", "  required: {tables: [parcels.parcel]}\n  service_group:"),
    "the test machine is shared": ("smoke: {budget_s: 60}", "smoke: {budget_s: 60, query_s: 30}"),
    "nobody waits": ("health: {watch_s: 60, interval_s: 2}", "health: {watch_s: 1, interval_s: 0.5}"),
    "here neither": ("health: {watch_s: 2, interval_s: 0.5}", "health: {watch_s: 1, interval_s: 0.5}"),
}
"""What its authors change in the deploy.yaml that `init` wrote."""


def assert_flask_goes_all_the_way(machine: Machine) -> None:
    """Deployed, failed and led back, mended, a late migration renumbered, production rehearsed, handed out."""
    parcels = machine.repository("Päckchen & Co", FILES)
    printed = parcels.does("pytest-deploy", "init")
    assert "pytest-deploy' migrate check local" in printed, "the one place where an undeclared loss is found"
    for old, new in _SAID.values():
        parcels.replace("deploy.yaml", old, new)
    parcels.commit("Deployments")
    store = "reports/local"

    # 1. The first release: an empty database reaches the end, batch by batch, over the one that is outside a transaction.
    parcels.does("pytest", "--deploy-env=local")
    ended = parcels.outcomes(store)
    assert (ended[MIGRATION], ended[SMOKE]) == ("passed", "passed")
    moved = [event["data"]["version"] for event in parcels.events(store) if event["type"] == "migration.applied"]
    assert moved == [FIRST, INDEX, COUNT]

    # 2. A release with another migration fails in smoke: traffic and schema are as they were.
    parcels.write("db/migrations/20240403020100_weight.sql", WEIGHT)
    parcels.replace("app.py", "for (sender,) in rows]", "for (sender,) in rows[1:]]")
    parcels.commit("Parcels have a weight")
    failed = parcels.run("pytest", "--deploy-env=local")
    assert failed.code == 1, failed.said
    assert "rolled-back in" in failed.stdout, failed.said
    ended = parcels.outcomes(store)
    assert ended["pytest_deploy/suites/rollback/test_restore.py::test_schema_is_what_it_was"] == "passed"
    assert ended[f"{SMOKE}[rollback]"] == "passed"

    # 3. Mended, it goes.
    parcels.replace("app.py", "rows[1:]]", "rows]")
    parcels.commit("They are found again")
    run = last_run(parcels.does("pytest", "--deploy-env=local", "-n2"))

    # 4. A colleague's file comes late: it is refused by name, and given another.
    parcels.write("db/migrations/20240305000000_colour.sql", WEIGHT.replace("grams", "colour"))
    parcels.commit("Parcels have a colour")
    late = parcels.run("pytest-deploy", "migrate", "check", "local")
    assert late.code == 1, late.said
    assert "20240305000000_colour.sql: it comes late" in late.said
    assert "20240305000000_colour.sql -> 2" in parcels.does("pytest-deploy", "migrate", "renumber", "local")
    parcels.commit("It comes last")
    parcels.does("pytest-deploy", "migrate", "check", "local")

    # 5. Production is rehearsed by its own policy, with two approvals, and what is handed out verifies.
    parcels.does("pytest-deploy", "rehearse", "production")
    parcels.assert_handed_out(run, store)
