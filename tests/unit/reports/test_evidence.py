"""The files of a run are put into its folder one by one: what fails is named and takes nothing else with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.record.event import Event
from pytest_deploy.record.run_folder import RunFolder
from pytest_deploy.record.store import FolderStore
from pytest_deploy.reports import evidence
from tests.unit.reports import runs
from tests.unit.reports.runs import CHECKPOINT, Telling

FILES = {"junit.xml", "pytest.html", "allure-results/1-result.json", "statement.json", "report.html"}


class Closing:
    """A run about to be closed, and what pytest's report writers left of it."""

    def __init__(self, home: Path, events: list[Event]) -> None:
        self.events = events
        self.folder = RunFolder(FolderStore(home), events[0].run)
        self.session = home / "session"
        (self.session / "allure-results").mkdir(parents=True)
        for name in ("junit.xml", "pytest.html", "allure-results/1-result.json"):
            (self.session / name).write_text(name, encoding="utf-8")

    def write(self) -> tuple[str, ...]:
        return evidence.write(
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
    telling = Telling()
    telling.opened()
    telling.step("suites/build/test_a.py::test_it")
    telling.decided("passed")
    return telling.events


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
    closing = Closing(tmp_path, [event for event in runs.deployed() if event.type != "request.made"])
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


def test_what_the_report_writers_left_can_be_forgotten(closing: Closing) -> None:
    evidence.remove(closing.session)
    evidence.remove(closing.session)

    assert not closing.session.exists()
