"""The schema goes back with the release: after a migration that breaks in its middle, and after one that went well."""

from __future__ import annotations

import pytest

from tests.stories.requirement_credit import assert_credited
from tests.stories.story_assertions import Deployed, assert_ended

BROKEN = """\
-- deploy:compatible expand

-- migrate:up
create table diary.half (id bigint primary key);
insert into diary.nowhere values (1);

-- migrate:down
drop table diary.half;
"""

SURPRISED = """\
-- deploy:compatible expand
-- deploy:lossy a test's own table
-- No rehearsal shows what only the environment's own rows do.

-- migrate:up
create table diary.half (id bigint primary key);
do $$ begin perform 1 / (case body when 'deployment check' then 0 else 1 end) from diary.entry_version; end $$;

-- migrate:down
drop table diary.half;
"""

SOUND = """\
-- deploy:compatible expand
-- deploy:lossy a mood without its entry is nobody's

-- migrate:up
create table diary.mood (id bigint primary key, name text not null);
alter table diary.mood add column shade text;

-- migrate:down
drop table diary.mood;
"""

REHEARSE = "preflight/test_migrations.py::test_pending_migrations_are_rehearsed"
MIGRATE = "migration/test_migration.py::test_pending_migrations_are_applied"
CREATE = "pytest_deploy/suites/deploy/test_deploy.py::test_new_revision_is_ready_at_0_percent"


@pytest.mark.faults
def test_migration_that_breaks_in_rehearsal_never_touches_the_environment(deployed: Deployed) -> None:
    checkout = deployed.checkout
    checkout.write("migrations/0008_half.sql", BROKEN)

    ran = checkout.deploy()

    assert_ended(checkout, ran, code=1, outcome="failed")
    assert checkout.failing() == {REHEARSE}
    assert "migrations/0008_half.sql:" in ran.stdout
    assert f"{checkout.path}/migrations" not in ran.stdout, "a path as its reader would type it"
    assert "pytest_deploy/suites/preflight/test_migrations.py:" in ran.stdout, "the step that was refused"
    assert "pytest_deploy/migrate/" not in ran.stdout, "none of our own modules: the message says what to do"
    assert not [data for data in checkout.said("step.started") if data["changes"]]
    assert checkout.standing() == deployed.standing
    opened = checkout.said("run.opened")[0]
    assert opened["dirty"], "the migration was not committed"
    assert opened["version"].endswith(".dirty")
    assert "uncommitted changes" in ran.stdout


@pytest.mark.faults
def test_migration_that_breaks_in_its_middle_leaves_nothing(deployed: Deployed) -> None:
    checkout = deployed.checkout
    checkout.write("migrations/0008_half.sql", SURPRISED)
    checkout.commit("Half a migration")

    ran = checkout.deploy()

    deployed.assert_rolled_back(ran)
    assert_credited(checkout.events(checkout.last_run()), "migration failed")
    assert checkout.failing() == {MIGRATE}
    assert "division by zero" in checkout.decided()["cause"]
    assert checkout.said("migration.applied") == checkout.said("migration.rolled-back") == []
    assert checkout.not_run()[CREATE] == "skipped because migration failed"


def test_schema_goes_back_with_a_release_that_fails(deployed: Deployed) -> None:
    checkout = deployed.checkout
    checkout.write("migrations/0008_mood.sql", SOUND)
    checkout.commit("Moods")

    ran = checkout.deploy("--deploy-set=service.env.FAULT=crud")

    deployed.assert_rolled_back(ran)
    assert_credited(checkout.events(checkout.last_run()), "migration undone")
    assert checkout.failing() == {"smoke/test_api.py::test_entry_is_created_read_updated_and_deleted"}
    assert [data["version"] for data in checkout.said("migration.applied")] == ["0008"]
    assert [data["version"] for data in checkout.said("migration.rolled-back")] == ["0008"]
    order = [event.type for event in checkout.events(checkout.last_run())]
    last_move = len(order) - 1 - order[::-1].index("traffic.moved")
    assert last_move < order.index("migration.rolled-back"), "the old release serves before its schema comes back"
