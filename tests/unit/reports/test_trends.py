"""How deployments went over time, from the lines of the index."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.reports.index_page import render_index
from pytest_deploy.reports.index_row import RunLine
from pytest_deploy.reports.trends import HEIGHT, WIDTH, percent, trends
from tests.unit.reports.parsed import parse

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
LINE = RunLine("production-1", "production", False, "deploy", "1.0", "ada", NOON, "deployed", 300.0, 1200.0, None)


def lines(*outcomes: str, took: float = 300.0) -> list[RunLine]:
    return [
        replace(LINE, run=f"production-{at}", opened=NOON + timedelta(days=at), outcome=outcome, duration_s=took + at)
        for at, outcome in enumerate(outcomes)
    ]


def test_outcomes_are_counted() -> None:
    (trend,) = trends(lines("deployed", "rolled-back", "rollback-failed", "refused", "deployed"))

    assert (len(trend.lines), trend.deployed, trend.rolled_back) == (5, 2, 2)
    assert trend.median_s == 302.0


@pytest.mark.parametrize("took,met", [(1200.0, 1), (1200.1, 0)])
def test_a_run_keeps_its_sla_up_to_the_last_second(took: float, met: int) -> None:
    (trend,) = trends(lines("deployed", took=took))

    assert (trend.within_sla, len(trend.with_sla)) == (met, 1)


def test_a_run_without_an_sla_is_not_counted_as_keeping_one() -> None:
    (trend,) = trends([replace(LINE, sla_s=None)])

    assert percent(trend.within_sla, len(trend.with_sla)) == "—"


@pytest.mark.parametrize("change", [{"pipeline": "smoke"}, {"duration_s": None, "outcome": "in progress"}])
def test_only_decided_deployments_count(change: dict[str, str]) -> None:
    assert trends([replace(LINE, **change)]) == ()  # type: ignore[arg-type]


def test_rehearsals_are_told_apart_and_stand_last() -> None:
    found = trends([replace(LINE, rehearsal=True), LINE, replace(LINE, environment="staging")])

    assert [(one.environment, one.rehearsal) for one in found] == [
        ("production", False), ("staging", False), ("production", True),
    ]  # fmt: skip


def test_without_a_deployment_there_is_no_median() -> None:
    (trend,) = trends(lines("refused"))

    assert trend.median_s is None


@given(st.lists(st.floats(min_value=0, max_value=1e5), min_size=1, max_size=130))
def test_columns_lie_in_the_drawing_in_order_of_time(took: list[float]) -> None:
    told = [replace(LINE, run=str(at), opened=NOON + timedelta(days=at), duration_s=s) for at, s in enumerate(took)]
    (trend,) = trends(list(reversed(told)))

    assert [column.run for column in trend.columns] == [line.run for line in told[-100:]]
    assert all(0 <= one.x and one.x + one.width <= WIDTH + 0.1 and 0 < one.height <= HEIGHT for one in trend.columns)
    assert max(one.height for one in trend.columns) in {HEIGHT, 2.0}


def test_the_page_draws_one_column_a_run_and_says_the_rates() -> None:
    page = parse(render_index(lines("deployed", "rolled-back", "deployed", "deployed")))
    row = page.one("tr", data_trend="production")

    assert [rect.attributes["class"] for rect in row.all("rect")] == ["deployed", "rolled-back", "deployed", "deployed"]
    assert [cell.text for cell in row.all("td")][:3] == ["3 of 4, 75 %", "1 of 4, 25 %", "4 of 4, 100 %"]


@pytest.mark.parametrize("took,at", [(1200.0, 0.0), (2400.0, 50.0), (1199.0, None)])
def test_the_sla_is_drawn_where_a_run_came_near_it(took: float, at: float | None) -> None:
    (trend,) = trends(lines("deployed", took=took))

    assert trend.limit_at == at
    drawn = list(parse(render_index(list(trend.lines))).all("rect", class_="limit"))
    assert len(drawn) == (at is not None)


def test_without_deployments_the_page_draws_nothing() -> None:
    assert list(parse(render_index([])).all("table", class_="trends")) == []
