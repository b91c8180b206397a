"""reports/index.html lists the runs of every store, made from the ends of the logs whatever else they hold, and draws how they went over time."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.record.log import Log
from pytest_deploy.reports import index
from pytest_deploy.reports.charts import HEIGHT, WIDTH
from pytest_deploy.reports.format import share
from pytest_deploy.reports.index import IndexRow, index_row, render_index, trends
from tests.unit.record.sample_record import RunWriter, deployed, open_log, verdict
from tests.unit.reports import sample_runs
from tests.unit.reports.parsed_page import parse
from tests.unit.reports.sample_runs import RunBuilder
from tests.unit.verify.hostile_store import KINDS

# One row a run.


def a_row() -> IndexRow:
    found = index_row(sample_runs.deployed(), "local/runs/local-20261122T201500Z-4f1c/report.html")
    assert found is not None
    return found


def test_a_row_is_what_the_events_say() -> None:
    events = sample_runs.deployed()

    assert IndexRow(
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
    ) == index_row(events, None)


def test_a_run_that_was_never_opened_has_no_row() -> None:
    assert index_row(sample_runs.deployed()[1:], None) is None
    assert index_row(sample_runs.refused_start()[:1], None) is None, "a request that waits"


@pytest.mark.parametrize(
    "run, rehearsal",
    [("production-20261122T190000Z-0b5d", False), ("rehearsal-production-20261122T190000Z-0b5d", True)],
)
def test_a_request_whose_start_was_refused_has_a_row_with_the_time_of_its_newest_refusal(
    run: str, *, rehearsal: bool
) -> None:
    events = sample_runs.refused_start(run)

    assert IndexRow(
        run=run, environment="production", rehearsal=rehearsal, pipeline="deploy", release="1.4.0", deployer="local:1000:ada@laptop",
        opened=max(event.time for event in events if event.type == "gate.refused"), outcome="refused", duration_s=None, sla_s=None,
        link="x/refused/00000131.html",
    ) == index_row(events, "x/refused/00000131.html")  # fmt: skip


def test_a_request_that_a_start_found_drifted_is_void_and_one_that_a_plan_replaced_has_no_row() -> None:
    drifted = index_row(sample_runs.drifted(), None)
    assert drifted is not None
    assert drifted.heading == "Request void"

    by_a_plan = RunBuilder(run="production-20261122T190000Z-0b5d", events=sample_runs.refused_start()[:1])
    by_a_plan.add("request.voided", cause="drift", by="production-20261122T200000Z-1111")
    assert index_row(by_a_plan.events, None) is None


def test_a_refused_start_is_no_deployment_that_trends_count() -> None:
    row = index_row(sample_runs.refused_start(), None)

    assert row is not None
    assert trends([row]) == ()


def test_a_run_without_a_decision_is_in_progress_or_abandoned() -> None:
    builder = RunBuilder()
    builder.opened()
    found = [index_row(builder.events, None)]
    builder.add("run.abandoned", cause="nothing was changed", found_sha256="0" * 64)
    found.append(index_row(builder.events, None))

    assert [entry and entry.heading for entry in found] == ["In progress", "Abandoned"]


def test_the_newest_run_stands_first() -> None:
    older = replace(a_row(), run="older", opened=a_row().opened - timedelta(days=1))
    rows = parse(render_index([older, a_row()])).one("table", id="runs").one("tbody").all("tr")

    assert [row.attributes["data-run"] for row in rows] == ["local-20261122T201500Z-4f1c", "older"]


def test_a_run_with_a_report_links_to_it_and_one_without_does_not() -> None:
    whole = parse(render_index([a_row(), replace(a_row(), run="other", link=None)]))

    assert [a_row().link] == [a.attributes["href"] for a in whole.one("table", id="runs").one("tbody").all("a")]


def test_a_rehearsal_and_an_exceeded_sla_are_said() -> None:
    text = (
        parse(render_index([replace(a_row(), rehearsal=True, duration_s=700.0)]))
        .one("table", id="runs")
        .one("tbody")
        .text
    )

    assert "(rehearsal)" in text
    assert "over 10 min" in text


@pytest.mark.parametrize("value", ["<b>x</b>", '"><script>x</script>'])
def test_what_a_run_is_called_becomes_no_markup(value: str) -> None:
    whole = parse(
        render_index([replace(a_row(), run=value, release=value, environment=value, deployer=value, link=value)])
    )

    assert list(whole.one("table", id="runs").one("tbody").all("b")) == []
    assert len(list(whole.all("script"))) == 1
    assert value in whole.one("table", id="runs").one("tbody").text


def test_without_runs_the_page_says_how_to_make_one() -> None:
    assert "pytest --deploy-env=local" in parse(render_index([])).text


# Trends.


NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
DEPLOYMENT = IndexRow(
    "production-1", "production", False, "deploy", "1.0", "ada", NOON, "deployed", 300.0, 1200.0, None
)


def deployments(*outcomes: str, took: float = 300.0) -> list[IndexRow]:
    return [
        replace(
            DEPLOYMENT, run=f"production-{at}", opened=NOON + timedelta(days=at), outcome=outcome, duration_s=took + at
        )
        for at, outcome in enumerate(outcomes)
    ]


def test_outcomes_are_counted() -> None:
    (trend,) = trends(deployments("deployed", "rolled-back", "rollback-failed", "refused", "deployed"))

    assert (len(trend.runs), trend.deployed, trend.rolled_back) == (5, 2, 2)
    assert trend.median_s == 302.0


@pytest.mark.parametrize("took,met", [(1200.0, 1), (1200.1, 0)])
def test_a_run_keeps_its_sla_up_to_the_last_second(took: float, met: int) -> None:
    (trend,) = trends(deployments("deployed", took=took))

    assert (trend.within_sla, len(trend.with_sla)) == (met, 1)


def test_a_run_without_an_sla_is_not_counted_as_keeping_one() -> None:
    (trend,) = trends([replace(DEPLOYMENT, sla_s=None)])

    assert share(trend.within_sla, len(trend.with_sla)) == "—"


@pytest.mark.parametrize("change", [{"pipeline": "smoke"}, {"duration_s": None, "outcome": "in progress"}])
def test_only_decided_deployments_count(change: dict[str, str]) -> None:
    assert trends([replace(DEPLOYMENT, **change)]) == ()  # type: ignore[arg-type]


def test_rehearsals_are_told_apart_and_stand_last() -> None:
    found = trends([replace(DEPLOYMENT, rehearsal=True), DEPLOYMENT, replace(DEPLOYMENT, environment="staging")])

    assert [(one.environment, one.rehearsal) for one in found] == [
        ("production", False), ("staging", False), ("production", True),
    ]  # fmt: skip


def test_without_a_deployment_there_is_no_median() -> None:
    (trend,) = trends(deployments("refused"))

    assert trend.median_s is None


@given(st.lists(st.floats(min_value=0, max_value=1e5), min_size=1, max_size=130))
def test_columns_lie_in_the_drawing_in_order_of_time(took: list[float]) -> None:
    rows = [
        replace(DEPLOYMENT, run=str(at), opened=NOON + timedelta(days=at), duration_s=s) for at, s in enumerate(took)
    ]
    (trend,) = trends(list(reversed(rows)))

    assert [column.title for column in trend.columns] == [row.run for row in rows[-100:]]
    assert all(one.x >= 0 and one.x + one.width <= WIDTH + 0.1 and 0 < one.height <= HEIGHT for one in trend.columns)
    assert max(one.height for one in trend.columns) in {HEIGHT, 2.0}


def test_the_page_draws_one_column_a_run_and_says_the_rates() -> None:
    page = parse(render_index(deployments("deployed", "rolled-back", "deployed", "deployed")))
    row = page.one("tr", data_trend="production")

    assert [rect.attributes["class"] for rect in row.all("rect")] == ["deployed", "rolled-back", "deployed", "deployed"]
    assert [cell.text for cell in row.all("td")][:3] == ["3 of 4, 75 %", "1 of 4, 25 %", "4 of 4, 100 %"]


@pytest.mark.parametrize("took,at", [(1200.0, 0.0), (2400.0, 50.0), (1199.0, None)])
def test_the_sla_is_drawn_where_a_run_came_near_it(took: float, at: float | None) -> None:
    (trend,) = trends(deployments("deployed", took=took))

    assert trend.limit_at == at
    drawn = list(parse(render_index(list(trend.runs))).all("rect", class_="limit"))
    assert len(drawn) == (at is not None)


def test_without_deployments_the_page_draws_nothing() -> None:
    assert list(parse(render_index([])).all("table", class_="trends")) == []


# The page, from the logs.


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """A store with three runs: two deployed, one in progress."""
    log = open_log(tmp_path)
    deployed(log)
    deployed(log)
    RunWriter(log).open()
    return tmp_path / "reports"


def outcomes(reports: Path) -> list[str]:
    page = parse((reports / "index.html").read_text(encoding="utf-8"))
    return [row.attributes["data-outcome"] for row in page.one("table", id="runs").one("tbody").all("tr")]


def test_every_run_of_a_store_is_listed(reports: Path) -> None:
    index.write(reports)

    assert sorted(outcomes(reports)) == ["deployed", "deployed", "in progress"]
    page = parse((reports / "index.html").read_text(encoding="utf-8"))
    assert len(list(page.one("table", id="runs").all("a"))) == 2
    assert [e for e in page.all("p") if "data-older" in e.attributes] == []


def test_of_many_runs_the_newest_are_read_and_the_rest_is_named(reports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index.newest_runs, "__defaults__", (2,))

    index.write(reports)

    assert sorted(outcomes(reports)) == ["deployed", "in progress"]
    page = parse((reports / "index.html").read_text(encoding="utf-8"))
    assert "pytest-deploy history" in page.one("p", data_older="local").text


def test_reading_stops_where_enough_runs_are_known(reports: Path) -> None:
    runs, first = index.newest_runs(reports / "local", 1)

    assert len(runs) == 1
    for path in (reports / "local" / "log").glob("*.event"):
        if int(path.stem) < first:
            path.chmod(0o644)
            path.write_bytes(b"not read")
    assert index.newest_runs(reports / "local", 1) == (runs, first)


def refused(log: Log, starts: int = 1) -> RunWriter:
    """A request of which so many starts were refused."""
    run = RunWriter(log).request(plan="local-20261122T120000Z-0001")
    for _ in range(starts):
        run.add("gate.refused", verdict("approvals", "still-needed", reason="approval missing: QA Lead"))
    return run


def test_a_request_is_listed_as_refused_until_it_runs(reports: Path, tmp_path: Path) -> None:
    log = open_log(tmp_path)
    run = refused(log, starts=2)
    index.write(reports)
    assert sorted(outcomes(reports)) == ["deployed", "deployed", "in progress", "refused"]

    # It may be opened once the run that holds the lease has ended: as a plan's run here, which takes none.
    run.pipeline = "plan"
    run.open(
        request_sha256=next(event.data["request_sha256"] for event in log.run(run.run) if event.type == "request.made")
    )
    index.write(reports)
    assert sorted(outcomes(reports)) == ["deployed", "deployed", "in progress", "in progress"]


def test_requests_that_were_refused_count_towards_what_is_read(reports: Path, tmp_path: Path) -> None:
    log = open_log(tmp_path)
    newest = [refused(log, starts=3).run for _ in range(3)][1:]

    runs, first = index.newest_runs(reports / "local", 2)

    assert list(reversed(newest)) == list(runs)
    assert next(event.type for event in log.events() if event.seq == first) == "request.made"


def test_a_run_that_makes_its_own_request_is_no_refused_start_though_reading_stops_between_the_two() -> None:
    builder = RunBuilder()
    builder.add("request.made", request_sha256="7d" * 32, expires=None, requested_by="ada")
    builder.gate("window", "lease", refused="closed")
    builder.decided("refused")

    assert index_row(builder.events, None) is None


def test_the_page_is_replaced_whole(reports: Path) -> None:
    index.write(reports)
    index.write(reports)

    assert [path.name for path in reports.iterdir() if path.is_file()] == ["index.html"]


def test_nobody_else_can_write_the_page_whatever_the_umask(reports: Path) -> None:
    before = os.umask(0)
    try:
        assert index.write(reports) == ()
    finally:
        os.umask(before)

    assert (reports / "index.html").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("hostile", ["8 TB", "a FIFO"])
def test_a_hostile_log_keeps_the_page_from_nobody(reports: Path, hostile: str) -> None:
    KINDS[hostile][0](reports / "local" / "log" / "99999999.event")

    assert index.write(reports) == ()
    assert (reports / "index.html").is_file()


def test_a_log_that_cannot_be_read_is_named_and_takes_no_other_with_it(reports: Path) -> None:
    log = reports / "staging" / "log"
    log.mkdir(parents=True)
    (log / "00000000.event").write_text('{"type":"run.opened" and no more\n', encoding="utf-8")

    (fault,) = index.write(reports)

    assert "staging, whose log cannot be read" in fault
    assert sorted(outcomes(reports)) == ["deployed", "deployed", "in progress"]
    page = parse((reports / "index.html").read_text(encoding="utf-8"))
    assert "pytest-deploy verify reports/staging" in page.one("p", data_unread="staging").text


def test_a_page_that_cannot_be_written_is_said_and_raises_nothing(reports: Path) -> None:
    (reports / "index.html").mkdir()

    (fault,) = index.write(reports)

    assert "reports/index.html was not written" in fault


def test_the_page_says_when_it_was_made(reports: Path) -> None:
    assert index.write(reports) == ()

    page = parse((reports / "index.html").read_text(encoding="utf-8"))
    assert "as known" in page.one("header").text
    assert page.one("header").one("time").attributes["datetime"].endswith("Z")
