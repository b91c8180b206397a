"""Every answer a step measured is kept: in its event, or, where they are many, in a file that the event binds."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.errors import UsageError
from pytest_deploy.pipeline.step_record import MAX_INLINE_SAMPLES, StepEnded, StepRecord, Timings, file_of, watched
from pytest_deploy.pipeline.steps_lock import Step
from pytest_deploy.record import events
from pytest_deploy.record.run_folder import RunFolder
from pytest_deploy.record.store import FolderStore
from tests.unit.record.sample_record import step_finished
from tests.unit.reports.sample_runs import RunBuilder


class Folder(dict[str, bytes]):
    def attach(self, name: str, content: bytes) -> str:
        self[name] = content
        return "0" * 64


def test_each_answer_is_kept_with_its_time_and_status() -> None:
    measured, folder = Timings(), Folder()
    measured.add("GET /health", 0.0312, 200)
    measured.add("GET /health", 30.0, 0)
    measured.add("select 1", 0.001)

    told = measured.summary("samples.json", folder.attach)

    assert told is not None
    assert [sample[1:] for sample in told["samples"]["GET /health"]] == [[0.0312, 200], [30.0, 0]]
    assert [sample[1:] for sample in told["samples"]["select 1"]] == [[0.001, None]]
    assert folder == {}
    events.parse("step.finished", step_finished("suites/smoke/test_a.py::test_it", "smoke") | {"measured": told})


def test_an_answers_time_is_when_it_was_asked_for_and_never_before_the_step() -> None:
    measured = Timings()
    measured.add("slow", 5.0)

    told = measured.summary("", Folder().attach)

    assert told is not None
    assert told["samples"]["slow"][0][0] == 0.0


def test_a_step_that_measured_nothing_says_nothing() -> None:
    assert Timings().summary("samples.json", Folder().attach) is None


def test_limit_and_watch_are_said_where_they_are_known() -> None:
    measured = Timings()
    measured.limit_s, measured.watch_s = 2, 900.12345

    assert measured.summary("", Folder().attach) == {"limit_s": 2.0, "watch_s": 900.123}


@given(st.integers(min_value=MAX_INLINE_SAMPLES - 2, max_value=MAX_INLINE_SAMPLES + 2), st.booleans())
def test_many_answers_go_into_a_file_and_none_is_lost(count: int, several: bool) -> None:  # noqa: FBT001 -- hypothesis gives it
    measured, folder = Timings(), Folder()
    for at in range(count):
        measured.add(f"GET /{at % 2 if several else 0}", 0.01, 200)

    told = measured.summary("samples.json", folder.attach)

    assert told is not None
    assert ("file" in told) == (count > MAX_INLINE_SAMPLES)
    kept = json.loads(folder["samples.json"]) if "file" in told else told
    assert count == sum(map(len, kept["samples"].values())) == told.get("count", count)


def test_many_different_calls_go_into_a_file_too() -> None:
    measured, folder = Timings(), Folder()
    for at in range(MAX_INLINE_SAMPLES // 5):
        measured.add(f"GET /entries/{at:060d}", 0.01, 200)

    told = measured.summary("samples.json", folder.attach)

    assert told == {"file": "samples.json", "count": MAX_INLINE_SAMPLES // 5}


@pytest.mark.parametrize("count", [1, MAX_INLINE_SAMPLES])
def test_what_an_event_holds_fits_into_an_event(count: int) -> None:
    measured = Timings()
    for at in range(count):
        measured.add(f"GET /entries/{at % (MAX_INLINE_SAMPLES // 10):060d}/with/a/long/name", 12.3456, 200)
    builder = RunBuilder()
    builder.opened()

    builder.step("suites/health/test_a.py::test_it", measured=measured.summary("", Folder().attach))

    assert len(builder.events[-1].line()) < 65_535


@pytest.mark.parametrize("nodeid", ["suites/a/t.py::test[x/y]", "suites/a/t.py::test[x-y]", "suites/a/t.py::test[../..]", "suites/a/t.py::test[é\n]", "x" * 999])  # fmt: skip
def test_a_steps_file_has_a_name_that_any_folder_takes(tmp_path: Path, nodeid: str) -> None:
    folder = RunFolder(FolderStore(tmp_path), "local-20261122T201500Z-4f1c")

    assert folder.create(file_of(nodeid), b"{}").parent == folder.path / "samples"


def test_no_two_steps_share_a_file() -> None:
    assert file_of("suites/a/t.py::test[x/y]") != file_of("suites/a/t.py::test[x-y]")


def test_the_watch_of_a_run_is_that_of_its_steps() -> None:
    builder = RunBuilder()
    builder.opened()
    builder.step("suites/health/test_a.py::test_it", measured={"watch_s": 2.5})
    builder.step("suites/health/test_b.py::test_it")
    builder.step("suites/health/test_c.py::test_it", measured={"watch_s": 1.0, "file": "f", "count": 5})

    assert watched(builder.events) == 3.5


# --- what a step credits, and how it ends itself

STEP = Step("suites/smoke/test_a.py::test_it", "smoke", "always", changes=False, verifies=("REQ-x-H", "REQ-x-K"))


def step_record() -> StepRecord:
    """Of a step with two claims, whose events go nowhere."""
    environment: Any = SimpleNamespace(redact=str, redact_file=bytes, log=None, run="")
    return StepRecord(environment, STEP)


def test_a_mark_alone_credits_nothing() -> None:
    record = step_record()
    record.expect(1, 1)

    assert record.credited == []


@pytest.mark.parametrize(
    "named, credited", [((), ["REQ-x-H", "REQ-x-K"]), (("REQ-x-K",), ["REQ-x-K"])], ids=["all", "one"]
)
def test_what_a_step_says_it_exercised_is_credited(named: tuple[str, ...], credited: list[str]) -> None:
    record = step_record()
    record.expect(1, 1)

    record.verified(*named)
    record.verified(*named)

    assert record.credited == credited


def test_what_no_mark_claims_cannot_be_credited() -> None:
    record = step_record()
    record.expect(1, 1)

    with pytest.raises(UsageError, match="REQ-x-Z: no requirement mark of this step names it here"):
        record.verified("REQ-x-Z")


def test_nothing_is_credited_without_evidence() -> None:
    with pytest.raises(UsageError, match="state first what was expected and found"):
        step_record().verified()


def test_a_step_that_ends_itself_says_how_and_why() -> None:
    record = step_record()

    with pytest.raises(StepEnded, match="not applicable: no migration is pending"):
        record.not_applicable("no migration is pending")

    assert record.ended == ("not-applicable", "no migration is pending")
