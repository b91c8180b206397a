"""A service whose schema Alembic moves, as its authors have it. `init` writes what a deployment needs."""

from __future__ import annotations

from typing import Final

from tests.foreign.strangers_machine import Machine

PACKAGES: Final = ("alembic==1.20.1", "sqlalchemy==2.1.9")

_SERVICE: Final = '''\
"""Parcels that were handed in."""

import http.server
import json
import os

import sqlalchemy

engine = sqlalchemy.create_engine(os.environ["DATABASE_URL"])


class Parcels(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with engine.begin() as connection:
            count = connection.execute(sqlalchemy.text("select count(*) from parcel")).scalar()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps({"parcels": count}).encode())


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Parcels).serve_forever()
'''
_ENV: Final = """\
import os

from alembic import context
from sqlalchemy import engine_from_config, pool

config = context.config
config.set_main_option("sqlalchemy.url", os.environ["DATABASE_URL"])
engine = engine_from_config(config.get_section(config.config_ini_section, {}), prefix="sqlalchemy.", poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
"""
_PARCEL: Final = '''\
import sqlalchemy as sa
from alembic import op

revision = "1975ea83b712"
down_revision = None


def upgrade():
    op.create_table("parcel", sa.Column("id", sa.Integer, primary_key=True))
    op.execute("""do $$ begin
        if not exists (select from pg_roles where rolname = 'depot_app') then create role depot_app nologin; end if;
    end $$""")
    op.execute("grant select on parcel to depot_app")


def downgrade():
    op.drop_table("parcel")
'''
_WEIGHT: Final = """\
import sqlalchemy as sa
from alembic import op

revision = "27c6a30d7c24"
down_revision = "1975ea83b712"


def upgrade():
    op.add_column("parcel", sa.Column("grams", sa.Integer))


def downgrade():
    op.drop_column("parcel", "grams")
"""
_SMOKE: Final = '''\
"""How many parcels there are."""

import pytest


@pytest.mark.step(rollback=True)
def test_parcels_are_counted(service, record):
    answer = service.call("GET", "/parcels")
    record.expect({"parcels": 0}, answer.body)
    assert answer.body == {"parcels": 0}
'''
_DIES: Final = "import os\n\n\ndef test_the_process_dies():\n    os.kill(os.getpid(), 9)\n"
FILES: Final = {
    "serve.py": _SERVICE,
    "Procfile": "web: python serve.py\n",
    "pyproject.toml": '[project]\nname = "depot"\ndependencies = ["alembic", "psycopg[binary]", "sqlalchemy"]\n',
    "alembic.ini": "[alembic]\nscript_location = %(here)s/alembic\nprepend_sys_path = .\n",
    "alembic/env.py": _ENV,
    "alembic/versions/1975ea83b712_parcel.py": _PARCEL,
    "suites/smoke/test_parcels.py": _SMOKE,
}
APPLIED: Final = "suites/migration/test_depot.py::test_migrations_are_applied"
TAKEN_BACK: Final = "suites/rollback/test_depot.py::test_migrations_are_taken_back"
SMOKE: Final = "suites/smoke/test_parcels.py::test_parcels_are_counted"
SCHEMA: Final = "pytest_deploy/suites/rollback/test_restore.py::test_schema_is_what_it_was"


def assert_alembic_deploys_and_leads_back(machine: Machine) -> None:
    """By the steps that `init` writes: from nothing and back, to a first release, from a second one back to it, and on."""
    depot = machine.repository("depot", FILES)
    depot.does("pytest-deploy", "init")
    depot.replace("deploy.yaml", "smoke: {budget_s: 60}", "smoke: {budget_s: 60, query_s: 30}")

    # 1. The first release fails: nothing is left of its migration, nor of Alembic's own table.
    depot.replace("serve.py", '{"parcels": count}', '{"parcels": -1}')
    depot.commit("Deployments")
    failed = depot.run("pytest", "--deploy-env=local")
    assert failed.code == 1, failed.said
    ended = depot.outcomes()
    assert (ended[APPLIED], ended[SMOKE], ended[TAKEN_BACK], ended[SCHEMA]) == (
        "passed",
        "failed",
        "passed",
        "passed",
    ), failed.said

    # 2. Mended, it is deployed: the service reads the table by the rights that the migration grants.
    depot.replace("serve.py", '{"parcels": -1}', '{"parcels": count}')
    depot.commit("They are counted")
    depot.does("pytest", "--deploy-env=local")
    assert depot.outcomes()[SMOKE] == "passed"

    # 3. A second release with another migration fails, and its schema is led back to the first one's.
    depot.write("alembic/versions/27c6a30d7c24_weight.py", _WEIGHT)
    depot.replace("serve.py", '{"parcels": count}', '{"parcels": -1}')
    depot.commit("Parcels have a weight")
    failed = depot.run("pytest", "--deploy-env=local", "-n2")
    assert failed.code == 1, failed.said
    assert "rolled-back in" in failed.stdout, failed.said
    ended = depot.outcomes()
    assert (ended[TAKEN_BACK], ended[SCHEMA], ended[f"{SMOKE}[rollback]"]) == ("passed", "passed", "passed")

    # 4. Mended, it goes.
    depot.replace("serve.py", '{"parcels": -1}', '{"parcels": count}')
    depot.commit("They are counted again")
    depot.does("pytest", "--deploy-env=local")
    assert depot.outcomes()[APPLIED] == "passed"


def assert_recover_says_what_it_cannot_lead_back(machine: Machine) -> None:
    """The process dies once the schema has moved: `recover` runs no step, so that the schema is a person's."""
    depot = machine.repository("interrupted", {**FILES, "suites/smoke/test_dies.py": _DIES})
    depot.does("pytest-deploy", "init")
    depot.commit("Deployments")
    assert depot.run("pytest", "--deploy-env=local").code == 20

    recovered = depot.run("pytest-deploy", "recover", "local")

    assert recovered.code == 20, recovered.said
    decided = [event["data"] for event in depot.events() if event["type"] == "run.decided"]
    assert [one["outcome"] for one in decided] == ["rollback-failed"]
    (finished,) = [event["data"] for event in depot.events() if event["type"] == "rollback.finished"]
    assert (
        "its way back in suites/rollback was not run; take it back by hand, by what the step kept in the record's runs/"
        in finished["cause"]
    )
    kept = depot.path / "reports/local" / finished["cause"].rpartition(" ")[2] / "schema/applied-before.json"
    assert kept.read_text(encoding="utf-8") == "null"
