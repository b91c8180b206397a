"""reports/index.html lists every run of every store."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from pytest_deploy.reports.index_page import render_index
from pytest_deploy.reports.index_row import RunLine, line_of
from tests.unit.reports import runs
from tests.unit.reports.parsed import parse
from tests.unit.reports.runs import Telling


def line() -> RunLine:
    found = line_of(runs.deployed(), "local/runs/local-20261122T201500Z-4f1c/report.html")
    assert found is not None
    return found


def test_a_line_is_what_the_events_say() -> None:
    events = runs.deployed()

    assert RunLine(
        run="local-20261122T201500Z-4f1c",
        environment="local",
        rehearsal=False,
        pipeline="deploy",
        release="1.4.0",
        deployer="local:1000:ada@laptop",
        opened=events[0].time,
        outcome="deployed",
        duration_s=events[-1].data["duration_s"],
        sla_s=600.0,
        link=None,
    ) == line_of(events, None)


def test_a_run_that_was_never_opened_has_no_line() -> None:
    assert line_of(runs.deployed()[1:], None) is None


def test_a_run_without_a_decision_is_in_progress_or_abandoned() -> None:
    telling = Telling()
    telling.opened()
    found = [line_of(telling.events, None)]
    telling.add("run.abandoned", cause="nothing was changed", found_sha256="0" * 64)
    found.append(line_of(telling.events, None))

    assert [entry and entry.heading for entry in found] == ["In progress", "Abandoned"]


def test_the_newest_run_stands_first() -> None:
    older = replace(line(), run="older", opened=line().opened - timedelta(days=1))
    rows = parse(render_index([older, line()])).one("table", id="runs").one("tbody").all("tr")

    assert [row.attributes["data-run"] for row in rows] == ["local-20261122T201500Z-4f1c", "older"]


def test_a_run_with_a_report_links_to_it_and_one_without_does_not() -> None:
    whole = parse(render_index([line(), replace(line(), run="other", link=None)]))

    assert [line().link] == [a.attributes["href"] for a in whole.one("table", id="runs").one("tbody").all("a")]


def test_a_rehearsal_and_an_exceeded_sla_are_said() -> None:
    text = (
        parse(render_index([replace(line(), rehearsal=True, duration_s=700.0)]))
        .one("table", id="runs")
        .one("tbody")
        .text
    )

    assert "(rehearsal)" in text
    assert "over 10 min" in text


@pytest.mark.parametrize("value", ["<b>x</b>", '"><script>x</script>'])
def test_what_a_run_is_called_becomes_no_markup(value: str) -> None:
    whole = parse(
        render_index([replace(line(), run=value, release=value, environment=value, deployer=value, link=value)])
    )

    assert list(whole.one("table", id="runs").one("tbody").all("b")) == []
    assert len(list(whole.all("script"))) == 1
    assert value in whole.one("table", id="runs").one("tbody").text


def test_without_runs_the_page_says_how_to_make_one() -> None:
    assert "pytest --deploy-env=local" in parse(render_index([])).text
