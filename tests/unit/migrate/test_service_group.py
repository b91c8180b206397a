"""The service's role gets the rights of a group that migrations grant to: by an ordinary owner, once, and no more than that."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pytest_deploy.errors import Failed, Refused
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.migrations import Migrations
from pytest_deploy.migrate.rollback import roll_back
from pytest_deploy.migrate.service_group import Membership
from pytest_deploy.platform.protocol import DatabaseAccess
from pytest_deploy.policy.rollout import Database
from tests.unit.migrate.sample_migrations import ACTOR, as_superuser, sample

PG16 = 160000


@dataclass(frozen=True)
class Roles:
    """A fresh database with an ordinary owner, who may make roles and nothing else, and the service's log-in role."""

    admin: str
    """The superuser's connection string to the database."""
    owner: str
    """The owner's name."""
    service: str
    group: str
    """The name that the group is to have; nobody made it yet."""
    version: int
    """Of the server."""

    def run(self, statement: str, *, by: str = "") -> None:
        """SQL with {owner}, {service} and {group} for the names, run by the superuser or by another role."""
        names = {name: sql.Identifier(getattr(self, name)) for name in ("owner", "service", "group")}
        with psycopg.connect(self.admin if not by else make_conninfo(self.admin, user=by)) as connection:
            connection.execute(sql.SQL(statement).format(**names))

    def make_group(self, *, by: str | None = None) -> None:
        self.run("create role {group} nologin", by=self.owner if by is None else by)
        self.run("create table parcel ()", by=self.owner)
        self.run("grant select on parcel to {group}", by=self.owner)

    def admit(self, group: str = "") -> Membership | None:
        access = DatabaseAccess(make_conninfo(self.admin, user=self.owner), "", self.service)
        policy = Database(migrations="migrations", service_group=group or self.group)
        return Migrations(access, Path("migrations"), policy, ACTOR).admit_service()

    def refusal(self, kind: type[Exception] = Refused, group: str = "") -> str:
        """What was said as it was refused; the service may no more than before."""
        with pytest.raises(kind) as caught:
            self.admit(group)
        assert not self.may_read()
        return str(caught.value)

    def may_read(self) -> bool:
        """Whether the service reads the owner's table, by a connection of its own."""
        with psycopg.connect(make_conninfo(self.admin, user=self.service)) as connection:
            try:
                connection.execute("select from parcel")
            except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedTable):
                return False
        return True


@pytest.fixture
def roles(each_database: str) -> Iterator[Roles]:
    end = uuid.uuid4().hex[:8]
    each_database = as_superuser(each_database)
    with psycopg.connect(each_database) as connection:
        version = connection.info.server_version
    made = Roles(each_database, f"owner_{end}", f"Parcels {end}_svc", f"parcels_{end}_app", version)
    made.run("create role {owner} login createrole")
    made.run("create role {service} login")
    with psycopg.connect(each_database, autocommit=True) as connection:
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("alter database {} owner to {}").format(name, sql.Identifier(made.owner)))
        connection.execute(sql.SQL("alter schema public owner to {}").format(sql.Identifier(made.owner)))
    yield made
    with psycopg.connect(each_database, autocommit=True) as connection:
        found = connection.execute("select rolname from pg_roles where rolname like %s", [f"%{end}%"]).fetchall()
        for (role,) in found:
            connection.execute(sql.SQL("reassign owned by {} to current_user").format(sql.Identifier(role)))
            connection.execute(sql.SQL("drop owned by {}").format(sql.Identifier(role)))
        for (role,) in found:
            connection.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))


def test_an_ordinary_owner_gives_the_service_the_groups_rights(roles: Roles) -> None:
    roles.make_group()
    assert not roles.may_read()

    assert roles.admit() == Membership(roles.service, roles.group, granted=True)

    assert roles.may_read()


def test_where_it_is_a_member_nothing_is_changed(roles: Roles) -> None:
    roles.make_group()
    roles.admit()

    assert roles.admit() == Membership(roles.service, roles.group, granted=False)


def test_one_that_an_administrator_made_a_member_needs_no_right_of_the_owner(roles: Roles) -> None:
    roles.make_group(by="postgres")
    roles.run("grant {group} to {service}")
    roles.run("alter role {owner} nocreaterole")

    assert roles.admit() == Membership(roles.service, roles.group, granted=False)


def test_where_policy_names_no_group_nothing_is_asked(roles: Roles) -> None:
    access = DatabaseAccess("host=/nowhere", "", roles.service)

    assert Migrations(access, Path("migrations"), Database(migrations="m"), ACTOR).admit_service() is None


def test_a_group_that_is_not_there_is_to_be_made_by_a_migration(roles: Roles) -> None:
    assert roles.refusal() == (
        f"database.service_group: there is no role {roles.group}; have a migration make it and grant to it: "
        f'`create role "{roles.group}" nologin`'
    )


def test_somebodys_own_role_is_no_group(roles: Roles) -> None:
    roles.make_group()
    roles.run("alter role {group} login")

    assert roles.refusal().startswith(
        f"database.service_group: {roles.group} may log in, so it is somebody's own role;"
    )


@pytest.mark.parametrize(
    "right, said",
    [
        ("superuser", "is a superuser"),
        ("bypassrls", "bypasses row-level security"),
        ("createrole", "may make roles"),
        ("createdb", "may make databases"),
        ("replication", "may replicate"),
    ],
)
def test_a_group_with_a_right_of_its_own_is_refused(roles: Roles, right: str, said: str) -> None:
    roles.make_group()
    roles.run(f"alter role {{group}} {right}")

    assert f"members of {roles.group} could act as {roles.group}, which {said}: a service gets" in roles.refusal()


def test_a_group_that_leads_to_the_owner_or_to_one_of_postgresqls_own_is_refused(roles: Roles) -> None:
    roles.make_group(by="postgres")
    roles.run("grant {owner} to {group}")
    assert f"could act as {roles.owner}, which is the role that runs the migrations" in roles.refusal()

    roles.run("revoke {owner} from {group}")
    roles.run("grant pg_read_server_files to {group}")
    assert "could act as pg_read_server_files, which is one of PostgreSQL's own" in roles.refusal()


def test_a_group_that_the_owner_may_not_give_is_refused_with_what_whoever_made_it_runs(roles: Roles) -> None:
    """From PostgreSQL 16 on who made a role gives it; before, whoever may make roles."""
    roles.make_group(by="postgres")
    if roles.version < PG16:
        roles.run("alter role {owner} nocreaterole")

    said = roles.refusal()

    assert f"{roles.owner} may not admit anybody to {roles.group}" in said
    assert f'Whoever did runs once `grant "{roles.group}" to "{roles.service}"`' in said
    roles.run("grant {group} to {owner} with admin option")  # the other way that it names
    assert f'`grant "{roles.group}" to "{roles.owner}" with admin option`' in said
    assert roles.admit() == Membership(roles.service, roles.group, granted=True)


def test_a_role_that_inherits_nothing_is_refused_and_left_as_it_was(roles: Roles) -> None:
    roles.make_group()
    roles.run("alter role {service} noinherit")

    said = roles.refusal(Failed)

    assert f'`alter role "{roles.service}" inherit`' in said
    with psycopg.connect(roles.admin) as connection:
        members = connection.execute("select pg_has_role(%s, %s, 'member')", [roles.service, roles.group]).fetchone()
    assert members == (False,)


def test_a_rollback_that_drops_the_group_ends_the_membership_and_the_next_deployment_gives_it_again(
    roles: Roles, tmp_path: Path
) -> None:
    group = sql.Identifier(roles.group).as_string()
    up = f"create role {group} nologin;\ncreate table parcel ();\ngrant select on parcel to {group};\n"
    migrations = sample(tmp_path / "migrations", (up, f"drop table parcel;\ndrop role {group};\n"))
    owner = make_conninfo(roles.admin, user=roles.owner)
    apply(owner, migrations, actor=ACTOR)
    roles.admit()
    assert roles.may_read()

    roll_back(owner, migrations, to=[], actor=ACTOR, save_into=tmp_path / "saved")

    with psycopg.connect(roles.admin) as connection:
        left = connection.execute(
            "select count(*) from pg_auth_members where member = (select oid from pg_roles where rolname = %s)",
            [roles.service],
        ).fetchone()
    assert left == (0,)
    apply(owner, migrations, actor=ACTOR)
    assert roles.admit() == Membership(roles.service, roles.group, granted=True)
    assert roles.may_read()


def test_a_rollback_that_keeps_the_group_takes_its_rights_with_the_table(roles: Roles, tmp_path: Path) -> None:
    roles.run("create role {group} nologin", by=roles.owner)
    group = sql.Identifier(roles.group).as_string()
    up = f"create table parcel ();\ngrant select on parcel to {group};\n"
    migrations = sample(tmp_path / "migrations", (up, "drop table parcel;\n"))
    owner = make_conninfo(roles.admin, user=roles.owner)
    apply(owner, migrations, actor=ACTOR)
    roles.admit()

    roll_back(owner, migrations, to=[], actor=ACTOR, save_into=tmp_path / "saved")

    roles.run("create table parcel ()", by=roles.owner)
    assert not roles.may_read()
