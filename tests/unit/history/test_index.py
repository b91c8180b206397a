"""The index says what the log says: however it came to be, whatever was asked, and whatever became of its file."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_deploy.errors import RecordTampered
from pytest_deploy.history.history import History
from pytest_deploy.history.index import Index, Stale, log_size
from pytest_deploy.history.runs import OUTCOMES, Row, RunQuery
from pytest_deploy.record import log_entry as entries
from pytest_deploy.record.clock import stamp
from pytest_deploy.record.event import Event, parse_line
from pytest_deploy.record.key import FileSigner
from pytest_deploy.record.transitions import PIPELINE_OUTCOMES
from tests.scale.generated_record import BEGINS, EVERY, Writer, generate
from tests.unit.history.full_scan import scan
from tests.unit.record.sample_record import SHA as SHA256
from tests.unit.record.sample_record import (
    HandClock,
    RunWriter,
    closed,
    decided,
    deployed,
    open_log,
    opened_data,
    step_finished,
    verdict,
)

RUNS = [f"local-20261122T12000{number}Z-000{number}" for number in range(5)]

stamps = st.integers(-5, 65).map(lambda number: stamp(BEGINS + EVERY * number))
questions = st.builds(
    RunQuery,
    since=st.just("") | stamps,
    until=st.just("") | stamps,
    commit=st.sampled_from(["", "", "0", "a", "5e", "ff"]),
    digest=st.sampled_from(["", "", "sha256:", "sha256:a", "sha256:12"]),
    version=st.sampled_from(["", "", "", "1.0.7", "1.0.14", "2.0"]),
    deployer=st.sampled_from(["", "", "dora3", "DORA", "github:10", "nobody"]),
    approver=st.sampled_from(["", "", "quinn", "Tina@", "example.org", "nobody"]),
    outcomes=st.lists(st.sampled_from(OUTCOMES), max_size=3).map(tuple),
    pipelines=st.lists(st.sampled_from(sorted(PIPELINE_OUTCOMES)), max_size=2).map(tuple),
    migration=st.sampled_from(["", "", "", "000005", "000026", "999999"]),
    requirement=st.sampled_from(["", "", "", "REQ-o00006", "REQ-o00006-B", "REQ-o0000"]),
)


def rows(store: Path, state: Path, asked: RunQuery | None = None) -> list[Row]:
    with History({"it": store}, state) as history:
        return [one.row for one in history.runs(asked or RunQuery()).runs]


def read_all(store: Path) -> list[Event]:
    return [parse_line(path.read_bytes().partition(b"\n")[0] + b"\n") for path in sorted((store / "log").iterdir())]


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(asked=questions)
def test_every_question_is_answered_as_a_scan_of_the_log_answers_it(
    history: History, events: tuple[Event, ...], asked: RunQuery
) -> None:
    listing = history.runs(asked)

    assert scan(events, asked) == [one.row for one in listing.runs]
    assert listing.total == len(listing.runs)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(asked=questions, limit=st.integers(1, 70))
def test_a_limit_leaves_the_newest(history: History, events: tuple[Event, ...], asked: RunQuery, limit: int) -> None:
    listing = history.runs(asked, limit=limit)

    assert scan(events, asked)[:limit] == [one.row for one in listing.runs]
    assert len(scan(events, asked)) == listing.total


told = st.sampled_from(
    [
        ("request.made", {"request_sha256": SHA256, "expires": None, "requested_by": "ada@example.org", "version": "9"}),
        ("request.voided", {"cause": "drift"}),
        ("run.opened", opened_data(version="1.0")),
        ("run.opened", opened_data("smoke", image=f"diary@sha256:{SHA256}", dirty=True)),
        ("lease.renewed", {"name": "local", "until": "2026-11-22T12:00:00.000Z", "fence": 1}),
        ("step.finished", {**step_finished("a::b", "smoke"), "verifies": ["REQ-o00001-A", "REQ-o00001-B"]}),
        ("revision.deployed", {"revision": "r-1", "image": f"x@sha256:{SHA256}", "url": None, "env_names": []}),
        ("override.signed", {"file": "f", "sha256": SHA256, "signature_sha256": SHA256, "signer": "a@b", "reason": "r", "gate": "window"}),
        ("gate.refused", verdict("window", "refused", reason="closed")),
        ("gate.refused", verdict("approvals", "still-needed", reason="missing: QA Lead", remedy="sign")),
        ("gate.passed", verdict("window", "passed")),
        ("gate.passed", verdict("approvals", "passed", inputs={"override": {"by": ["a", "b"]}})),
        ("gate.not-applicable", verdict("window", "not-applicable")),
        ("run.decided", decided("deployed")),
        ("run.closed", closed("deployed", "r")),
        ("run.abandoned", {"cause": "gone", "found_sha256": SHA256}),
    ]
)  # fmt: skip


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(happened=st.lists(st.tuples(st.sampled_from([*RUNS, "-"]), told), max_size=40), data=st.data())
def test_any_log_grown_in_any_pieces_is_indexed_as_a_scan_reads_it(
    tmp_path_factory: pytest.TempPathFactory,
    happened: list[tuple[str, tuple[str, dict[str, object]]]],
    data: st.DataObject,
) -> None:
    """Legal or not: what the index tells is a question of the events alone."""
    home = tmp_path_factory.mktemp("any")
    open_log(home, HandClock())
    store = home / "reports" / "local"
    writer = Writer(store, FileSigner.open(home / "keys" / "local.pem"))
    for run, (event_type, content) in happened:
        writer.write(event_type, content, run, "2026-11-22T12:00:00.000Z")
        if data.draw(st.integers(0, 9)) == 0:
            rows(store, home / "state")

    asked = data.draw(
        st.sampled_from(
            [
                *(RunQuery(outcomes=outcomes) for outcomes in ((), ("deployed",), ("refused",))),
                RunQuery(requirement="REQ-o00001"),
            ]
        )
    )

    assert sorted(scan(read_all(store), asked), key=lambda row: row.run) == sorted(
        rows(store, home / "state", asked), key=lambda row: row.run
    )


def test_what_is_new_is_read_and_nothing_else(generated: Path, events: Sequence[Event], tmp_path: Path) -> None:
    store = tmp_path / "growing"
    shutil.copytree(generated, store)
    later = [store / entries.name(seq) for seq in range(len(events) // 2, len(events))]
    for path in later:
        path.rename(tmp_path / path.name)
    half = rows(store, tmp_path / "state")
    for path in later:
        (tmp_path / path.name).rename(path)
    # An event long since read is now unreadable: a builder that began again would stop at it.
    (store / entries.name(3)).write_bytes(b"")

    assert len(half) < len(rows(store, tmp_path / "state", RunQuery(since=half[0].began)))


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda place: place.write_bytes(b"no database"), id="no database"),
        pytest.param(lambda place: place.write_bytes(b""), id="empty"),
        pytest.param(lambda place: os.truncate(place, place.stat().st_size // 2), id="half of it"),
        pytest.param(lambda place: place.unlink(), id="gone"),
        pytest.param(lambda place: run_sql(place, "DELETE FROM state"), id="no state"),
        pytest.param(lambda place: run_sql(place, "UPDATE state SET version = 0"), id="another version"),
        pytest.param(lambda place: run_sql(place, "UPDATE state SET origin = 'x'"), id="another origin"),
        pytest.param(lambda place: run_sql(place, "UPDATE state SET root = 'x'"), id="another root"),
        pytest.param(lambda place: run_sql(place, "DELETE FROM events WHERE seq = 9"), id="an event lost"),
        pytest.param(lambda place: run_sql(place, "DROP TABLE facts"), id="a table lost"),
        pytest.param(lambda place: run_sql(place, "UPDATE runs SET outcome = 'deployed'"), id="outcomes changed"),
        pytest.param(lambda place: run_sql(place, "UPDATE runs SET events = '[]'"), id="rows emptied"),
        pytest.param(lambda place: run_sql(place, "UPDATE runs SET deployer = replace(deployer, 'dora', 'eve')"), id="rows edited"),
    ],
)  # fmt: skip
def test_a_damaged_index_is_built_anew(
    generated: Path, events: tuple[Event, ...], tmp_path: Path, spoil: object
) -> None:
    assert callable(spoil)
    asked = RunQuery(outcomes=("deployed",), requirement="REQ-o00006")
    before = rows(generated, tmp_path, asked)
    (place,) = tmp_path.glob("*.sqlite")
    spoil(place)

    assert before == rows(generated, tmp_path, asked) == scan(events, asked)
    assert before


def run_sql(place: Path, statement: str) -> None:
    with closing(sqlite3.connect(place)) as connection, connection:
        connection.execute(statement)


def test_the_index_of_another_log_is_not_believed(generated: Path, tmp_path: Path) -> None:
    """The log of the same origin and length is exchanged under the index: only its root tells."""
    other = generate(tmp_path / "other", 60)
    place = tmp_path / "one.sqlite"
    Index.open(generated, place).close()
    with closing(Index.open(other, place)) as index:
        newest = entries.parse((other / entries.name(index.state.size - 1)).read_bytes())

        assert newest.event == index.event(newest.event.seq)


def test_a_log_that_lost_its_tail_is_indexed_as_it_is(generated: Path, tmp_path: Path) -> None:
    store = tmp_path / "cut"
    shutil.copytree(generated, store)
    before = rows(store, tmp_path / "state")
    newest = max((store / "log").iterdir())
    for seq in range(int(newest.stem) - 40, int(newest.stem) + 1):
        (store / entries.name(seq)).unlink()

    assert len(rows(store, tmp_path / "state")) < len(before)


def test_an_event_changed_after_it_was_indexed_is_no_answer(generated: Path, tmp_path: Path) -> None:
    store = tmp_path / "edited"
    shutil.copytree(generated, store)
    (run, *_) = rows(store, tmp_path / "state")
    path = store / entries.name(run.events[0])
    path.write_bytes(path.read_bytes().replace(b"dora", b"doro"))

    with pytest.raises(RecordTampered, match=f"{path.name}.*verify"):
        rows(store, tmp_path / "state")


def test_an_event_is_given_out_only_as_it_was_indexed(generated: Path, tmp_path: Path) -> None:
    store = tmp_path / "swapped"
    shutil.copytree(generated, store)
    with closing(Index.open(store, tmp_path / "one.sqlite")) as index:
        head = index.state.size - 1
        shutil.copy(store / entries.name(head - 1), store / entries.name(head))

        assert index.event(head - 1).seq == head - 1
        with pytest.raises(Stale, match="not the event it was"):
            index.event(head)
        (store / entries.name(head)).write_bytes(b"")
        with pytest.raises(Stale, match="no canonical JSON"):
            index.event(head)


def test_the_file_is_the_owners_alone(generated: Path, tmp_path: Path) -> None:
    Index.open(generated, tmp_path / "deep" / "one.sqlite").close()

    assert stat.S_IMODE((tmp_path / "deep" / "one.sqlite").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["one.sqlite"]


def test_where_no_file_can_be_kept_the_index_lives_in_memory(generated: Path, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")

    assert len(rows(generated, tmp_path / "state")) == 60


def test_an_index_is_never_kept_in_the_store(generated: Path, tmp_path: Path) -> None:
    before = sorted(path.name for path in generated.iterdir())
    rows(generated, tmp_path)

    assert before == sorted(path.name for path in generated.iterdir())


def test_a_run_that_goes_on_is_told_as_far_as_it_came(tmp_path: Path) -> None:
    log = open_log(tmp_path, HandClock())
    store = tmp_path / "reports" / "local"
    run = RunWriter(log).open()
    before = rows(store, tmp_path)
    run.step("build").request().step("traffic", changes=True).close("deployed")

    assert [found[0].outcome for found in (before, rows(store, tmp_path))] == ["in-progress", "deployed"]


def test_readers_at_once_build_one_index(tmp_path: Path) -> None:
    deployed(log := open_log(tmp_path, HandClock()))
    store, place = tmp_path / "reports" / "local", tmp_path / "one.sqlite"
    Index.open(store, place).close()
    with closing(Index.open(store, place)) as first:
        deployed(log)
        second = Index.open(store, place)
        first._grow()

        assert first.state == second.state
        second.close()


@pytest.mark.parametrize("known", [0, 1, 7, 300])
def test_the_length_of_a_log_is_found_from_any_known_beginning(tmp_path: Path, known: int) -> None:
    (tmp_path / "log").mkdir()
    for seq in range(300):
        (tmp_path / entries.name(seq)).touch()

    assert log_size(tmp_path, known) == 300


@pytest.mark.parametrize(
    "indexed, gap, tail", [(False, 1, 1), (False, 200, 1), (True, 1, 1), (True, 50, 1), (True, 200, 200)]
)
def test_a_log_with_a_gap_is_no_shorter_log(
    generated: Path, tmp_path: Path, *, indexed: bool, gap: int, tail: int
) -> None:
    """Half an answer would be taken for the whole: where later events lie, a missing one is said."""
    store = tmp_path / "gap"
    shutil.copytree(generated, store)
    size = int(max((store / "log").iterdir()).stem) + 1
    first = size - tail - gap
    later = [store / entries.name(seq) for seq in range(first, size)]
    for path in later:
        path.rename(tmp_path / path.name)
    if indexed:  # up to the gap: what lies behind it was never read
        rows(store, tmp_path / "state")
    for path in later[gap:]:
        (tmp_path / path.name).rename(path)

    with pytest.raises(RecordTampered, match=rf"{first:08d}\.event.*verify"):
        rows(store, tmp_path / "state")
