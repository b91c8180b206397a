"""A database that is there already, made by somebody else, and owned by an ordinary role: deployed to, and told of in words."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from pytest_deploy.platform.embedded.postgres import EmbeddedServer
from tests.child_process import Ran
from tests.memory import short_parent
from tests.project_checkout import Checkout
from tests.stories.story_assertions import assert_ended

PASSWORD = "a-password-of-the-owner"
HBA = "local all postgres trust\nlocal all all scram-sha-256\n"
"""Nobody but the superuser is let in without a password."""


@dataclass(frozen=True)
class Existing:
    """A server of its own, with the database `parcels` of the role `deployer`."""

    checkout: Checkout
    server: EmbeddedServer

    @property
    def url(self) -> str:
        return f"postgresql://deployer@/parcels?host={self.server.folder}"

    @property
    def variables(self) -> dict[str, str]:
        return {"PGPASSWORD": PASSWORD}

    def as_superuser(self, database: str, query: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.server.conninfo(database), autocommit=True) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def existing(checkout: Checkout) -> Iterator[Existing]:
    """Before the first deployment; deploy.yaml names the database."""
    folder = Path(tempfile.mkdtemp(prefix="pd-theirs-", dir=short_parent()))
    folder.chmod(0o711)
    hba = folder / "pg_hba.conf"
    hba.write_text(HBA, encoding="utf-8")
    hba.chmod(0o644)
    server = EmbeddedServer(folder / "server", settings={"fsync": "off", "hba_file": str(hba)})
    server.start()
    try:
        made = Existing(checkout, server)
        made.as_superuser("postgres", f"create role deployer login createdb createrole password '{PASSWORD}'")
        made.as_superuser("postgres", "create database parcels owner deployer")
        made.as_superuser("postgres", "revoke connect on database parcels from public")
        policy = (checkout.path / "deploy.yaml").read_text(encoding="utf-8")
        checkout.write(
            "deploy.yaml",
            policy.replace("  migrations: migrations\n", f"  migrations: migrations\n  url: {made.url}\n"),
        )
        checkout.commit("The database that is there already")
        yield made
    finally:
        server.stop()
        shutil.rmtree(folder)


def test_it_is_deployed_to_by_its_ordinary_owner_and_found_by_another_clone(existing: Existing, tmp_path: Path) -> None:
    checkout = existing.checkout
    ran = checkout.deploy(env=existing.variables)
    assert_ended(checkout, ran, code=0, outcome="deployed")
    owner = existing.as_superuser(
        "parcels", "select distinct relowner::regrole::text from pg_class where relname = 'migration_event'"
    )
    assert owner == [("deployer",)]
    assert PASSWORD.encode() not in b"".join(checkout.bytes_below("reports").values())

    shutil.copytree(checkout.path, tmp_path / "other", ignore=shutil.ignore_patterns(".deploy", "reports"))
    another = Checkout(tmp_path / "other", checkout.memory)
    status = another.deploy_py("migrate", "status", "local", env=existing.variables)
    assert status.stdout.splitlines()[-1] == "7 applied, 0 pending", status.said
    roles = existing.as_superuser("postgres", "select count(*) from pg_roles where rolname ~ '^parcels_.{8}_svc$'")
    assert roles == [(2,)], "the service of each clone logs in by a role of its own"


def test_a_schema_that_is_not_the_owners_is_said_in_words_not_in_a_traceback(existing: Existing) -> None:
    existing.as_superuser("parcels", "create schema deploy; create table deploy.migration_event ()")
    checkout = existing.checkout

    for words in (("status",), ("check",), ("dry-run",), ("up",), ("down",)):
        options = ("--to", "0") if words == ("down",) else ()
        _assert_said(checkout.deploy_py("migrate", *words, "local", *options, env=existing.variables), code=1)
    ran = checkout.deploy(env=existing.variables)
    _assert_said(ran, code=1)
    assert_ended(checkout, ran, code=1, outcome="failed")


def _assert_said(ran: Ran, *, code: int) -> None:
    assert ran.code == code, ran.said
    lacks = (  # as the server says it, or as a trial says it before anything starts
        "database parcels refused deployer: permission denied for schema deploy; deployer needs to own the database",
        "deployer cannot migrate parcels, and nothing was started: it needs to own the history of migrations",
    )
    assert any(lack in ran.stdout + ran.stderr for lack in lacks), ran.said
    for noise in ("Traceback", "INTERNALERROR"):
        assert noise not in ran.stdout + ran.stderr, ran.said


LOCK = """\
-- deploy:compatible expand

-- migrate:up
alter role clerk nologin;

-- migrate:down
alter role clerk login;
"""

OF_THE_SERVER = """
    select to_jsonb(r)::text from pg_roles r where rolname !~ '_svc$'
    union all select to_jsonb(m)::text from pg_auth_members m where pg_get_userbyid(roleid) !~ '_svc$'
    union all select to_jsonb(s)::text from pg_db_role_setting s
    union all select datname from pg_database order by 1
"""


def test_a_plan_changes_nothing_on_the_server(existing: Existing) -> None:
    """Its migrations make a role and lock another out: in the trial's own server, and here when the release comes."""
    checkout = existing.checkout
    existing.as_superuser("postgres", "create role clerk login")
    existing.as_superuser("postgres", "grant clerk to deployer with admin option")
    checkout.write("migrations/0008_lock.sql", LOCK)
    checkout.commit("The clerk is locked out")
    before = existing.as_superuser("postgres", OF_THE_SERVER)

    plan = checkout.deploy("--deploy-pipeline=plan", env=existing.variables)

    assert plan.code == 0, plan.said
    assert "left running" not in plan.said, "what stops the trial's server ends by itself"
    assert existing.as_superuser("postgres", OF_THE_SERVER) == before
    (tried,) = [
        data["actual"]["tried"]
        for data in checkout.said("step.finished")
        if data["nodeid"].endswith("test_pending_migrations_are_rehearsed")
    ]
    assert [line.partition(":")[0] for line in tried] == ["tried in a throw-away server"]
    ran = checkout.deploy(env=existing.variables)
    assert_ended(checkout, ran, code=0, outcome="deployed")
    assert existing.as_superuser("postgres", "select rolcanlogin from pg_roles where rolname = 'clerk'") == [(False,)]
