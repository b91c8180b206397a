"""reports/index.html is made from the logs, from their ends, whatever else they hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_deploy.reports import index
from tests.unit.record.samples import Writing, deployed, open_log
from tests.unit.reports.parsed import parse


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """A store with three runs: two deployed, one in progress."""
    log = open_log(tmp_path)
    deployed(log)
    deployed(log)
    Writing(log).open()
    return tmp_path / "reports"


def shown(reports: Path) -> list[str]:
    page = parse((reports / "index.html").read_text(encoding="utf-8"))
    return [row.attributes["data-outcome"] for row in page.one("table", id="runs").one("tbody").all("tr")]


def test_every_run_of_a_store_is_listed(reports: Path) -> None:
    index.write(reports)

    assert sorted(shown(reports)) == ["deployed", "deployed", "in progress"]
    page = parse((reports / "index.html").read_text(encoding="utf-8"))
    assert len(list(page.one("table", id="runs").all("a"))) == 2
    assert [e for e in page.all("p") if "data-older" in e.attributes] == []


def test_of_many_runs_the_newest_are_read_and_the_rest_is_named(reports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index.newest, "__defaults__", (2,))

    index.write(reports)

    assert sorted(shown(reports)) == ["deployed", "in progress"]
    page = parse((reports / "index.html").read_text(encoding="utf-8"))
    assert "deploy.py history" in page.one("p", data_older="local").text


def test_reading_stops_where_enough_runs_are_known(reports: Path) -> None:
    runs, first = index.newest(reports / "local", 1)

    assert len(runs) == 1
    for path in (reports / "local" / "log").glob("*.event"):
        if int(path.stem) < first:
            path.chmod(0o644)
            path.write_bytes(b"not read")
    assert index.newest(reports / "local", 1) == (runs, first)


def test_the_page_is_replaced_whole(reports: Path) -> None:
    index.write(reports)
    index.write(reports)

    assert [path.name for path in reports.iterdir() if path.is_file()] == ["index.html"]


def test_a_log_that_cannot_be_read_is_named_and_takes_no_other_with_it(reports: Path) -> None:
    log = reports / "staging" / "log"
    log.mkdir(parents=True)
    (log / "00000000.event").write_text('{"type":"run.opened" and no more\n', encoding="utf-8")

    (told,) = index.write(reports)

    assert "staging, whose log cannot be read" in told
    assert sorted(shown(reports)) == ["deployed", "deployed", "in progress"]
    page = parse((reports / "index.html").read_text(encoding="utf-8"))
    assert "deploy.py verify reports/staging" in page.one("p", data_unread="staging").text


def test_a_page_that_cannot_be_written_is_said_and_raises_nothing(reports: Path) -> None:
    (reports / "index.html").mkdir()

    (told,) = index.write(reports)

    assert "reports/index.html was not written" in told


def test_the_page_says_when_it_was_made(reports: Path) -> None:
    assert index.write(reports) == ()

    page = parse((reports / "index.html").read_text(encoding="utf-8"))
    assert "as known" in page.one("header").text
    assert page.one("header").one("time").attributes["datetime"].endswith("Z")
