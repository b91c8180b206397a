"""The planned schema change is shown as people read it, and nothing that differs is left out."""

from __future__ import annotations

import pytest

from pytest_deploy.migrate.readable_diff import readable
from pytest_deploy.migrate.session import connect, rows_of
from pytest_deploy.migrate.snapshot import read_catalog

COLUMN = '{"name": "note", "type": "text", "local": true, "storage": "x", "identity": "", "not null": false, "generated": "", "inherited": 0, "compression": ""}'


@pytest.mark.parametrize(
    "diff, shown",
    [
        ([f"+column public.visits 0003 {COLUMN}"], ["+ column public.visits.note text"]),
        ([f"-column public.visits 0003 {COLUMN}"], ["- column public.visits.note text"]),
        (
            [f"-column public.visits 0003 {COLUMN}", f"+column public.visits 0003 {COLUMN.replace('text', 'integer')}"],
            ["~ column public.visits.note: type: text -> integer"],
        ),
        (
            [f"-column public.visits 0003 {COLUMN}", f"+column public.visits 0002 {COLUMN}"],
            ["~ column public.visits.note: place: 3 -> 2"],
        ),
        (
            ['+index public.by_day {"valid": true, "definition": "CREATE INDEX by_day ON public.visits USING btree (day)"}'],
            ["+ index public.by_day CREATE INDEX by_day ON public.visits USING btree (day)"],
        ),
        (
            ['+routine public.f() {"owner": "diary", "definition": "CREATE FUNCTION f()\\n+ column harmless"}'],
            ["+ routine public.f() CREATE FUNCTION f() (owner diary)", "    | + column harmless"],
        ),
        (
            ['+relation public."odd {""x"": 1}" {"acl": "{diary=r/diary}", "kind": "r", "persistence": "u"}'],
            ['+ table public."odd {""x"": 1}" (acl {diary=r/diary}, persistence u)'],
        ),
        (['+operator class public.o using btree {"default": true}'], ["+ operator class public.o using btree (default)"]),
        (['+comment table public.visits "when they came"'], ["+ comment table public.visits when they came"]),
        (
            ["--- before", "+++ after", "@@ -1 +1 @@", "-- locks public.visits: AccessExclusiveLock", "+ column mood"],
            ["-- locks public.visits: AccessExclusiveLock", "+ column mood"],
        ),
    ],
    ids=["new", "gone", "changed", "moved", "index", "routine", "quoted", "kind of two words", "comment", "other lines"],
)  # fmt: skip
def test_a_difference_is_a_line_of_words(diff: list[str], shown: list[str]) -> None:
    assert list(readable("\n".join(diff) + "\n")) == shown


def test_labels_of_two_providers_are_both_shown() -> None:
    diff = '+label table public.visits {"one": "secret"}\n+label table public.visits {"two": "open"}\n'

    assert sorted(readable(diff)) == [
        "+ label table public.visits (one secret)", "+ label table public.visits (two open)",
    ]  # fmt: skip


def test_a_real_change_is_shown_whole(database: str) -> None:
    with connect(database) as connection:
        connection.execute("create table public.visits (id int primary key, day date, gone text)")
        connection.execute("create function public.f() returns int language sql as 'select 1'")
        before = read_catalog(rows_of(connection))
        connection.execute(
            "alter table public.visits add note text not null default 'none', alter day type timestamptz"
        )
        connection.execute("alter table public.visits drop gone")
        connection.execute("create or replace function public.f() returns int language sql as 'select 2'")
        connection.execute("create index by_day on public.visits (day)")
        connection.execute("grant select on public.visits to public")
        after = read_catalog(rows_of(connection))

    lines = list(readable("".join(before.diff(after, "before", "after"))))

    assert "+ column public.visits.note text (default 'none'::text, not null)" in lines
    assert "- column public.visits.gone text" in lines
    assert "~ column public.visits.day: type: date -> timestamp with time zone" in lines
    assert "+ index public.by_day CREATE INDEX by_day ON public.visits USING btree (day)" in lines
    assert [line for line in lines if line.startswith("~ table public.visits: acl: ")]
    at = lines.index("~ routine public.f(): definition:")
    changed = lines[at + 1 :]
    assert any(line.startswith("    - ") and "select 1" in line for line in changed)
    assert any(line.startswith("    + ") and "select 2" in line for line in changed)
    assert [line for line in lines if '{"' in line] == [], "JSON is for programs"
