"""What a page shows of the run folder is what the record names by digest; anything else is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_deploy.errors import RecordTampered
from pytest_deploy.record.event import Event
from pytest_deploy.reports import attachments
from pytest_deploy.reports.attachments import Bound
from pytest_deploy.reports.run_page import render_run
from tests.unit.reports.parsed import parse
from tests.unit.reports.runs import CHECKPOINT, Telling

RUN, PLAN = "local-20261122T190000Z-0b5d", "local-20261122T180000Z-71a0"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Store:
    """Run folders with the events that name their files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.told: dict[str, Telling] = {}

    def put(self, run: str, name: str, content: bytes) -> str:
        place = self.path / "runs" / run / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        return digest(content)

    def open(self, run: str, **opened: Any) -> Telling:
        telling = self.told[run] = Telling(run=run)
        telling.opened(**opened)
        return telling

    def request(self, run: str, **said: Any) -> None:
        """A run's request.json and the event that binds it."""
        sha256 = self.put(run, "request.json", json.dumps(said).encode())
        self.told[run].add("request.made", request_sha256=sha256, expires=None, requested_by="ada")

    def of_run(self, run: str) -> Sequence[Event]:
        return self.told[run].events

    def read(self, run: str) -> Bound:
        return attachments.read(self.path / "runs" / run, self.of_run(run), self.of_run)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_a_run_without_files_shows_none(store: Store) -> None:
    store.open(RUN)

    assert store.read(RUN) == Bound()


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
    store.told[PLAN].decided("passed", request=RUN, earliest_start=None, owed=[])
    store.open(RUN)
    store.request(RUN, plan={"run": PLAN, "schema_diff_sha256": planned}, migrations=[])


@pytest.mark.parametrize("run", [RUN, PLAN])
def test_run_and_plan_show_the_planned_diff_and_the_plans_gates(store: Store, run: str) -> None:
    with_a_plan(store)

    found = store.read(run)

    assert found.diff is not None
    assert (found.diff.what, found.diff.file) == ("planned", f"runs/{PLAN}/schema/planned.diff")
    assert [event.type for event in found.plan] == ["run.opened", "gate.passed", "run.decided"]


def test_what_was_applied_is_shown_rather_than_what_was_planned(store: Store) -> None:
    with_a_plan(store)
    sha256 = store.put(RUN, "schema/diff.txt", b"")
    store.told[RUN].step("suites/migration/test_a.py::test_it", attachments={"schema/diff.txt": sha256})

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
        store.told[RUN].step(nodeid, attachments={attached: sha256})
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

    page = render_run(store.of_run(RUN), checkpoint=CHECKPOINT, bound=store.read(RUN))

    assert "None was applied or rolled back; the release holds 2." in page


def test_many_samples_are_drawn_from_their_bound_file(store: Store) -> None:
    samples = [[at / 10, 0.01, 200] for at in range(1200)]
    sha256 = store.put(RUN, "samples/health.json", json.dumps({"samples": {"GET /": samples}, "limit_s": 2.0}).encode())
    store.open(RUN).step(
        "suites/health/test_a.py::test_it", measured={"file": "samples/health.json", "count": 1200, "watch_s": 120.0},
        attachments={"samples/health.json": sha256},
    )  # fmt: skip

    page = parse(render_run(store.of_run(RUN), checkpoint=CHECKPOINT, bound=store.read(RUN)))

    assert len(list(page.one("tr", data_label="GET /").all("rect", class_="sample"))) == 1200
    assert len(list(page.one("ol", class_="samples").all("li"))) == 1200
