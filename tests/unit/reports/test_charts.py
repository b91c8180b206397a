"""What a page draws is to scale and inside the drawing; an answer that never came has no time, and distorts none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.reports.charts import HEIGHT, WIDTH, Series, response_times, timeline
from pytest_deploy.reports.run_summary import summarize
from tests.unit.reports.sample_runs import RunBuilder

# The timeline.


lengths = st.floats(min_value=0, max_value=2000)


@given(st.lists(st.lists(lengths, min_size=1, max_size=4), min_size=1, max_size=3))
def test_bars_lie_in_the_run_in_order_and_to_scale(phases: list[list[float]]) -> None:
    builder = RunBuilder()
    builder.opened()
    names = ["build", "preflight", "backup"]
    for name, steps in zip(names, phases, strict=False):
        builder.phase(name, {f"test_{i}.py::test_it": {"seconds": seconds} for i, seconds in enumerate(steps)})
    builder.decided("passed")
    summary = summarize(builder.events)

    ended = 0.0
    for row in timeline(summary):
        assert row.bar is not None
        assert row.bar.x >= ended - 0.5
        assert row.bar.x + row.bar.width <= WIDTH + 1
        assert abs(row.bar.width - (row.phase.duration_s or 0) / summary.seconds * WIDTH) <= 1.1
        assert all(row.bar.x - 0.5 <= bar.x <= WIDTH for bar in row.steps)
        ended = row.bar.x


def test_a_run_without_length_has_a_timeline_all_the_same() -> None:
    builder = RunBuilder()
    builder.opened()
    builder.add("phase.started", phase="build")
    (row,) = timeline(summarize(builder.events))

    assert row.bar is not None
    assert (row.bar.x, row.bar.width, row.offset_s) == (0, 1, 0)


# Response times.


samples = st.lists(
    st.tuples(st.floats(min_value=0, max_value=1000), st.floats(min_value=0, max_value=60), st.sampled_from([200, 404, 500, 0])),
    min_size=1, max_size=40,
)  # fmt: skip


def drawn(*found: list[tuple[float, float, int | None]], limit_s: float | None = None) -> tuple[Series, ...]:
    measured: dict[str, object] = {"samples": {f"GET /{at}": list(map(list, one)) for at, one in enumerate(found)}}
    builder = RunBuilder()
    builder.opened()
    builder.step("suites/health/test_a.py::test_it", measured=measured | ({"limit_s": limit_s} if limit_s else {}))
    return response_times(summarize(builder.events), {})


@given(samples, samples)
def test_every_sample_lies_in_its_drawing(
    one: list[tuple[float, float, int]], other: list[tuple[float, float, int]]
) -> None:
    for each, given_ in zip(drawn(list(one), list(other)), (one, other), strict=True):
        assert len(each.marks) == len(given_)
        for mark in each.marks:
            assert mark.x >= 0
            assert mark.x + mark.width <= WIDTH + 0.1
            assert mark.y >= 0
            assert mark.y + mark.height <= HEIGHT + 0.1


def test_columns_are_as_high_as_the_answers_took_and_stand_where_they_began() -> None:
    (one,) = drawn([(0.0, 0.1, 200), (5.0, 0.2, 200), (9.8, 0.2, 200)])

    assert [mark.height for mark in one.marks] == [50.0, 100.0, 100.0]
    assert one.lasted_s == 10.0
    assert [round(mark.x / (WIDTH - mark.width), 2) for mark in one.marks] == [0.0, 0.5, 0.98]


def test_an_answer_that_never_came_does_not_make_the_others_small() -> None:
    (one,) = drawn([(0.0, 0.1, 200), (0.5, 30.0, 0), (1.0, 0.1, 503)])

    assert [(mark.kind, mark.height) for mark in one.marks] == [("sample", 100.0), ("failed", 100.0), ("failed", 100.0)]
    assert (one.failures, one.scale_s) == (2, 0.1)


def test_few_samples_are_bars_all_to_one_scale() -> None:
    one, other = drawn([(0.0, 0.5, 200)], [(0.0, 1.0, 200), (1.0, 0.25, 200)])

    assert [mark.width for mark in (*one.marks, *other.marks)] == [500.0, 1000.0, 250.0]


@pytest.mark.parametrize("limit,at", [(0.1, 50.0), (0.2, 0.0), (0.3, None), (None, None)])
def test_the_limit_is_drawn_where_it_lies_in_the_drawing(limit: float | None, at: float | None) -> None:
    (one,) = drawn([(0.0, 0.1, 200), (0.5, 0.2, 200), (1.0, 0.1, 200)], limit_s=limit)

    assert one.limit_at == at


def test_an_answer_over_the_limit_is_marked_late() -> None:
    (one,) = drawn([(0.0, 0.1, 200), (0.5, 2.5, 200), (1.0, 0.1, 401)], limit_s=2.0)

    assert [mark.kind for mark in one.marks] == ["sample", "late", "sample"]


def test_answers_that_took_no_time_at_all_are_drawn_all_the_same() -> None:
    (one,) = drawn([(0.0, 0.0, 200)] * 3)

    assert all(mark.height > 0 for mark in one.marks)
