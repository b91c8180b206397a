"""What migrations make of a server by their own words; how it is made anew is in test_trial_server.py."""

from __future__ import annotations

import pytest

from pytest_deploy.migrate.cluster import names_made

ROLE = r"role|group|user(?!\s+mapping\b)"


@pytest.mark.parametrize(
    "text, made, noticed",
    [
        ("create role Reader;", {"reader"}, {"reader"}),
        ('CREATE USER "The Reader" login;', {"The Reader"}, {"The Reader"}),
        ("create user mapping for reader server s;", set(), set()),
        ("-- create role reader;\n/* create role writer; */ select 1;", set(), set()),
        ("do $$ begin create role reader; end $$;", {"reader"}, {"reader"}),
        ("do $$ begin if not exists (select) then create role reader; end if; end $$;", set(), {"reader"}),
        ("do $$ begin create role reader; exception when duplicate_object then null; end $$;", set(), {"reader"}),
        ("create table if not exists t ();\ncreate role reader;", {"reader"}, {"reader"}),
    ],
)
def test_roles_that_are_made_whether_or_not_they_are_there_are_told(
    text: str, made: set[str], noticed: set[str]
) -> None:
    assert names_made(ROLE, [text]) == made
    assert names_made(ROLE, [text], guarded=True) == noticed
