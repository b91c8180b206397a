"""Rows that a way down drops, deletes or changes are found by what the server did, and saved whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.errors import MigrationFailed
from pytest_deploy.migrate.apply import apply
from pytest_deploy.migrate.rollback import roll_back
from pytest_deploy.migrate.saved_rows import Saved
from tests.unit.migrate.sample_migrations import ACTOR, M_2027, PARTITIONED, as_superuser, do, rows, sample

ENTRY = (
    """create table entry (id bigint primary key, note text, kind text);
    create table other (id bigint primary key, note text);
    """,
    "drop table other, entry;\n",
)
DEFAULT = "create table m_rest partition of m default;\n"
THREE = "insert into entry values (1, 'one', 'old'), (2, 'precious', 'new'), (3, null, 'new')"
TWO_YEARS = "insert into m values (1, '2026-05-01', 'old'), (2, '2027-05-01', 'precious')"


def lost(conninfo: str, folder: Path, *ways: tuple[str, str], wrote: str) -> dict[str, tuple[Saved, str]]:
    """What the downs of all ways but the first lose of rows that were written after the ups, by table, with the files' text."""
    migrations = sample(folder / "m", *ways)
    apply(conninfo, migrations, actor=ACTOR)
    do(conninfo, wrote)
    undone = roll_back(conninfo, migrations, to=["0001"], actor=ACTOR, save_into=folder / "saved")
    assert all(not back.lost for back in undone[1:])
    found = {saved.table: (saved, Path(saved.place).read_text(encoding="utf-8")) for saved in undone[0].lost}
    assert len(found) == len(undone[0].lost), "nothing is saved twice"
    kept = "select relname from pg_class where relnamespace = 'deploy'::regnamespace and relpersistence = 'u'"
    assert rows(conninfo, kept) == [], "no copy stays"
    return found


def the_one(found: dict[str, tuple[Saved, str]], table: str) -> tuple[tuple[str, ...], int, str]:
    assert list(found) == [table]
    saved, text = found[table]
    return saved.columns, saved.count, text


def test_a_partition_that_a_down_drops_is_saved(each_database: str, tmp_path: Path) -> None:
    found = lost(each_database, tmp_path, PARTITIONED, (M_2027, "drop table m_2027;\n"), wrote=TWO_YEARS)
    assert the_one(found, "public.m_2027") == (("id", "at", "note"), 1, "id,at,note\n2,2027-05-01,precious\n")
    assert rows(each_database, "select id from m") == [(1,)]


def test_a_partition_with_partitions_is_saved_once(database: str, tmp_path: Path) -> None:
    up = (
        "create table m_2027 partition of m for values from ('2027-01-01') to ('2028-01-01') partition by list (id);\n"
        "create table m_2027_2 partition of m_2027 for values in (2);\n"
        "create table m_2027_rest partition of m_2027 default;\n"
    )
    wrote = f"{TWO_YEARS}, (3, '2027-06-01', 'too')"
    found = lost(database, tmp_path, PARTITIONED, (up, "drop table m_2027;\n"), wrote=wrote)
    text = "id,at,note\n2,2027-05-01,precious\n3,2027-06-01,too\n"
    assert the_one(found, "public.m_2027") == (("id", "at", "note"), 2, text)


def test_a_whole_partitioned_table_is_saved_once_under_its_own_name(database: str, tmp_path: Path) -> None:
    found = lost(database, tmp_path, ENTRY, PARTITIONED, (M_2027, "drop table m_2027;\n"), wrote=TWO_YEARS)
    assert sum(saved.count for saved, _ in found.values()) == 2


MOVED = """alter table m detach partition m_2027;
create table m_rest partition of m default;
insert into m select * from m_2027 where id <> {};
drop table m_2027;
"""
COPIED = """create table copy (like m including all);
insert into copy select * from m;
drop table m;
alter table copy rename to m;
"""
KEPT = "alter table m detach partition m_2027;\nalter table m_2027 rename to kept;\n"
REATTACHED = "alter table m attach partition m_2026 for values from ('2026-01-01') to ('2027-01-01');\n"


@pytest.mark.parametrize("down", [KEPT, MOVED.format(0), COPIED], ids=["detached and kept", "moved", "copied"])
def test_rows_that_stay_somewhere_are_not_lost(each_database: str, tmp_path: Path, down: str) -> None:
    assert lost(each_database, tmp_path, PARTITIONED, (M_2027, down), wrote=TWO_YEARS) == {}


def test_of_rows_that_are_moved_the_one_that_is_left_out_is_lost(database: str, tmp_path: Path) -> None:
    down = MOVED.format(2)
    found = lost(database, tmp_path, PARTITIONED, (M_2027, down), wrote=f"{TWO_YEARS}, (3, '2027-05-01', 'moved')")
    assert the_one(found, "public.m")[1:] == (1, "id,at,note\n2,2027-05-01,precious\n")


def test_a_partition_that_is_attached_and_one_that_is_empty_are_no_loss(database: str, tmp_path: Path) -> None:
    ways = (
        (M_2027 + DEFAULT, "drop table m_rest;\n"),
        ("alter table m detach partition m_2026;\n", REATTACHED),
    )
    assert lost(database, tmp_path, PARTITIONED, *ways, wrote="insert into m values (2, '2027-05-01', 'x')") == {}


def test_a_child_by_inheritance_that_a_down_drops_is_saved(database: str, tmp_path: Path) -> None:
    child = ("create table child (more int) inherits (entry);\n", "drop table child;\n")
    found = lost(database, tmp_path, ENTRY, child, wrote="insert into child values (1, 'one', 'k', 7)")
    assert the_one(found, "public.child") == (("id", "note", "kind", "more"), 1, "id,note,kind,more\n1,one,k,7\n")


def test_rows_that_a_down_deletes_are_saved(each_database: str, tmp_path: Path) -> None:
    down = "delete from entry where note is null;\nalter table entry alter note set not null;\n"
    found = lost(each_database, tmp_path, ENTRY, ("alter table entry alter note drop not null;\n", down), wrote=THREE)
    assert the_one(found, "public.entry") == (("id", "kind"), 1, "id,note,kind\n3,,new\n")
    assert rows(each_database, "select id from entry order by id") == [(1,), (2,)]


def test_content_that_a_down_cuts_is_saved_and_what_is_short_enough_is_not(each_database: str, tmp_path: Path) -> None:
    cut = (
        "alter table entry alter kind type text;\n",
        "alter table entry alter kind type varchar(8) using left(kind, 8);\n",
    )
    wrote = "insert into entry values (1, 'one', 'short'), (2, 'two', 'precious-long-text')"
    found = lost(each_database, tmp_path, ENTRY, cut, wrote=wrote)
    assert the_one(found, "public.entry") == (("kind",), 1, "id,note,kind\n2,two,precious-long-text\n")


def test_a_whole_row_is_saved_where_it_is_deleted_and_a_column_goes(database: str, tmp_path: Path) -> None:
    way = (
        "alter table entry add sort text;\n",
        "delete from entry where sort = 'new';\nalter table entry drop sort;\n",
    )
    wrote = "insert into entry values (1, 'one', 'k', 'kept'), (2, 'precious', 'k', 'new'), (3, 'untouched', 'k', null)"
    found = lost(database, tmp_path, ENTRY, way, wrote=wrote)
    columns, count, text = the_one(found, "public.entry")
    assert (columns[0], count, text) == ("sort", 2, "id,note,kind,sort\n1,one,k,kept\n2,precious,k,new\n")


RECOPIED = """alter table entry add k2 text;
update entry set k2 = kind;
alter table entry drop kind;
alter table entry rename k2 to kind;
"""


@pytest.mark.parametrize(
    "down,count",
    [
        ("truncate entry;\n", 3),
        ("update entry set note = null;\n", 2),
        ("update entry set note = note;\n", 0),
        ("delete from entry; insert into entry values (1, 'one', 'old');\n", 2),
        ("alter table entry rename note to words; update entry set words = upper(words) where id = 1;\n", 1),
        ("alter table entry drop kind; alter table entry add kind text;\n", 3),
        (RECOPIED, 0),
        ("create table e as select * from entry where id < 3; drop table entry; alter table e rename to entry;\n", 1),
        ("alter table entry rename to renamed; alter table renamed rename note to words;\n", 0),
        ("create index on entry (note); alter table entry add fresh int not null default 1;\n", 0),
        ("with gone as (delete from entry returning *) insert into entry select id + 10, note, kind from gone;\n", 3),
        ("do $$ begin delete from entry; raise exception 'x'; exception when others then null; end $$;\n", 0),
    ],
)  # fmt: skip
def test_as_many_rows_are_lost_as_are_not_there_as_they_were(
    each_database: str, tmp_path: Path, down: str, count: int
) -> None:
    found = lost(each_database, tmp_path, ENTRY, ("select 1;\n", down), wrote=THREE)
    assert sum(saved.count for saved, _ in found.values()) == count
    for saved, text in found.values():
        assert text.splitlines()[0] == "id,note,kind"
        assert len(text.splitlines()) == 1 + saved.count


@pytest.mark.parametrize(
    "types,values,count",
    [
        (("bigint", "integer"), "1, 2", 0),
        (("bigint", "numeric(12,2)"), "1, 2", 0),
        (("numeric(12,2)", "integer"), "1.00, 2.50", 1),
        (("numeric(12,4)", "numeric(12,2)"), "2.5000, 2.5001", 1),
        (("numeric(12,2)", "numeric(12,4)"), "1.00, 2.50", 0),
        (("numeric(12,2)", "numeric(12,4) using value + 0.0004"), "1.00, 2.50", 2),
        (("timestamptz", "timestamp"), "'2026-01-01 10:00+00', '2026-01-02 10:00+00'", 0),
        (("timestamp", "date"), "'2026-01-01', '2026-01-02 10:00'", 1),
        (("text", "integer using value::integer"), "'7', '007'", 1),
        (("integer", "text"), "1, 2", 0),
        (("boolean", "integer using value::integer"), "true, false", 0),
        (("jsonb", "json"), """'{"a": 1}', '[2]'""", 0),
        (("jsonb", "text"), """'{"a": 1}', '[2]'""", 0),
        (("text", "text[] using array[value]"), "'a', 'b'", 2),
    ],
)
def test_a_value_that_is_the_same_in_another_type_is_not_lost(
    database: str, tmp_path: Path, types: tuple[str, str], values: str, count: int
) -> None:
    before, after = types
    way = (f"create table typed (value {before});\n", "drop table typed;\n")
    wrote = "".join(f"insert into typed values ({value});" for value in values.split(", "))  # noqa: S608 - values above
    found = lost(
        database, tmp_path, way, ("select 1;\n", f"alter table typed alter value type {after};\n"), wrote=wrote
    )
    assert sum(saved.count for saved, _ in found.values()) == count


def test_equal_rows_are_counted(database: str, tmp_path: Path) -> None:
    bag = ("create table bag (x int);\n", "drop table bag;\n")
    down = "delete from bag where ctid = (select min(ctid) from bag);\n"
    found = lost(database, tmp_path, bag, ("select 1;\n", down), wrote="insert into bag values (1), (1), (1)")
    assert the_one(found, "public.bag") == (("x",), 1, "x\n1\n")


def test_what_only_a_cascade_deletes_is_saved(database: str, tmp_path: Path) -> None:
    child = (
        "alter table other add entry bigint references entry on delete cascade;\n",
        "delete from entry where id = 2;\nalter table other drop entry;\n",
    )
    wrote = THREE + "; insert into other (id, note, entry) values (1, 'child of two', 2), (2, 'nobody''s', null)"  # noqa: S608 - no input
    found = lost(database, tmp_path, ENTRY, child, wrote=wrote)
    assert found["public.other"][1] == "id,note,entry\n1,child of two,2\n"
    assert found["public.entry"][1] == "id,note,kind\n2,precious,new\n"


def test_a_table_that_the_downs_do_not_touch_is_not_read(database: str, tmp_path: Path) -> None:
    do(database, "create table big (x int)", "insert into big values (1)")
    lost(database, tmp_path, ENTRY, ("select 1;\n", "delete from entry;\n"), wrote=THREE)
    do(database, "select pg_stat_force_next_flush()")
    assert rows(database, "select seq_scan from pg_stat_user_tables where relname = 'big'") == [(0,)]


def test_where_the_server_counts_nothing_every_table_is_compared(database: str, tmp_path: Path) -> None:
    uncounted = f"{as_superuser(database)} options='-c track_counts=off'"
    found = lost(uncounted, tmp_path, ENTRY, ("select 1;\n", "delete from entry where id = 3;\n"), wrote=THREE)
    assert the_one(found, "public.entry")[1] == 1


def test_rows_that_a_down_deletes_are_not_lost_where_there_is_no_place_for_them(database: str, tmp_path: Path) -> None:
    migrations = sample(tmp_path, ENTRY, ("select 1;\n", "delete from entry where id > 1;\n"))
    apply(database, migrations, actor=ACTOR)
    do(database, THREE)
    with pytest.raises(MigrationFailed, match=r"would lose the rows of public\.entry \(2 rows: id, note, kind\), and"):
        roll_back(database, migrations, to=["0001"], actor=ACTOR)
    assert rows(database, "select count(*) from entry") == [(3,)]
    do(database, "delete from entry where id > 1")
    roll_back(database, migrations, to=["0001"], actor=ACTOR)


def test_odd_names_are_saved_like_any_other(database: str, tmp_path: Path) -> None:
    odd = ('create table "A ""b"" %s {c}" ("x %s" int, "row" text, "Gen" int generated always as ("x %s" + 1) stored);\n',
           'drop table "A ""b"" %s {c}";\n')  # fmt: skip
    down = 'delete from "A ""b"" %s {c}" where "row" = \'r\';\n'
    wrote = 'insert into "A ""b"" %s {c}" values (1, \'r\'), (2, \'s\')'
    found = lost(database, tmp_path, odd, ("select 1;\n", down), wrote=wrote)
    assert the_one(found, 'public."A ""b"" %s {c}"')[1:] == (1, "x %s,row,Gen\n1,r,2\n")


ENUM = ("create type sort as enum ('x', 'new');\nalter table other add sort sort;\n", "drop type sort cascade;\n")
NARROWED = """alter type sort rename to wide;
create type sort as enum ('x');
update other set sort = 'x' where sort = 'new';
alter table other alter sort type sort using sort::text::sort;
drop type wide;
"""
COLLATED = (
    "create collation fold (locale = 'C');\nalter table other add sort text collate fold;\n",
    "delete from other where sort = 'new'; alter table other drop sort; drop collation fold;\n",
)
DOMAIN = (
    "create domain word as text;\nalter table other add sort word;\n",
    "update other set note = null where sort = 'new'; drop domain word cascade;\n",
)


@pytest.mark.parametrize(
    "way,text",
    [
        ((ENUM[0], "delete from other where sort = 'new'; alter table other drop sort; drop type sort;\n"), "1,a,x\n2,b,new\n"),
        ((ENUM[0], "delete from other where sort = 'new'; drop type sort cascade;\n"), "1,a,x\n2,b,new\n"),
        ((ENUM[0], NARROWED), "2,b,new\n"),
        (COLLATED, "1,a,x\n2,b,new\n"),
        (DOMAIN, "1,a,x\n2,b,new\n"),
    ],
    ids=["deleted", "cascade", "fewer labels", "collation", "domain"],
)  # fmt: skip
def test_rows_are_saved_whole_where_a_down_drops_the_type_of_a_column(
    each_database: str, tmp_path: Path, way: tuple[str, str], text: str
) -> None:
    wrote = "insert into other values (1, 'a', 'x'), (2, 'b', 'new')"
    found = lost(each_database, tmp_path, ENTRY, way, wrote=wrote)
    assert the_one(found, "public.other")[2] == f"id,note,sort\n{text}"


def test_an_attribute_of_a_composite_type_that_a_down_drops_is_saved(each_database: str, tmp_path: Path) -> None:
    """The server hides it in each row, and writes none."""
    first = ("create type address as (street text);\ncreate table p (id int, at address[]);\n", "drop table p;\n")
    way = ("alter type address add attribute zip text;\n", "alter type address drop attribute zip;\n")
    found = lost(each_database, tmp_path, first, way, wrote="insert into p values (1, array[('s', 'z')::address])")
    assert the_one(found, "public.p") == (("at",), 1, 'id,at\n1,"{""(s,z)""}"\n')


def test_a_partition_that_only_the_second_run_of_the_downs_touches_is_saved(database: str, tmp_path: Path) -> None:
    """As where another session writes to it in between; a sequence is not taken back to a savepoint."""
    down = """do $$ begin
        delete from m_2026;
        if nextval('runs') > 1 then delete from m_2027; end if;
    end $$;
    drop sequence runs;
    """
    found = lost(database, tmp_path, PARTITIONED, (f"create sequence runs;\n{M_2027}", down), wrote=TWO_YEARS)
    assert the_one(found, "public.m")[2] == "id,at,note\n1,2026-05-01,old\n2,2027-05-01,precious\n"


def test_rows_of_a_table_that_a_partitioned_one_takes_the_place_of_are_not_lost(database: str, tmp_path: Path) -> None:
    down = """alter table other rename to old;
    create table other (id bigint, note text) partition by range (id);
    create table other_rest partition of other default;
    insert into other select * from old;
    drop table old;
    """
    wrote = "insert into other values (1, 'a'), (2, 'b')"
    assert lost(database, tmp_path, ENTRY, ("select 1;\n", down), wrote=wrote) == {}
