"""The timeline is to scale."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_deploy.reports.run_summary import tell
from pytest_deploy.reports.timeline import WIDTH, rows
from tests.unit.reports.runs import Telling

lengths = st.floats(min_value=0, max_value=2000)


@given(st.lists(st.lists(lengths, min_size=1, max_size=4), min_size=1, max_size=3))
def test_bars_lie_in_the_run_in_order_and_to_scale(phases: list[list[float]]) -> None:
    telling = Telling()
    telling.opened()
    names = ["build", "preflight", "backup"]
    for name, steps in zip(names, phases, strict=False):
        telling.phase(name, {f"test_{i}.py::test_it": {"seconds": seconds} for i, seconds in enumerate(steps)})
    telling.decided("passed")
    story = tell(telling.events)

    ended = 0.0
    for row in rows(story):
        assert row.bar is not None
        assert row.bar.x >= ended - 0.5
        assert row.bar.x + row.bar.width <= WIDTH + 1
        assert abs(row.bar.width - (row.phase.duration_s or 0) / story.seconds * WIDTH) <= 1.1
        assert all(row.bar.x - 0.5 <= bar.x <= WIDTH for bar in row.steps)
        ended = row.bar.x


def test_a_run_without_length_has_a_timeline_all_the_same() -> None:
    telling = Telling()
    telling.opened()
    telling.add("phase.started", phase="build")
    (row,) = rows(tell(telling.events))

    assert row.bar is not None
    assert (row.bar.x, row.bar.width, row.offset_s) == (0, 1, 0)
