"""The files of a run are put into its folder one by one: what fails is named and takes nothing else with it. What a page shows of them is what the record names by digest; anything else is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.errors import RecordTampered
from pytest_deploy.record.event import Event
from pytest_deploy.record.run_folder import RunFolder
from pytest_deploy.record.store import FolderStore
from pytest_deploy.reports.evidence import write_evidence
from pytest_deploy.reports.run_page import PageFiles, page_files, render_run
from tests.unit.reports import sample_runs
from tests.unit.reports.parsed_page import parse
from tests.unit.reports.sample_runs import CHECKPOINT, RunBuilder

FILES = {"junit.xml", "pytest.html", "allure-results/1-result.json", "statement.json", "report.html"}


class Closing:
    """A run about to be closed, and what pytest's report writers left of it."""

    def __init__(self, home: Path, events: list[Event]) -> None:
        self.events = events
        self.folder = RunFolder(FolderStore(home), events[0].run)
        self.session = home / "session"
        (self.session / "allure-results").mkdir(parents=True)
        for name in ("junit.xml", "pytest.html", "allure-results/1-result.json"):
            text = f"<html><head></head>{name}</html>" if name.endswith(".html") else name
            (self.session / name).write_text(text, encoding="utf-8")

    def write(self) -> tuple[str, ...]:
        return write_evidence(
            self.folder,
            self.events,
            files=self.session,
            checkpoint=CHECKPOINT,
            redact=lambda content: content.replace(b"hunter2", b"[PASSWORD]"),
            of_run=lambda run: self.events,
        )

    def names(self) -> set[str]:
        top = self.folder.path
        return {path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file()}


def plain() -> list[Event]:
    """A run that attached nothing and made no request."""
    builder = RunBuilder()
    builder.opened()
    builder.step("suites/build/test_a.py::test_it")
    builder.decided("passed")
    return builder.events


@pytest.fixture
def closing(tmp_path: Path) -> Closing:
    return Closing(tmp_path, plain())


def test_every_file_is_written(closing: Closing) -> None:
    assert closing.write() == ()
    assert closing.names() == FILES


def test_secrets_are_cut_from_what_others_wrote(closing: Closing) -> None:
    (closing.session / "junit.xml").write_text("hunter2", encoding="utf-8")

    closing.write()

    assert (closing.folder.path / "junit.xml").read_bytes() == b"[PASSWORD]"


@pytest.mark.parametrize("name", ["junit.xml", "pytest.html", "allure-results"])
def test_what_a_report_writer_did_not_leave_is_missing_and_the_rest_is_there(closing: Closing, name: str) -> None:
    gone = closing.session / name
    if gone.is_dir():
        (gone / "1-result.json").unlink()
        gone.rmdir()
    else:
        gone.unlink()

    assert closing.write() == (name,)
    assert closing.names() == {file for file in FILES if not file.startswith(name)}


@pytest.mark.parametrize("name", ["junit.xml", "statement.json"])
def test_a_file_that_lies_there_already_is_not_replaced_but_named(
    closing: Closing, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    closing.folder.create(name, b"forged")

    assert closing.write() == (name,)
    assert (closing.folder.path / name).read_bytes() == b"forged"
    assert closing.names() == FILES
    assert f"{name} could not be rendered" in capsys.readouterr().err


def test_a_report_whose_files_are_not_the_recorded_ones_is_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The events name a schema diff by digest; another lies there."""
    closing = Closing(tmp_path, [event for event in sample_runs.deployed() if event.type != "request.made"])
    closing.folder.create("schema/diff.txt", b"+ something else")

    assert closing.write() == ("report.html",)
    assert "is not the file the record names" in capsys.readouterr().err
    assert "statement.json" in closing.names()


def test_a_report_of_a_process_that_was_killed_after_it_is_kept(closing: Closing) -> None:
    closing.folder.create("report.html", b"the report")

    assert closing.write() == ()
    assert (closing.folder.path / "report.html").read_bytes() == b"the report"


def test_a_folder_that_was_sealed_before_is_left_and_what_it_lacks_is_named(closing: Closing) -> None:
    (closing.session / "junit.xml").unlink()
    closing.write()
    closing.folder.seal()
    sealed = closing.names()
    (closing.session / "junit.xml").write_text("late", encoding="utf-8")

    assert closing.write() == ("junit.xml",)
    assert closing.names() == sealed


# What a page shows of the folder.


RUN, PLAN = "local-20261122T190000Z-0b5d", "local-20261122T180000Z-71a0"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Store:
    """Run folders with the events that name their files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs: dict[str, RunBuilder] = {}

    def put(self, run: str, name: str, content: bytes) -> str:
        place = self.path / "runs" / run / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        return digest(content)

    def open(self, run: str, **opened: Any) -> RunBuilder:
        builder = self.runs[run] = RunBuilder(run=run)
        builder.opened(**opened)
        return builder

    def request(self, run: str, **said: Any) -> None:
        """A run's request.json and the event that binds it."""
        sha256 = self.put(run, "request.json", json.dumps(said).encode())
        self.runs[run].add("request.made", request_sha256=sha256, expires=None, requested_by="ada")

    def of_run(self, run: str) -> Sequence[Event]:
        return self.runs[run].events

    def read(self, run: str) -> PageFiles:
        return page_files(self.path / "runs" / run, self.of_run(run), self.of_run)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_a_run_without_files_shows_none(store: Store) -> None:
    store.open(RUN)

    assert store.read(RUN) == PageFiles()


def test_the_applied_diff_is_read_with_its_digest(store: Store) -> None:
    sha256 = store.put(RUN, "schema/diff.txt", b"+create table x\n")
    store.open(RUN).step("suites/migration/test_a.py::test_it", attachments={"schema/diff.txt": sha256})

    diff = store.read(RUN).diff

    assert diff is not None
    assert (diff.what, diff.file, diff.sha256, diff.text, diff.more) == (
        "applied", f"runs/{RUN}/schema/diff.txt", sha256, "+create table x", 0,
    )  # fmt: skip


def test_of_a_long_diff_the_first_lines_are_read_and_the_rest_counted(store: Store) -> None:
    sha256 = store.put(RUN, "schema/diff.txt", b"+x\n" * 2000)
    store.open(RUN).step("suites/migration/test_a.py::test_it", attachments={"schema/diff.txt": sha256})

    diff = store.read(RUN).diff

    assert diff is not None
    assert (len(diff.text.splitlines()), diff.more) == (1500, 500)


def with_a_plan(store: Store) -> None:
    """A run whose request was planned, and the plan that asks for it."""
    planned = store.put(PLAN, "schema/planned.diff", b"-- no migration is pending\n")
    store.open(PLAN, pipeline="plan").gate("window", "plan")
    store.runs[PLAN].decided("passed", request=RUN, earliest_start=None, owed=[])
    store.open(RUN)
    store.request(RUN, plan={"run": PLAN, "schema_diff_sha256": planned}, migrations=[])


@pytest.mark.parametrize("run", [RUN, PLAN])
def test_run_and_plan_show_the_planned_diff_and_the_plans_gates(store: Store, run: str) -> None:
    with_a_plan(store)

    found = store.read(run)

    assert found.diff is not None
    assert (found.diff.what, found.diff.file) == ("planned", f"runs/{PLAN}/schema/planned.diff")
    # A plan's own page shows its events already: none of them twice.
    assert [event.type for event in found.plan] == ([] if run == PLAN else ["run.opened", "gate.passed", "run.decided"])


def test_what_was_applied_is_shown_rather_than_what_was_planned(store: Store) -> None:
    with_a_plan(store)
    sha256 = store.put(RUN, "schema/diff.txt", b"")
    store.runs[RUN].step("suites/migration/test_a.py::test_it", attachments={"schema/diff.txt": sha256})

    diff = store.read(RUN).diff

    assert diff is not None
    assert diff.what == "applied"


@pytest.mark.parametrize("name", ["request.json", "schema/diff.txt", "samples/health.json"])
@pytest.mark.parametrize("how", ["changed", "removed"])
def test_a_file_that_is_not_the_recorded_one_is_refused_by_name(store: Store, name: str, how: str) -> None:
    store.open(RUN)
    store.request(RUN, plan=None)
    for attached in ("schema/diff.txt", "samples/health.json"):
        sha256 = store.put(RUN, attached, b"{}")
        nodeid = f"suites/migration/test_{attached[:6]}.py::test_it"
        store.runs[RUN].step(nodeid, attachments={attached: sha256})
    place = store.path / "runs" / RUN / name
    if how == "changed":
        place.write_bytes(b"{ }")
    else:
        place.unlink()

    with pytest.raises(RecordTampered, match=name):
        store.read(RUN)


def test_a_request_names_its_migrations(store: Store) -> None:
    store.open(RUN)
    store.request(RUN, plan=None, migrations=[{"version": "0001"}, {"version": "0002"}])

    page = render_run(store.of_run(RUN), checkpoint=CHECKPOINT, files=store.read(RUN))

    assert "None was applied or rolled back; the release holds 2." in page


def test_many_samples_are_drawn_from_their_bound_file(store: Store) -> None:
    samples = [[at / 10, 0.01, 200] for at in range(1200)]
    sha256 = store.put(RUN, "samples/health.json", json.dumps({"samples": {"GET /": samples}, "limit_s": 2.0}).encode())
    store.open(RUN).step(
        "suites/health/test_a.py::test_it", measured={"file": "samples/health.json", "count": 1200, "watch_s": 120.0},
        attachments={"samples/health.json": sha256},
    )  # fmt: skip

    page = parse(render_run(store.of_run(RUN), checkpoint=CHECKPOINT, files=store.read(RUN)))

    assert len(list(page.one("tr", data_label="GET /").all("rect", class_="sample"))) == 1200
    assert len(list(page.one("ol", class_="samples").all("li"))) == 1200
